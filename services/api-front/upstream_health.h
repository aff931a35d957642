// The health of the endpoints in a pool: what calls have shown (endpoint_health.h) and what active
// probes say (breaker/probed.h), who is left out of the choice, and what is told about it. An
// upstream of one endpoint has none of this: it is used whatever it does. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_UPSTREAM_HEALTH_H
#define VALVECHAIN_API_FRONT_UPSTREAM_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "breaker/breaker.h"
#include "upstream_pool.h"

static inline bool upstream_endpoint_is_left_out(const struct upstream_endpoint *endpoint,
                                                 uint64_t now_ms)
{
    return endpoint->unhealthy || !endpoint_is_open(&endpoint->health, now_ms);
}
// A call to the endpoint has ended; `ticket` of endpoint_enter().
void upstream_health_report(struct upstream_endpoint *endpoint, uint32_t ticket,
                            enum breaker_outcome outcome);
// Looks at what the probes say, and publishes how many are left out.
void upstream_health_tick(struct upstream_pool *pool, uint64_t now_ms);
// After a reload: an endpoint that stays keeps what is known of it, an upstream its retry budget.
void upstream_health_inherit(struct upstream_set *fresh, const struct upstream_set *old);

#endif
