#include "answer_tap.h"
#include "base/clock.h"
#include "counters.h"
#include "exchange.h"
#include "fallback.h"
#include "handover.h"
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
    struct valves *valves = request->valves;
    int index = breaker_find(valves->breakers, request->upstream->name);
    set_call_timeout(request, index);
    if (handover_must_queue(request))
        return fallback_answer(request, EXCHANGE_ANSWERED, BREAKER_GRANTED, 0);
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
    breaker_answered(&request->permit, now_ns);
    (void)breaker_judge(request->valves->breakers, &request->permit,
                        valve_classify(EXCHANGE_ANSWERED, request->status), now_ns);
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

void valve_leave(struct request *request, enum exchange_result result, bool started)
{
    // The client's answer may be another one.
    unsigned status = request->exchange != NULL ? request->exchange->answer.status : 0;
    counters_upstream_result(request, result);
    if (request->tap != NULL)
        answer_tap_end(request->tap, result == EXCHANGE_ANSWERED);
    if (request->permit.held)
        (void)breaker_report(request->valves->breakers, &request->permit,
                             valve_classify(result, status), clock_mono_ns());
    if (started || request->answered || result == EXCHANGE_ANSWERED ||
        result == EXCHANGE_CLIENT_GONE)
        return;
    (void)fallback_answer(request, result, BREAKER_GRANTED, 0);
}
