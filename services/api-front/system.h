// The system endpoints: what the suite says about itself, read from the segment by whichever
// gateway instance is asked. Read-only; not charged to any limit; open to SYSTEM_ALLOW.
// Each report is a JSON tree that its caller owns; NULL: no memory.
#ifndef VALVECHAIN_API_FRONT_SYSTEM_H
#define VALVECHAIN_API_FRONT_SYSTEM_H

#include <jansson.h>

#include "figures.h"
#include "valves.h"

// `ret_status`: 200, or 503 when unhealthy.
json_t *system_health_report(struct valves *valves, unsigned *ret_status);
json_t *system_autoscaling_report(struct valves *valves);
// The advice as JSON. Returns 200, or 503 when it is not valid; 0: there is none that is fresh.
unsigned system_advice_write(struct valves *valves, struct strbuf *out);
json_t *system_limit_report(struct valves *valves);
// system_limits.c: hits and refusals of each policy of the list; the keys refused most, with their
// names for who asks from this machine.
void system_limit_add_figures(struct valves *valves, json_t *policies);
json_t *system_limit_top(const struct request *request);
json_t *system_breaker_report(struct valves *valves); // system_breakers.c

// Parts that two reports share.
// The list that the specification asks for; empty: nothing to do.
json_t *system_recommendations(struct valves *valves);
json_t *system_figure(const struct figure *figure, double scale); // null when not known
json_t *system_rounded(double value);                             // two decimals
void system_timestamp(uint64_t wall_ns, char ret_text[32]);       // RFC 3339, UTC
bool system_is_ready(const struct valves *valves);
extern const char *const system_breaker_health[BREAKER_STATES];

#endif
