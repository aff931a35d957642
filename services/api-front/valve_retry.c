#include "valve_retry.h"

#include "base/clock.h"
#include "counters.h"
#include "valve_outcome.h"
#include "valves.h"

bool valve_is_closed(const struct request *request)
{
    const struct breaker_permit *permit = &request->permit;
    return !permit->held || breaker_is_closed_for(request->valves->breakers, permit);
}

bool valve_attempt_failed(struct request *request, enum exchange_result result, unsigned status)
{
    if (request->permit.held &&
        !breaker_attempt(request->valves->breakers, &request->permit,
                         valve_classify(&request->upstream->outcomes, result, status),
                         clock_mono_ns())) {
        return false;
    }
    counters_upstream_result(request, result);
    return true;
}
