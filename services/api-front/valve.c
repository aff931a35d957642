#include "base/clock.h"
#include "counters.h"
#include "request.h"
#include "valve_outcome.h"
#include "valves.h"

bool valve_needs_body(const struct request *request)
{
    if (request->method_bit != HTTP_POST || !request->has_body)
        return false;
    if (!request->chunked && request->content_length > REQUEST_BODY_KEPT_MAX)
        return false;
    for (size_t i = 0; i < request->route->n_fallbacks; i++)
        if (request->route->fallbacks[i].kind == FALLBACK_MOCK &&
            request->route->fallbacks[i].mock_rpc_methods != NULL)
            return true;
    return false;
}

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
    if (index < 0 || !valves_breakers_params(valves)->enabled)
        return STEP_NEXT;
    uint64_t retry_ns = 0;
    enum breaker_grant grant = breaker_acquire(valves->breakers, (uint32_t)index, clock_mono_ns(),
                                               &request->permit, &retry_ns);
    if (grant == BREAKER_REFUSED_OPEN || grant == BREAKER_REFUSED_CAPACITY)
        return fallback_answer(request, EXCHANGE_ANSWERED, grant, retry_ns);
    return STEP_NEXT;
}

void valve_judge(struct request *request)
{
    if (request->permit.held)
        (void)breaker_judge(request->valves->breakers, &request->permit,
                            valve_classify(EXCHANGE_ANSWERED, request->status), clock_mono_ns());
}

void valve_leave(struct request *request, enum exchange_result result, bool started)
{
    counters_upstream_result(request, result);
    if (request->permit.held)
        (void)breaker_report(request->valves->breakers, &request->permit,
                             valve_classify(result, request->status), clock_mono_ns());
    if (started || request->answered || result == EXCHANGE_ANSWERED ||
        result == EXCHANGE_CLIENT_GONE)
        return;
    (void)fallback_answer(request, result, BREAKER_GRANTED, 0);
}
