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

enum step valve_enter(struct request *request)
{
    struct valves *valves = request->valves;
    request->call_timeout_ns = UINT64_MAX;
    if (!valves_breakers_params(valves)->enabled)
        return STEP_NEXT;
    // Not there: the owner has not yet published what a reload added; the upstream's own deadlines
    // hold until then.
    int index = breaker_find(valves->breakers, request->upstream->name);
    if (index < 0)
        return STEP_NEXT;
    uint64_t retry_ns = 0;
    enum breaker_grant grant = breaker_acquire(valves->breakers, (uint32_t)index, clock_mono_ns(),
                                               &request->permit, &retry_ns);
    if (grant == BREAKER_REFUSED_OPEN || grant == BREAKER_REFUSED_CAPACITY)
        return fallback_answer(request, EXCHANGE_ANSWERED, grant, retry_ns);
    const struct breaker_definition *definition =
        breaker_definition_at(valves->breakers, (uint32_t)index);
    if (definition != NULL && definition->timeout_ns > 0)
        request->call_timeout_ns = definition->timeout_ns;
    return STEP_NEXT;
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
