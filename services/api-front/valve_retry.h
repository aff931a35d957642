// What the breaker has to say about another attempt of a call. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_VALVE_RETRY_H
#define VALVECHAIN_API_FRONT_VALVE_RETRY_H

#include "request.h"

// The breaker that let the call through is closed, and the call no probe; or none was asked.
bool valve_is_closed(const struct request *request);
// Counts an attempt that is followed by another. False: the breaker has opened by it, so that there
// is none; then the attempt is still to be told to valve_leave().
bool valve_attempt_failed(struct request *request, enum exchange_result result, unsigned status);

#endif
