#include "limiter_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "check_facts.h"
#include "check_wait.h"
#include "check_wire.h"
#include "limit/top.h"
#include "limiter_metrics.h"
#include "refund_token.h"

#define TOGETHER_MAX 16 // checks of a batch whose limits are asked at once

enum check_result { RESULT_ADMITTED, RESULT_DENIED, RESULT_REFUSED, RESULTS };
static const char *const result_names[RESULTS] = {"admitted", "denied", "refused"};

struct limiter_check {
    struct service *service;
    struct limit_view *view;
    struct lease_desk *desk; // NULL: no distributed limits
    uint64_t refund_time_ns;
    const struct networks *networks;
    const struct region_map *regions; // NULL: nobody knows addresses
    struct operator_view *operators;
    struct top_table *top;
    metric_id results[RESULTS], refunded, not_refunded, new_keys, overflow;
    metric_id hits[LIMIT_POLICIES_MAX]; // by index in the view's set
    uint64_t hits_generation;
    struct refund_mint mint;
    struct check_request requests[LIMITER_BATCH_MAX]; // of the batch being served
};

// `label` NULL: the metric has none.
static metric_id reg(struct limiter_check *check, enum limiter_metric metric, const char *label)
{
    return metric_register(check->service->metrics, &limiter_metric_defs[metric],
                           label ? &label : NULL);
}

static void register_policies(struct limiter_check *check)
{
    const struct limit_policy *policy;

    for (uint32_t i = 0; (policy = limit_policy_at(check->view, i)); i++)
        check->hits[i] = reg(check, METRIC_INDEX_check_hits, policy->name);
    check->hits_generation = limit_generation(check->view);
}

static void count(struct limiter_check *check, const struct limit_verdict *verdict)
{
    _Atomic uint64_t *words = metric_words(check->service->metrics);

    if (verdict->generation != check->hits_generation)
        register_policies(check);
    metric_add_at(words, check->results[verdict->admitted ? RESULT_ADMITTED : RESULT_DENIED], 1);
    metric_add_at(words, check->new_keys, verdict->new_keys);
    metric_add_at(words, check->overflow, verdict->overflow_cells_used);
    for (unsigned i = 0; i < verdict->n && !verdict->admitted; i++)
        if (verdict->charges[i].denied && !verdict->charges[i].shadow)
            metric_add_at(words, check->hits[verdict->charges[i].policy], 1);
}

// protobuf-c's texts are not const, and it only reads them.
static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

// 0 of LIMIT_NEVER: no wait is told that would not help.
static uint64_t ms_up(uint64_t ns)
{
    return ns == LIMIT_NEVER ? 0 : ns / NS_PER_MS + (ns % NS_PER_MS != 0);
}

// What the asker is told of: who refuses, else the least left. NULL: nothing binds.
static const struct limit_charge *tightest(const struct limit_verdict *verdict)
{
    const struct limit_charge *found = NULL;

    if (!verdict->admitted && !verdict->contended)
        return &verdict->charges[verdict->denied_by];
    for (unsigned i = 0; i < verdict->n; i++) {
        const struct limit_charge *charge = &verdict->charges[i];

        if (!charge->shadow && (!found || charge->remaining < found->remaining))
            found = charge;
    }
    return found;
}

struct verdict_message { // with what it points at
    Valvechain__V1__LimitVerdict base;
    Valvechain__V1__LimitPart parts[LIMIT_MATCHED_MAX], *pointers[LIMIT_MATCHED_MAX];
    uint8_t token[REFUND_TOKEN_MAX];
};

static void fill_parts(const struct limiter_check *check, const struct limit_verdict *verdict,
                       struct verdict_message *message)
{
    message->base.n_parts = verdict->n;
    message->base.parts = message->pointers;
    for (unsigned i = 0; i < verdict->n; i++) {
        const struct limit_charge *charge = &verdict->charges[i];
        const struct limit_policy *policy = limit_policy_at(check->view, charge->policy);
        Valvechain__V1__LimitPart *part = message->pointers[i] = &message->parts[i];

        valvechain__v1__limit_part__init(part);
        part->policy = text(policy->name);
        part->denied = charge->denied;
        part->shadow = charge->shadow;
        part->limit = charge->limit;
        part->remaining = charge->remaining;
        part->reset_ms = ms_up(charge->reset_ns);
        part->window_ms = policy->window_ns / NS_PER_MS;
    }
}

static void fill_verdict(struct limiter_check *check, const struct check_request *asked,
                         const struct limit_verdict *verdict, struct verdict_message *message)
{
    const struct limit_charge *charge = tightest(verdict);

    message->base.admitted = verdict->admitted;
    message->base.retry_after_ms = ms_up(verdict->retry_after_ns);
    if (charge) {
        const struct limit_policy *policy = limit_policy_at(check->view, charge->policy);

        message->base.policy = text(policy->name);
        message->base.limit = charge->limit;
        message->base.remaining = charge->denied ? 0 : charge->remaining;
        message->base.reset_ms = ms_up(charge->reset_ns);
        message->base.window_ms = policy->window_ns / NS_PER_MS;
    }
    if (asked->explain)
        fill_parts(check, verdict, message);
    if (asked->refundable && verdict->admitted && !asked->peek) {
        uint64_t expires_ns = clock_mono_ns() + check->refund_time_ns;

        message->base.token.data = message->token;
        message->base.token.len =
            refund_token_make(&check->mint, verdict, expires_ns, message->token);
    }
}

struct opening {       // what is known of a check before its limits are asked
    const char *wrong; // it was not understood
    enum operator_word word;
};

// Reads the check; networks come first. True: its limits decide, and `facts` is for them.
static bool open_check(const struct limiter_check *check, const struct check_request *asked,
                       struct limit_facts *facts, struct opening *ret_opening)
{
    ret_opening->wrong = check_facts_read(check->view, check->regions, asked, facts);
    ret_opening->word = OPERATOR_SAYS_NOTHING;
    if (!ret_opening->wrong)
        ret_opening->word = networks_judge(check->networks, check->operators, &facts->client);
    return !ret_opening->wrong && ret_opening->word == OPERATOR_SAYS_NOTHING;
}

// A check that its limits do not decide. Networks are named in place of a policy.
static enum check_result fill_early(const struct opening *opening, struct verdict_message *message)
{
    bool admitted = opening->word == OPERATOR_ALLOWS;

    if (opening->wrong) {
        message->base.error = text(opening->wrong);
        return RESULT_REFUSED;
    }
    message->base.policy = text(admitted ? "allow" : "deny");
    message->base.admitted = admitted;
    return admitted ? RESULT_ADMITTED : RESULT_DENIED;
}

struct decision { // of one check
    uint8_t packed[CHECK_VERDICT_MAX];
    size_t len;
    struct check_asks waits; // n > 0: it is not decided, the limiter has to ask for these
};

// Packs the verdict, or says what the check waits for. `verdict` NULL: its limits were not asked.
static void close_check(struct limiter_check *check, const struct check_request *asked,
                        const struct opening *opening, const struct limit_facts *facts,
                        struct limit_verdict *verdict, struct decision *ret_decision)
{
    struct verdict_message message;

    valvechain__v1__limit_verdict__init(&message.base);
    ret_decision->waits.n = 0;
    if (!verdict) {
        enum check_result result = fill_early(opening, &message);

        metric_add(check->service->metrics, check->results[result], 1);
    } else if (verdict->waits) {
        ret_decision->waits.n = limit_asks(check->view, facts, verdict, ret_decision->waits.items);
        return;
    } else {
        check_wait_settle(check->desk, verdict, check->view, facts);
        top_count(check->top, check->view, facts, verdict);
        count(check, verdict);
        fill_verdict(check, asked, verdict, &message);
    }
    ret_decision->len = check_wire_put_verdict(&message.base, ret_decision->packed);
}

// Returns what is wrong with the check, NULL: nothing.
static const char *decide(struct limiter_check *check, const struct check_request *asked,
                          const struct limit_grant *grants, size_t n_grants,
                          struct decision *ret_decision)
{
    struct opening opening;
    struct limit_facts facts;
    struct limit_verdict verdict;
    bool is_open = open_check(check, asked, &facts, &opening);

    if (is_open)
        limit_decide_granted(check->view, &facts, grants, n_grants, &verdict);
    close_check(check, asked, &opening, &facts, is_open ? &verdict : NULL, ret_decision);
    return opening.wrong;
}

static int refuse(struct limiter_check *check, const char *reason)
{
    metric_add(check->service->metrics, check->results[RESULT_REFUSED], 1);
    bus_refuse(check->service->bus, "%s", reason);
    return -EINVAL;
}

static void append_block(struct strbuf *reply, uint32_t number, const void *bytes, size_t len)
{
    uint8_t head[WIRE_TAG_MAX + WIRE_VARINT_MAX];
    uint8_t *end = wire_put_varint(wire_put_tag(head, number, WIRE_BYTES), len);

    strbuf_append(reply, head, (size_t)(end - head));
    strbuf_append(reply, bytes, len);
}

// ---- checks that wait for tokens --------------------------------------------------------------

// The message has been read before, so it is one.
static bool decide_again(void *arg, const void *message, size_t len, size_t index,
                         const struct limit_grant *grants, size_t n_grants, struct strbuf *verdict,
                         struct check_asks *ret_asks)
{
    struct check_request asked;
    struct decision decision;

    (void)index;
    if (!check_wire_read(message, len, &asked))
        return false;
    (void)decide(arg, &asked, grants, n_grants, &decision);
    *ret_asks = decision.waits;
    if (decision.waits.n == 0)
        strbuf_append(verdict, decision.packed, decision.len);
    return decision.waits.n > 0;
}

static bool decide_of_batch_again(void *arg, const void *message, size_t len, size_t index,
                                  const struct limit_grant *grants, size_t n_grants,
                                  struct strbuf *verdict, struct check_asks *ret_asks)
{
    struct check_text one;

    return check_wire_find_of_batch(message, len, index, &one) &&
           decide_again(arg, one.text, one.len, index, grants, n_grants, verdict, ret_asks);
}

static void answer_one(void *arg, struct bus_call **call, const struct strbuf *verdicts, size_t n)
{
    Valvechain__V1__LimitVerdict *reply = valvechain__v1__limit_verdict__unpack(
        NULL, verdicts[0].len, (const uint8_t *)strbuf_text(&verdicts[0]));

    (void)arg;
    (void)n;
    bus_call_answer(call, reply ? &reply->base : NULL);
    if (reply)
        valvechain__v1__limit_verdict__free_unpacked(reply, NULL);
}

static void answer_batch(void *arg, struct bus_call **call, const struct strbuf *verdicts, size_t n)
{
    struct strbuf all = STRBUF_INIT;
    Valvechain__V1__LimitVerdictBatch *reply;

    (void)arg;
    for (size_t i = 0; i < n; i++)
        append_block(&all, 1, strbuf_text(&verdicts[i]), verdicts[i].len);
    reply = valvechain__v1__limit_verdict_batch__unpack(NULL, all.len,
                                                        (const uint8_t *)strbuf_text(&all));
    bus_call_answer(call, reply ? &reply->base : NULL);
    if (reply)
        valvechain__v1__limit_verdict_batch__free_unpacked(reply, NULL);
    strbuf_fini(&all);
}

static struct check_wait *begin_wait(struct limiter_check *check, bool is_batch, const void *bytes,
                                     size_t len, size_t n)
{
    const struct check_wait_options options = {
        .bus = check->service->bus,
        .desk = check->desk,
        .decide = is_batch ? decide_of_batch_again : decide_again,
        .answer = is_batch ? answer_batch : answer_one,
        .arg = check,
        .message = bytes,
        .len = len,
        .n = n,
    };

    return check_wait_begin(&options);
}

// ---- as they come ------------------------------------------------------------------------------

static int serve_check(void *arg, const void *bytes, size_t len, struct strbuf *reply)
{
    struct limiter_check *check = arg;
    struct decision decision;
    struct check_request asked;
    struct check_wait *wait;
    const char *wrong;

    if (!check_wire_read(bytes, len, &asked))
        return refuse(check, "the message is no LimitCheck");
    wrong = decide(check, &asked, NULL, 0, &decision);
    if (wrong) {
        bus_refuse(check->service->bus, "%s", wrong);
        return -EINVAL;
    }
    if (decision.waits.n == 0) {
        strbuf_append(reply, decision.packed, decision.len);
        return 0;
    }
    wait = begin_wait(check, false, bytes, len, 1);
    if (!wait)
        return refuse(check, "there is no memory to wait for the store");
    check_wait_ask(wait, 0, &decision.waits);
    check_wait_end(wait);
    return 0;
}

struct serving { // of a batch: verdicts go to the reply, or to the wait by their numbers
    struct strbuf *reply;
    struct check_wait *wait; // NULL: nothing waits
    struct strbuf one;
};

static void put_decision(struct serving *serving, size_t index, const struct decision *decision)
{
    if (!serving->wait) {
        append_block(serving->reply, 1, decision->packed, decision->len);
    } else if (decision->waits.n > 0) {
        check_wait_ask(serving->wait, index, &decision->waits);
    } else {
        strbuf_clear(&serving->one);
        strbuf_append(&serving->one, decision->packed, decision->len);
        check_wait_put(serving->wait, index, &serving->one);
    }
}

// `n` checks of the batch from `first` on, TOGETHER_MAX at most.
static void decide_some(struct limiter_check *check, size_t first, size_t n,
                        struct serving *serving)
{
    const struct check_request *asked = check->requests + first;
    struct opening openings[TOGETHER_MAX];
    struct limit_facts facts[TOGETHER_MAX]; // of those whose limits decide, without gaps
    struct limit_verdict verdicts[TOGETHER_MAX];
    bool is_open[TOGETHER_MAX];
    struct decision decision;
    size_t n_open = 0;

    for (size_t i = 0; i < n; i++) {
        is_open[i] = open_check(check, &asked[i], &facts[n_open], &openings[i]);
        n_open += is_open[i];
    }
    limit_decide_batch(check->view, facts, n_open, verdicts);
    for (size_t i = 0, at = 0; i < n; at += is_open[i], i++) {
        close_check(check, &asked[i], &openings[i], &facts[at], is_open[i] ? &verdicts[at] : NULL,
                    &decision);
        put_decision(serving, first + i, &decision);
    }
}

static int refuse_batch(struct limiter_check *check, int error, const void *bytes, size_t len)
{
    char reason[64] = "the message is no LimitCheckBatch";
    size_t index;

    if (error == -E2BIG)
        (void)snprintf(reason, sizeof(reason), "a batch has at most %d checks", LIMITER_BATCH_MAX);
    else if (check_wire_find_bad(bytes, len, &index))
        (void)snprintf(reason, sizeof(reason), "checks[%zu] is no LimitCheck", index);
    return refuse(check, reason);
}

static int serve_batch(void *arg, const void *bytes, size_t len, struct strbuf *reply)
{
    struct limiter_check *check = arg;
    struct serving serving = {.reply = reply};
    size_t n = 0;
    int error = check_wire_read_batch(bytes, len, check->requests, LIMITER_BATCH_MAX, &n);

    if (error < 0)
        return refuse_batch(check, error, bytes, len);
    if (check->desk && n > 0) { // any check may wait: verdicts are kept by number
        serving.wait = begin_wait(check, true, bytes, len, n);
        if (!serving.wait)
            return refuse(check, "there is no memory to wait for the store");
    }
    for (size_t first = 0; first < n; first += TOGETHER_MAX)
        decide_some(check, first, n - first < TOGETHER_MAX ? n - first : TOGETHER_MAX, &serving);
    if (serving.wait)
        check_wait_end(serving.wait);
    strbuf_fini(&serving.one);
    return 0;
}

static int serve_refund(void *arg, const void *bytes, size_t len, struct strbuf *reply)
{
    struct limiter_check *check = arg;
    struct check_text tokens[LIMITER_BATCH_MAX];
    const char *wrong[LIMITER_BATCH_MAX];
    struct limit_verdict verdict;
    uint8_t head[WIRE_TAG_MAX + WIRE_VARINT_MAX];
    size_t n = 0, refused = 0;
    int error = check_wire_read_refund(bytes, len, tokens, LIMITER_BATCH_MAX, &n);

    if (error < 0)
        return refuse(check, error == -E2BIG ? "a refund has at most 1000 tokens"
                                             : "the message is no LimitRefund");
    for (size_t i = 0; i < n; i++) {
        wrong[refused] = refund_token_take(&check->mint, tokens[i].text, tokens[i].len,
                                           clock_mono_ns(), &verdict);
        if (wrong[refused]) {
            refused++;
            continue;
        }
        limit_refund(check->view, &verdict);
        check_wait_settle(check->desk, &verdict, check->view, NULL);
    }
    metric_add(check->service->metrics, check->refunded, n - refused);
    metric_add(check->service->metrics, check->not_refunded, refused);
    strbuf_append(reply, head, (size_t)(wire_put_number(head, 1, n - refused) - head));
    for (size_t i = 0; i < refused; i++)
        append_block(reply, 2, wrong[i], strlen(wrong[i]));
    return 0;
}

int limiter_check_create(struct service *service, struct limit_view *view,
                         struct limiter_check **ret_check)
{
    struct limiter_check *check = calloc(1, sizeof(*check));
    int error;

    if (!check)
        return -ENOMEM;
    check->service = service;
    check->view = view;
    check->top = top_of_slot(service->segment, slot_index(service->slot));
    refund_mint_init(&check->mint);
    for (int i = 0; i < RESULTS; i++)
        check->results[i] = reg(check, METRIC_INDEX_checks, result_names[i]);
    check->refunded = reg(check, METRIC_INDEX_refunds, "refunded");
    check->not_refunded = reg(check, METRIC_INDEX_refunds, "refused");
    check->new_keys = reg(check, METRIC_INDEX_check_new_keys, NULL);
    check->overflow = reg(check, METRIC_INDEX_check_overflow, NULL);
    register_policies(check);
    error = bus_serve_bytes(service->bus, "limit.check", serve_check, check);
    if (!error)
        error = bus_serve_bytes(service->bus, "limit.check.batch", serve_batch, check);
    if (!error)
        error = bus_serve_bytes(service->bus, "limit.refund", serve_refund, check);
    if (error < 0) {
        free(check);
        return error;
    }
    *ret_check = check;
    return 0;
}

void limiter_check_set_desk(struct limiter_check *check, struct lease_desk *desk)
{
    check->desk = desk;
}

void limiter_check_set_networks(struct limiter_check *check, const struct networks *networks,
                                struct operator_view *operators)
{
    check->networks = networks;
    check->operators = operators;
}

void limiter_check_set_regions(struct limiter_check *check, const struct region_map *regions)
{
    check->regions = regions;
}

void limiter_check_set_refund_time(struct limiter_check *check, uint64_t refund_time_ms)
{
    check->refund_time_ns = refund_time_ms * NS_PER_MS;
}

void limiter_check_destroy(struct limiter_check **check)
{
    if (!*check)
        return;
    bus_serve_no_bytes((*check)->service->bus);
    free(*check);
    *check = NULL;
}
