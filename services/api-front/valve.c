#include "answer_tap.h"
#include "base/clock.h"
#include "counters.h"
#include "exchange.h"
#include "fallback.h"
#include "handover.h"
#include "mail.h"
#include "request.h"
#include "valve_outcome.h"
#include "valves.h"

// The breaker's deadline for connecting and the first byte holds also while breakers are switched
// off, and until the owner has published what a reload added: no call waits for ever.
static void set_call_timeout(struct request *request, int index)
{
    struct valves *valves = request->valves;
    const struct breaker_definition *definition =
        index >= 0 ? breaker_definition_at(valves->breakers, (uint32_t)index) : NULL;
    request->call_timeout_ns = definition != NULL && definition->timeout_ns > 0
                                   ? definition->timeout_ns
                                   : valves_breakers_params(valves)->timeout_ms * NS_PER_MS;
}

enum step valve_enter(struct request *request)
{
    set_call_timeout(request, breaker_find(request->valves->breakers, request->upstream->name));
    if (config_upstream_is_smtp(request->upstream))
        return mail_answer(request);
    if (handover_must_queue(request))
        return fallback_answer(request, EXCHANGE_ANSWERED, BREAKER_GRANTED, 0);
    return valve_acquire(request);
}

enum step valve_acquire(struct request *request)
{
    struct valves *valves = request->valves;
    int index = breaker_find(valves->breakers, request->upstream->name);
    if (index < 0 || !valves_breakers_params(valves)->enabled)
        return STEP_NEXT;
    uint64_t retry_ns = 0;
    enum breaker_grant grant = breaker_acquire(valves->breakers, (uint32_t)index, clock_mono_ns(),
                                               &request->permit, &retry_ns);
    if (breaker_is_refusal(grant))
        return fallback_answer(request, EXCHANGE_ANSWERED, grant, retry_ns);
    return STEP_NEXT;
}

void valve_judge(struct request *request)
{
    if (!request->permit.held)
        return;
    uint64_t now_ns = clock_mono_ns();
    const struct upstream_answer *answer = &request->exchange->answer;
    if (request->permit.answered_ns == 0)
        breaker_answered(&request->permit, now_ns);
    if (request->tap != NULL && answer_tap_decides(request->tap, answer))
        return; // with the end of its body
    (void)breaker_judge(
        request->valves->breakers, &request->permit,
        valve_classify(&request->upstream->outcomes, EXCHANGE_ANSWERED, answer->status), now_ns);
}

void valve_upload_waits(struct request *request)
{
    struct breaker_permit *permit = &request->permit;
    if (!permit->held || !permit->probe || permit->judged)
        return;
    struct breaker_view *view = request->valves->breakers;
    const struct breaker_definition *definition = breaker_definition_at(view, permit->breaker);
    uint64_t now_ns = clock_mono_ns();
    if (definition != NULL && now_ns - permit->start_ns >= definition->probe_lease_ns / 2)
        (void)breaker_judge(view, permit, BREAKER_IGNORED, now_ns);
}

bool valve_is_crowded(const struct request *request)
{
    struct breaker_status status;
    return request->permit.held &&
           breaker_status(request->valves->breakers, request->permit.breaker, clock_mono_ns(),
                          &status) == 0 &&
           status.in_flight * 2 > status.capacity;
}

// The outcome of a call that has ended; also what the answer's body says.
static enum breaker_outcome judge_end(struct request *request, enum exchange_result result)
{
    // The client's answer may be another one.
    unsigned status = request->exchange != NULL ? request->exchange->answer.status : 0;
    enum breaker_outcome outcome = valve_classify(&request->upstream->outcomes, result, status);
    if (request->tap == NULL)
        return outcome;
    answer_tap_end(request->tap, result == EXCHANGE_ANSWERED, outcome);
    return request->tap->outcome;
}

static void report(struct request *request, enum exchange_result result,
                   enum breaker_outcome outcome)
{
    struct breaker_view *view = request->valves->breakers;
    uint64_t now_ns = clock_mono_ns();
    (void)breaker_report(view, &request->permit, outcome, now_ns);
    if (result != EXCHANGE_ANSWERED || outcome == BREAKER_SUCCESS || outcome == BREAKER_IGNORED)
        return;
    const struct upstream_answer *answer = &request->exchange->answer;
    uint64_t retry_ns = valve_retry_after_ns(answer->status, answer->headers, answer->n_headers,
                                             (int64_t)(clock_wall_ns() / NS_PER_S));
    if (retry_ns > 0)
        (void)breaker_keep_open(view, &request->permit, retry_ns, now_ns);
}

void valve_leave(struct request *request, enum exchange_result result, bool started)
{
    counters_upstream_result(request, result);
    enum breaker_outcome outcome = judge_end(request, result);
    if (request->permit.held)
        report(request, result, outcome);
    if (started || request->answered || result == EXCHANGE_ANSWERED ||
        result == EXCHANGE_CLIENT_GONE)
        return;
    (void)fallback_answer(request, result, BREAKER_GRANTED, 0);
}
