// What the end of a call means to the breaker of its upstream: one place for calls of clients and
// for what is delivered later. `outcomes` of the configuration file, else the usual. Pure. Thread:
// any.
#ifndef VALVECHAIN_BREAKER_CALL_OUTCOME_H
#define VALVECHAIN_BREAKER_CALL_OUTCOME_H

#include "breaker/breaker.h"
#include "config/model.h"

// Usually 5xx is a failure; 4xx is the caller's fault and a success of the upstream.
enum breaker_outcome call_outcome_of_status(const struct config_outcomes *outcomes,
                                            unsigned status);
// Usually what came too late is a timeout, all else a failure.
enum breaker_outcome call_outcome_of_end(const struct config_outcomes *outcomes,
                                         enum config_call_end end);

// The JSON-RPC answer of a call that ended well by its status: an error whose code `outcomes`
// names. Of a batch the worst counts, ignored only when all are. Else `by_status`, also of what is
// no JSON.
enum breaker_outcome call_outcome_of_rpc(const struct config_outcomes *outcomes,
                                         enum breaker_outcome by_status, const char *body,
                                         size_t len);

#endif
