#include "check_wait.h"

#include <stdlib.h>
#include <string.h>

#define TRIES_MAX 3 // then the store counts as away for what is still missing

struct part { // one check
    struct check_wait *wait;
    struct check_asks asks; // n 0: it was put
    unsigned tries;
    struct limit_grant grants[LIMIT_MATCHED_MAX];
    size_t n_grants;
};
struct check_wait {
    struct check_wait_options options; // its message is ours
    struct bus_call *call;
    size_t open; // parts without a verdict, and one until check_wait_end
    struct strbuf *verdicts;
    struct part parts[];
};

static void finish(struct check_wait *wait)
{
    size_t n = wait->options.n;
    wait->options.answer(wait->options.arg, &wait->call, wait->verdicts, n);
    for (size_t i = 0; i < n; i++) {
        strbuf_fini(&wait->verdicts[i]);
    }
    free(wait->verdicts);
    free((void *)(uintptr_t)wait->options.message);
    free(wait);
}

static void close_one(struct check_wait *wait)
{
    if (--wait->open == 0) {
        finish(wait);
    }
}

struct check_wait *check_wait_begin(const struct check_wait_options *options)
{
    struct check_wait *wait = calloc(1, sizeof(*wait) + options->n * sizeof(wait->parts[0]));
    void *message = malloc(options->len + 1);
    struct strbuf *verdicts = calloc(options->n, sizeof(*verdicts));
    struct bus_call *call = wait && message && verdicts ? bus_call_keep(options->bus) : NULL;
    if (!call) {
        free(wait);
        free(message);
        free(verdicts);
        return NULL;
    }
    memcpy(message, options->message, options->len);
    wait->options = *options;
    wait->options.message = message;
    wait->call = call;
    wait->verdicts = verdicts;
    wait->open = options->n + 1;
    const struct strbuf none = STRBUF_INIT;
    for (size_t i = 0; i < options->n; i++) {
        wait->parts[i].wait = wait;
        verdicts[i] = none;
    }
    return wait;
}

void check_wait_put(struct check_wait *wait, size_t index, const struct strbuf *verdict)
{
    strbuf_append(&wait->verdicts[index], strbuf_text(verdict), verdict->len);
    close_one(wait);
}

static size_t to_wishes(const struct check_asks *asks, struct lease_wish wishes[LEASE_WISHES_MAX])
{
    for (size_t i = 0; i < asks->n; i++) {
        const struct limit_ask *ask = &asks->items[i];
        wishes[i] = (struct lease_wish){.key = {.identity = ask->identity,
                                                .hash = ask->hash,
                                                .id = {ask->key_id[0], ask->key_id[1]}},
                                        .limit = ask->limit,
                                        .cost = ask->cost,
                                        .shadow = ask->shadow};
    }
    return asks->n;
}

static void put_grant(struct part *part, const struct limit_grant *grant)
{
    for (size_t i = 0; i < part->n_grants; i++) {
        if (part->grants[i].identity == grant->identity) {
            part->grants[i] = *grant;
            return;
        }
    }
    if (part->n_grants < LIMIT_MATCHED_MAX) {
        part->grants[part->n_grants++] = *grant;
    }
}

// Without an answer the store counts as away.
static void take_answers(struct part *part, const struct lease_answer *answers, size_t n)
{
    static const uint8_t kinds[] = {[LEASE_GRANTED] = LIMIT_GRANTED,
                                    [LEASE_REFUSED] = LIMIT_REFUSED,
                                    [LEASE_AWAY] = LIMIT_STORE_AWAY};
    for (size_t i = 0; i < part->asks.n; i++) {
        const struct limit_ask *ask = &part->asks.items[i];
        struct limit_grant grant = {.kind = LIMIT_STORE_AWAY,
                                    .identity = ask->identity,
                                    .key_id = {ask->key_id[0], ask->key_id[1]}};
        if (i < n) {
            grant.kind = kinds[answers[i].outcome];
            grant.lease = answers[i].lease;
            grant.fits_after_ns = answers[i].fits_after_ns;
            grant.left = answers[i].left;
        }
        put_grant(part, &grant);
    }
}

static void on_answers(void *arg, const struct lease_answer *answers, size_t n);

static void ask(struct part *part)
{
    struct lease_desk *desk = part->wait->options.desk;
    struct lease_wish wishes[LEASE_WISHES_MAX];
    size_t n = to_wishes(&part->asks, wishes);
    if (part->tries++ == TRIES_MAX || !desk ||
        lease_desk_ask(desk, wishes, n, on_answers, part) < 0) {
        on_answers(part, NULL, 0);
    }
}

// Decides with all that was answered so far. What another policy had here at first may be spent by
// now: then that is asked for, too.
static void on_answers(void *arg, const struct lease_answer *answers, size_t n)
{
    struct part *part = arg;
    struct check_wait *wait = part->wait;
    const struct check_wait_options *options = &wait->options;
    size_t index = (size_t)(part - wait->parts);
    take_answers(part, answers, n);
    if (options->decide(options->arg, options->message, options->len, index, part->grants,
                        part->n_grants, &wait->verdicts[index], &part->asks) &&
        part->tries <= TRIES_MAX) {
        ask(part);
        return;
    }
    close_one(wait);
}

void check_wait_ask(struct check_wait *wait, size_t index, const struct check_asks *asks)
{
    wait->parts[index].asks = *asks;
}

void check_wait_end(struct check_wait *wait)
{
    for (size_t i = 0; i < wait->options.n; i++) {
        if (wait->parts[i].asks.n > 0) {
            ask(&wait->parts[i]);
        }
    }
    close_one(wait);
}

static void ignore_answers(void *arg, const struct lease_answer *answers, size_t n)
{
    (void)arg;
    (void)answers;
    (void)n;
}

void check_wait_settle(struct lease_desk *desk, struct limit_verdict *verdict,
                       const struct limit_view *view, const struct limit_facts *facts)
{
    struct limit_return returns[LIMIT_MATCHED_MAX];
    size_t n = limit_returns(verdict, returns);
    for (size_t i = 0; desk && i < n; i++) {
        const struct lease_key key = {.identity = returns[i].identity,
                                      .hash = returns[i].hash,
                                      .id = {returns[i].key_id[0], returns[i].key_id[1]}};
        lease_desk_return(desk, &key, returns[i].lease, returns[i].tokens);
    }
    if (desk && facts && verdict->asks && !verdict->waits) {
        struct check_asks aside;
        struct lease_wish wishes[LEASE_WISHES_MAX];
        aside.n = limit_asks(view, facts, verdict, aside.items);
        (void)lease_desk_ask(desk, wishes, to_wishes(&aside, wishes), ignore_answers, NULL);
    }
}
