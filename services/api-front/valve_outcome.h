// What the end of an upstream call means to its breaker. Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_VALVE_OUTCOME_H
#define VALVECHAIN_API_FRONT_VALVE_OUTCOME_H

#include "request.h"

// `status` counts for EXCHANGE_ANSWERED only. By default an upstream's own 5xx is passed to the
// client as its answer and is a failure all the same; 4xx is a client's fault and a success of the
// upstream; `outcomes` may say otherwise. What was refused here or left by the client says nothing
// about the upstream, whatever they say.
enum breaker_outcome valve_classify(const struct config_outcomes *outcomes,
                                    enum exchange_result result, unsigned status);

// Retry-After (RFC 9110 10.2.3), seconds or a date, of an answer 429 or 503; 0: none.
uint64_t valve_retry_after_ns(unsigned status, const struct http_header *headers, size_t n,
                              int64_t wall_s);

#endif
