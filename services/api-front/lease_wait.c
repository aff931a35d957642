#include "lease_wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "counters.h"
#include "limit/limit_lease.h"
#include "limits.h"
#include "ratelimit_fields.h"
#include "request_life.h"
#include "valves.h"

#define ASKS_MAX 3 // times one request asks: the policies may change while it waits

// Lives until the limiter's answer is there, which may be longer than its request.
struct lease_wait {
    struct valves *valves;
    struct request *request; // NULL: gone
    bool open;               // the limiter has not answered
    unsigned asks;
    uint64_t since_ns;
    struct limit_ask asked[LIMIT_MATCHED_MAX]; // the last time
    size_t n_asked;
    struct limit_grant grants[LIMIT_MATCHED_MAX];
    size_t n_grants;
};

struct message { // lease.request, with what it points at
    Valvechain__V1__Lease base;
    Valvechain__V1__Origin origin;
    Valvechain__V1__LeaseAsk asks[LIMIT_MATCHED_MAX], *ask_pointers[LIMIT_MATCHED_MAX];
    Valvechain__V1__LeaseReturn returns[LIMIT_MATCHED_MAX], *return_pointers[LIMIT_MATCHED_MAX];
};

static void message_init(struct message *message, const struct valves *valves)
{
    valvechain__v1__lease__init(&message->base);
    bus_origin(valves->service->bus, &message->origin);
    message->base.origin = &message->origin;
    message->base.asks = message->ask_pointers;
    message->base.returns = message->return_pointers;
}

static void add_ask(struct message *message, const struct limit_ask *ask)
{
    size_t n = message->base.n_asks++;
    Valvechain__V1__LeaseAsk *to = message->ask_pointers[n] = &message->asks[n];
    valvechain__v1__lease_ask__init(to);
    to->identity = ask->identity;
    to->key_hash = ask->hash;
    to->key_id_high = ask->key_id[0];
    to->key_id_low = ask->key_id[1];
    to->limit = ask->limit;
    to->cost = ask->cost;
    to->shadow = ask->shadow;
}

static void add_return(struct message *message, const struct limit_return *item)
{
    size_t n = message->base.n_returns++;
    Valvechain__V1__LeaseReturn *to = message->return_pointers[n] = &message->returns[n];
    valvechain__v1__lease_return__init(to);
    to->identity = item->identity;
    to->key_hash = item->hash;
    to->key_id_high = item->key_id[0];
    to->key_id_low = item->key_id[1];
    to->lease = item->lease;
    to->tokens = item->tokens;
}

static void ignore_reply(void *arg, int error, const ProtobufCMessage *reply)
{
    (void)arg;
    (void)error; // what could not be asked ahead is asked when it is needed
    (void)reply;
}

static int send_message(struct valves *valves, const struct message *message, bus_reply_fn *fn,
                        void *arg)
{
    return bus_request(valves->service->bus, "limiter", "lease.request", &message->base.base,
                       valves_limits_params(valves)->lease_timeout_ms, fn, arg);
}

// ---- returns ---------------------------------------------------------------------------------

// Grants of the wait that nobody will spend.
static void return_grants(struct lease_wait *wait)
{
    struct message message;
    message_init(&message, wait->valves);
    for (size_t i = 0; i < wait->n_asked; i++) {
        const struct limit_ask *ask = &wait->asked[i];
        for (size_t k = 0; k < wait->n_grants; k++) {
            const struct limit_grant *grant = &wait->grants[k];
            if (grant->identity == ask->identity && grant->kind == LIMIT_GRANTED &&
                grant->lease != 0) {
                const struct limit_return item = {.identity = ask->identity,
                                                  .hash = ask->hash,
                                                  .key_id = {ask->key_id[0], ask->key_id[1]},
                                                  .lease = grant->lease,
                                                  .tokens = ask->cost};
                add_return(&message, &item);
            }
        }
    }
    if (message.base.n_returns > 0) {
        (void)send_message(wait->valves, &message, ignore_reply, NULL); // lost: they age out
    }
}

void lease_wait_return(struct request *request)
{
    struct limit_return returns[LIMIT_MATCHED_MAX];
    struct message message;
    size_t n = limit_returns(&request->limits, returns);
    if (n == 0) {
        return;
    }
    message_init(&message, request->valves);
    for (size_t i = 0; i < n; i++) {
        add_return(&message, &returns[i]);
    }
    (void)send_message(request->valves, &message, ignore_reply, NULL); // lost: they age out
}

// ---- asking ----------------------------------------------------------------------------------

static void put_grant(struct lease_wait *wait, const struct limit_grant *grant)
{
    for (size_t i = 0; i < wait->n_grants; i++) {
        if (wait->grants[i].identity == grant->identity) {
            wait->grants[i] = *grant;
            return;
        }
    }
    if (wait->n_grants < LIMIT_MATCHED_MAX) {
        wait->grants[wait->n_grants++] = *grant;
    }
}

static uint8_t kind_of(const char *outcome)
{
    return strcmp(outcome, "granted") == 0   ? LIMIT_GRANTED
           : strcmp(outcome, "refused") == 0 ? LIMIT_REFUSED
                                             : LIMIT_STORE_AWAY;
}

// Without an answer the store counts as away.
static void take_answers(struct lease_wait *wait, const Valvechain__V1__Lease *reply)
{
    for (size_t i = 0; i < wait->n_asked; i++) {
        const struct limit_ask *ask = &wait->asked[i];
        struct limit_grant grant = {.kind = LIMIT_STORE_AWAY,
                                    .identity = ask->identity,
                                    .key_id = {ask->key_id[0], ask->key_id[1]}};
        if (reply != NULL && i < reply->n_answers) {
            const Valvechain__V1__LeaseAnswer *answer = reply->answers[i];
            grant.kind = kind_of(answer->outcome);
            grant.lease = answer->lease;
            grant.fits_after_ns = answer->fits_after_ns;
            grant.left = answer->left;
        }
        put_grant(wait, &grant);
    }
}

static void on_reply(void *arg, int error, const ProtobufCMessage *reply)
{
    struct lease_wait *wait = arg;
    wait->open = false;
    take_answers(wait, error == 0 ? (const void *)reply : NULL);
    if (wait->request == NULL) {
        return_grants(wait);
        free(wait);
        return;
    }
    counters_lease_wait(wait->valves, error == 0, clock_mono_ns() - wait->since_ns);
    request_go_on(wait->request);
}

// Asks for what the verdict waits for. False: nobody can be asked.
static bool ask(struct request *request, const struct limit_facts *facts)
{
    struct lease_wait *wait = request->lease_wait;
    struct message message;
    if (wait == NULL) {
        wait = calloc(1, sizeof(*wait));
        if (wait == NULL) {
            return false;
        }
        wait->valves = request->valves;
        wait->request = request;
        request->lease_wait = wait;
    }
    struct limit_ask asks[LIMIT_MATCHED_MAX];
    size_t n = limit_asks(request->valves->limits, facts, &request->limits, asks);
    message_init(&message, request->valves);
    wait->n_asked = 0;
    for (size_t i = 0; i < n; i++) {
        if (asks[i].kind != LIMIT_ASK_AHEAD) {
            wait->asked[wait->n_asked++] = asks[i];
            add_ask(&message, &asks[i]);
        }
    }
    wait->since_ns = clock_mono_ns();
    wait->open =
        wait->asks++ < ASKS_MAX && send_message(request->valves, &message, on_reply, wait) == 0;
    return wait->open;
}

// Nobody waits for these.
static void ask_aside(struct request *request, const struct limit_facts *facts)
{
    struct limit_ask asks[LIMIT_MATCHED_MAX];
    struct message message;
    size_t n = limit_asks(request->valves->limits, facts, &request->limits, asks);
    message_init(&message, request->valves);
    for (size_t i = 0; i < n; i++) {
        add_ask(&message, &asks[i]);
    }
    (void)send_message(request->valves, &message, ignore_reply, NULL);
}

// ---- deciding --------------------------------------------------------------------------------

static void drop(struct request *request)
{
    free(request->lease_wait);
    request->lease_wait = NULL;
}

// Nobody can be asked: the store counts as away for what is still missing.
static void decide_as_away(struct request *request, const struct limit_facts *facts)
{
    struct lease_wait none = {0};
    struct lease_wait *wait = request->lease_wait != NULL ? request->lease_wait : &none;
    for (size_t i = 0; i < request->limits.n; i++) {
        if (request->limits.charges[i].ask == LIMIT_ASK_WAIT) {
            put_grant(wait, &(struct limit_grant){.kind = LIMIT_STORE_AWAY,
                                                  .identity = request->limits.charges[i].identity});
        }
    }
    limit_decide_granted(request->valves->limits, facts, wait->grants, wait->n_grants,
                         &request->limits);
}

bool lease_wait_decide(struct request *request, const struct limit_facts *facts)
{
    struct limit_view *view = request->valves->limits;
    struct lease_wait *wait = request->lease_wait;
    limit_decide_granted(view, facts, wait != NULL ? wait->grants : NULL,
                         wait != NULL ? wait->n_grants : 0, &request->limits);
    if (request->limits.waits) {
        if (ask(request, facts)) {
            return false;
        }
        decide_as_away(request, facts);
    } else if (request->limits.asks) {
        ask_aside(request, facts);
    }
    drop(request);
    lease_wait_return(request);
    return true;
}

bool lease_wait_denies(const struct request *request)
{
    const struct limit_verdict *verdict = &request->limits;
    const struct limit_charge *charge = &verdict->charges[verdict->denied_by];
    return !verdict->admitted && verdict->n > 0 && charge->denied && charge->store_away;
}

enum step lease_wait_answer_away(struct request *request, unsigned denied_status)
{
    unsigned status = denied_status == 429 ? 503 : denied_status;
    if (request->limits.retry_after_ns != LIMIT_NEVER)
        limits_add_retry_after(request);
    (void)request_add_answer_header(request, "Cache-Control", "no-store");
    return answer_problem(request, status, "limits_unavailable", answer_title(status),
                          "A limit is counted for several machines together, and the store of its "
                          "counts does not answer at the moment.",
                          NULL, NULL);
}

void lease_wait_forget(struct request *request)
{
    struct lease_wait *wait = request->lease_wait;
    if (wait == NULL) {
        return;
    }
    request->lease_wait = NULL;
    wait->request = NULL;
    if (!wait->open) {
        return_grants(wait);
        free(wait);
    }
}
