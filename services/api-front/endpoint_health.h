// When an endpoint of an upstream gets no calls because calls to it fail (outlier ejection).
//
//   in --(failures in a row)--> out --(time is over, a call comes)--> on trial --(success)--> in
//                                ^--------------------(failure)--------'
//
// Out for `time_ms` times the ejections not forgotten, at most `time_max_ms`; one ejection is
// forgotten for each `time_ms` spent in without another. On trial, one call at a time goes there.
// Each call holds a ticket: what was begun before a change says nothing about what came after it,
// so that late failures of one outage do not eject twice. Refusals of our own (full pools, clients
// gone) are IGNORED and never count against the endpoint.
// One process's own view: each gateway learns by its own calls. Pure, under the caller's clock.
// Thread: any, one at a time.
#ifndef VALVECHAIN_API_FRONT_ENDPOINT_HEALTH_H
#define VALVECHAIN_API_FRONT_ENDPOINT_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "breaker/breaker.h"
#include "config/model_endpoints.h"

enum endpoint_state { ENDPOINT_IN, ENDPOINT_OUT, ENDPOINT_TRIAL };
enum endpoint_change { ENDPOINT_SAME, ENDPOINT_EJECTED, ENDPOINT_RETURNED };

struct endpoint_health { // zeroed: in
    enum endpoint_state state;
    uint32_t streak;    // failures in a row
    uint32_t ejections; // that are not forgotten
    uint32_t ticket;    // of this state
    // in: when an ejection is forgotten; out: until then; on trial: when another call may try
    uint64_t until_ms;
};

// May a call go there now?
static inline bool endpoint_is_open(const struct endpoint_health *health, uint64_t now_ms)
{
    return health->state == ENDPOINT_IN || now_ms >= health->until_ms;
}
// A call goes there, open or not; returns its ticket.
uint32_t endpoint_enter(struct endpoint_health *health, const struct config_ejection *rules,
                        uint64_t now_ms);
// How it ended. `may_eject`: see endpoint_may_eject().
enum endpoint_change endpoint_report(struct endpoint_health *health,
                                     const struct config_ejection *rules, uint32_t ticket,
                                     enum breaker_outcome outcome, bool may_eject, uint64_t now_ms);

// May one more of `n` endpoints be ejected when `n_out` are left out already?
bool endpoint_may_eject(const struct config_ejection *rules, size_t n, size_t n_out);
// Are so many left out that all are used?
bool endpoint_panics(const struct config_ejection *rules, size_t n, size_t n_out);

#endif
