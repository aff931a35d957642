// The decisions half of the gateway's state: everything that identity, limits, route, valve,
// fallback and the system endpoints need of the process. The transport half (front.h) creates one
// and hands it to every request.
// Thread: the loop's. Ownership: valves_destroy().
#ifndef VALVECHAIN_API_FRONT_VALVES_H
#define VALVECHAIN_API_FRONT_VALVES_H

#include "breaker/breaker.h"
#include "config/model.h"
#include "counters.h"
#include "front_params.h"
#include "limit/limit.h"
#include "limit/networks.h"
#include "limit/top.h"
#include "service/service.h"

struct answer_store;   // answer_store.h
struct region_map;     // regions.h
struct token_verifier; // token.h

struct valves {
    struct service *service; // parameters in the order of enum front_group
    struct counters *counters;
    struct limit_view *limits;
    struct breaker_view *breakers;
    struct token_verifier *tokens; // NULL: JWT identity is off
    const char *tokens_off_reason; // a sentence for health and log; NULL: on
    struct cidr_list trusted_proxies, trusted_claims, system_allow, check_allow, permits_allow;
    struct region_map *regions;     // regions.h
    uint32_t ratelimit_styles;      // RATE_LIMIT_HEADERS, enum ratelimit_style
    struct cidr_list near;          // loopback and private: where a forgotten proxy would be
    struct networks networks;       // always refused, or bound by no limit
    struct operator_view operators; // and those of operators
    struct top_table *top;          // NULL: the segment has none
    struct answer_store *store;     // answer_store.h
    // What our own parameters say; health tells when the published ones differ.
    struct limit_policy_set *own_limits;
    struct breaker_definition_set *own_breakers;
    struct strbuf scratch;      // text of one step, reused
    uint64_t limits_generation; // that the next two and the registered series are of
    bool limits_look_at_costs, limits_take_places; // any policy does
    struct request *holding; // requests that hold places of concurrency policies
    uint64_t renew_at_ns;
    bool warned_forwarded;               // once a process: set TRUSTED_PROXIES
    bool forwarded_by_untrusted_private; // degrades health with the cure
    uint64_t security_window_ns;         // security events: so many a second and no more
    unsigned security_in_window;
};

// What the tables cannot check: lists, key file, clash of endpoint paths with each other and with
// routes, the limit and breaker sets. For service_descriptor.check.
int valves_check(void *const *params, const struct config_model *model, struct problems *problems);

// Attaches to limits and breakers, publishes generation 1 of both from our own parameters where
// nobody has. 0 or -errno (has logged why).
int valves_create(struct service *service, struct valves **ret_valves);
// After a reload: new lists, keys, routes and upstreams; counts go on.
int valves_reload(struct valves *valves);
void valves_destroy(struct valves **valves);

static inline const struct front_params *valves_front_params(const struct valves *valves)
{
    return valves->service->params[FRONT_GROUP_FRONT];
}
static inline const struct limits_params *valves_limits_params(const struct valves *valves)
{
    return valves->service->params[FRONT_GROUP_LIMITS];
}
static inline const struct breakers_params *valves_breakers_params(const struct valves *valves)
{
    return valves->service->params[FRONT_GROUP_BREAKERS];
}
static inline const struct monitoring_params *valves_monitoring_params(const struct valves *valves)
{
    return valves->service->params[FRONT_GROUP_MONITORING];
}

// valves_networks.c: after a reload of the parameters; and the first time.
int valves_load_networks(struct valves *valves, struct problems *problems);
int valves_attach_networks(struct valves *valves, struct problems *problems);

// Takes a newer generation of policies over now, without a request that would.
void valves_follow_limits(struct valves *valves);

// A `security` event: one log line, one message on the bus (topic security.KIND), bounded in rate.
// `detail` names no secret and no token.
void valves_security_event(struct request *request, const char *kind, const char *detail);

#endif
