#include "exchange_retry.h"

#include "base/clock.h"
#include "client.h"
#include "counters.h"
#include "exchange_transport.h"
#include "front.h"
#include "idempotency.h"
#include "upstream_health.h"
#include "valve_outcome.h"
#include "valve_retry.h"

static bool is_keyed(const struct request *request)
{
    const char *key;
    size_t len;
    return (request->method_bit & (HTTP_POST | HTTP_PATCH)) != 0 &&
           idempotency_read(request->headers, request->n_headers, &key, &len) == IDEMPOTENCY_KEY;
}

// An upstream of one endpoint has nowhere to go, unless it is told so.
static bool has_retries(const struct upstream_pool *pool)
{
    const struct config_retry *rules = &pool->config->retry;
    return rules->attempts > 0 && (pool->n_endpoints > 1 || rules->same_endpoint);
}

void exchange_retry_init(struct exchange *x)
{
    const struct config_retry *rules = &x->pool->config->retry;
    x->repeatable =
        (x->request->method_bit & HTTP_IDEMPOTENT) != 0 || (rules->keyed && is_keyed(x->request));
    if (has_retries(x->pool)) {
        retry_budget_call(&x->pool->budget, front_now_ms(x->front));
    }
}

static bool is_reason(const struct exchange *x, enum exchange_result result)
{
    uint32_t statuses = x->pool->config->retry.statuses;
    if (result == EXCHANGE_RESET) {
        return !x->answer_begun;
    }
    switch (x->answer.status) {
    case 502:
        return (statuses & CONFIG_RETRY_502) != 0;
    case 503:
        return (statuses & CONFIG_RETRY_503) != 0;
    case 504:
        return (statuses & CONFIG_RETRY_504) != 0;
    default:
        return false;
    }
}

// An endpoint that this call has not seen, or, where that is allowed, one it has.
static bool find_place(struct exchange *x)
{
    uint64_t tried = x->tried | 1ULL << (unsigned)(x->endpoint - x->pool->endpoints);
    for (size_t i = 0; i < x->pool->n_endpoints; i++) {
        if ((tried & 1ULL << i) == 0 && x->pool->endpoints[i].resolve.n_addresses > 0) {
            x->tried = tried;
            return true;
        }
    }
    if (!x->pool->config->retry.same_endpoint) {
        return false;
    }
    x->tried = 0;
    return true;
}

static bool may_retry(struct exchange *x, enum exchange_result result)
{
    const struct config_retry *rules = &x->pool->config->retry;
    bool untouched = x->head_sent == 0;
    if (x->attempts >= rules->attempts || x->request->answered || !is_reason(x, result) ||
        !(untouched || (x->repeatable && x->out.keep)) || !valve_is_closed(x->request)) {
        return false;
    }
    if (!find_place(x)) {
        return false;
    }
    if (!retry_budget_take(&x->pool->budget, rules, front_now_ms(x->front))) {
        counters_upstream_retry(x->request->valves, x->pool->config->name, false);
        return false;
    }
    return true;
}

// As a call that has just begun, but for what it has tried and the time it has left.
static void begin_anew(struct exchange *x)
{
    struct request *request = x->request;
    x->endpoint = NULL;
    x->addresses_tried = 0;
    x->head_sent = 0;
    x->sent_all = x->send_stopped = x->write_failed = false;
    x->answer_begun = x->reading_paused = x->broken = x->retry_judged = false;
    x->held_since_ms = 0;
    (void)body_rewind(&x->out);
    body_fini(&x->in);
    body_init(&x->in, &x->front->bodies);
    upstream_answer_init(&x->answer, client_arena(request), client_answer_head_max(request),
                         request->method_bit == HTTP_HEAD, exchange_on_body_piece, x);
    request->first_byte_ns = 0;
    request->upstream_start_ns = clock_mono_ns();
}

bool exchange_retry(struct exchange *x, enum exchange_result result)
{
    if (x->retry_judged || !has_retries(x->pool)) {
        return false;
    }
    x->retry_judged = true;
    if (!may_retry(x, result)) {
        return false;
    }
    unsigned status = x->answer.status;
    bool keep = result == EXCHANGE_ANSWERED && x->answer.complete && x->answer.reusable;
    if (!valve_attempt_failed(x->request, result, status)) {
        return false; // this attempt has opened the breaker
    }
    x->transport->close(x, keep && x->sent_all);
    upstream_health_report(x->endpoint, x->ticket,
                           valve_classify(&x->pool->config->outcomes, result, status));
    counters_upstream_retry(x->request->valves, x->pool->config->name, true);
    x->attempts++;
    begin_anew(x);
    x->phase = EXCHANGE_WAITING;
    x->retry_at_ms =
        front_now_ms(x->front) + front_random(x->front) % (x->pool->config->retry.backoff_ms + 1);
    exchange_retry_tick(x, front_now_ms(x->front));
    return true;
}

void exchange_retry_tick(struct exchange *x, uint64_t now_ms)
{
    if (now_ms >= x->retry_at_ms) {
        exchange_connect(x);
        exchange_flush(x);
    }
}
