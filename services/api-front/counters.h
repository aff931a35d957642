// What the gateway counts: the series of metrics.def in the process's slot. Every label set is
// bounded: configured routes and upstreams up to a maximum, a fixed list of methods, status
// classes, results, and the policies of the limit set. Series are registered before they can be
// needed; only the rarer methods of a route are registered when one is first seen.
// Thread: the loop's. Cost of a request: about ten plain adds.
#ifndef VALVECHAIN_API_FRONT_COUNTERS_H
#define VALVECHAIN_API_FRONT_COUNTERS_H

#include "answer_store.h"
#include "config/model.h"
#include "front_metrics.h"
#include "limit/limit.h"
#include "request.h"

// Routes and upstreams beyond these share the label `other`, so that a large configuration cannot
// fill the slot.
#define COUNTERS_ROUTES_MAX    24
#define COUNTERS_UPSTREAMS_MAX 16
// Route labels of requests that no route took.
#define COUNTERS_ROUTE_SYSTEM "system"
#define COUNTERS_ROUTE_NONE   "none"
#define COUNTERS_ROUTE_CHECK  "check"

enum counters_check { // results of checks at CHECK_ENDPOINT
    COUNTERS_CHECK_ADMITTED,
    COUNTERS_CHECK_DENIED,
    COUNTERS_CHECK_BAD,
    COUNTERS_CHECK_BAD_TARGET,
    COUNTERS_CHECK_FORBIDDEN,
    COUNTERS_CHECKS,
};

enum counters_cache { // what became of answers that the fallback `cache` looked at
    COUNTERS_CACHE_KEPT,
    COUNTERS_CACHE_FRESHENED,
    COUNTERS_CACHE_NOT_ALLOWED,
    COUNTERS_CACHE_TOO_LARGE,
    COUNTERS_CACHE_INCOMPLETE,
    COUNTERS_CACHES,
};

struct counters;

// `collect` false (METRICS_COLLECTION=false): the series exist and stand still.
int counters_create(struct metric_set *metrics, bool collect, struct counters **ret_counters);
void counters_destroy(struct counters **counters);

// Registers what a model's routes and upstreams need; what is there stays (also across reloads).
void counters_add_model(struct counters *counters, const struct config_model *model);
// Registers the series of a new generation of policies.
void counters_add_policies(struct counters *counters, const struct limit_view *view);
struct route_counters *counters_route(struct counters *counters, const char *route_name);

// A series without labels.
void counters_add(struct valves *valves, enum front_metric metric, uint64_t n);

// The transport's figures.
void counters_connections(struct valves *valves, uint64_t open, uint64_t max, uint64_t requests);
void counters_upstream_connections(struct valves *valves, const char *upstream, uint64_t open,
                                   uint64_t idle);

// A further attempt, or one that the budget did not allow.
void counters_upstream_retry(struct valves *valves, const char *upstream, bool made);
void counters_upstream_ejection(struct valves *valves, const char *upstream);
void counters_upstream_endpoints(struct valves *valves, const char *upstream, uint64_t ejected,
                                 uint64_t unhealthy, bool panic);

// Called by the other files of the decisions half.
// A request waited so long for the limiter; `answered`: it got its word.
void counters_lease_wait(struct valves *valves, bool answered, uint64_t waited_ns);
void counters_limits(struct valves *valves, const struct limit_facts *facts,
                     const struct limit_verdict *verdict);
void counters_upstream_result(struct request *request, enum exchange_result result);
// "mock", "queue", "cache", "error"
void counters_fallback(struct valves *valves, const char *kind);
void counters_fallback_missed(struct valves *valves, const char *kind); // it did not fit
void counters_cache(struct valves *valves, enum counters_cache result);
void counters_cache_figures(struct valves *valves, struct answer_store_figures figures);
void counters_check(struct valves *valves, enum counters_check result);
void counters_token(struct valves *valves, unsigned token_result);

extern const char *const exchange_result_names[EXCHANGE_CLIENT_GONE + 1];
extern const char *const answer_source_names[ANSWER_FALLBACK + 1];

#endif
