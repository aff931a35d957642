// What the end of an upstream call means to its breaker. Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_VALVE_OUTCOME_H
#define VALVECHAIN_API_FRONT_VALVE_OUTCOME_H

#include "request.h"

// `status` counts for EXCHANGE_ANSWERED only. An upstream's own 5xx is passed to the client as its
// answer and is a failure all the same; 4xx is a client's fault and a success of the upstream; what
// was refused here or left by the client says nothing about the upstream.
enum breaker_outcome valve_classify(enum exchange_result result, unsigned status);

#endif
