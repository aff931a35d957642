#include "counters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "metric/database_metrics.h"
#include "token.h"
#include "valves.h"

#define METHODS     8 // bits of http_method_bit
#define CLASSES     4 // 2xx to 5xx
#define RESULTS     (EXCHANGE_CLIENT_GONE + 1)
#define FALLBACKS   4
#define SOURCES     (ANSWER_FALLBACK + 1)
#define TIERS       3
#define ROUTE_OTHER 3 // index into routes: none, system, check, other come first

static const char *const method_names[METHODS] = {"GET",    "HEAD",  "POST",    "PUT",
                                                  "DELETE", "PATCH", "OPTIONS", "OTHER"};
static const char *const class_names[CLASSES] = {"2xx", "3xx", "4xx", "5xx"};
static const char *const endpoint_type_names[] = {"api", "auth", "system"};
static const char *const check_names[COUNTERS_CHECKS] = {"admitted", "denied", "bad", "bad_target",
                                                         "forbidden"};
static const char *const fallback_names[FALLBACKS] = {"mock", "queue", "cache", "error"};
static const char *const cache_names[COUNTERS_CACHES] = {"kept", "freshened", "not_allowed",
                                                         "too_large", "incomplete"};
const char *const answer_source_names[SOURCES] = {"upstream", "system", "gateway", "fallback"};
const char *const exchange_result_names[RESULTS] = {
    [EXCHANGE_ANSWERED] = "answered",
    [EXCHANGE_CONNECT_FAILED] = "connect_failed",
    [EXCHANGE_CONNECT_TIMEOUT] = "connect_timeout",
    [EXCHANGE_TLS_FAILED] = "tls_failed",
    [EXCHANGE_FIRST_BYTE_TIMEOUT] = "first_byte_timeout",
    [EXCHANGE_IDLE_TIMEOUT] = "idle_timeout",
    [EXCHANGE_TOTAL_TIMEOUT] = "total_timeout",
    [EXCHANGE_RESET] = "reset",
    [EXCHANGE_BAD_ANSWER] = "bad_answer",
    [EXCHANGE_HEAD_TOO_LARGE] = "head_too_large",
    [EXCHANGE_POOL_FULL] = "pool_full",
    [EXCHANGE_NO_ADDRESS] = "no_address",
    [EXCHANGE_CLIENT_GONE] = "client_gone",
};

struct route_counters {
    char *name;
    metric_id requests[METHODS][CLASSES];
    bool registered[METHODS];
    metric_id duration;
};
struct upstream_counters {
    char *name;
    metric_id results[RESULTS];
    metric_id latency, connections, idle, ejections, ejected, unhealthy, panic, repeats,
        repeats_refused;
};
struct policy_counters {
    char name[LIMIT_NAME_MAX];
    metric_id hits[LIMIT_TIER_MAX], shadow, charged, near;
};
struct counters {
    struct metric_set *metrics;
    bool collect;
    struct database_metrics database;
    metric_id plain[FRONT_METRICS]; // 0 where the metric has labels
    metric_id answers[SOURCES], tokens[TOKEN_RESULTS], checks[COUNTERS_CHECKS],
        fallbacks[FALLBACKS], missed[FALLBACKS], caches[COUNTERS_CACHES], lease_answered,
        lease_late;
    metric_id admitted[LIMIT_TIER_MAX], denied[LIMIT_TIER_MAX]; // 0: no such tier
    uint64_t evictions;                                         // told so far
    struct route_counters routes[COUNTERS_ROUTES_MAX + ROUTE_OTHER + 1];
    size_t n_routes;
    struct upstream_counters upstreams[COUNTERS_UPSTREAMS_MAX + 1]; // other comes first
    size_t n_upstreams;
    struct policy_counters policies[LIMIT_POLICIES_MAX];
    size_t n_policies;
    struct policy_counters *by_index[LIMIT_POLICIES_MAX]; // in the generation that was added last
};
#define UPSTREAM_OTHER 0

static metric_id reg(struct counters *counters, enum front_metric metric, const char *a,
                     const char *b, const char *c)
{
    const char *const labels[] = {a, b, c};
    return metric_register(counters->metrics, &front_metric_defs[metric], labels);
}

static void add(struct counters *counters, metric_id id, uint64_t n)
{
    if (counters->collect)
        metric_add(counters->metrics, id, n);
}

static void register_method(struct counters *counters, struct route_counters *route, unsigned at)
{
    for (unsigned i = 0; i < CLASSES; i++)
        route->requests[at][i] =
            reg(counters, METRIC_INDEX_requests, route->name, method_names[at], class_names[i]);
    route->registered[at] = true;
}

static void add_route(struct counters *counters, const char *name, unsigned methods)
{
    struct route_counters *route = &counters->routes[counters->n_routes];
    *route = (struct route_counters){.name = strdup(name)};
    if (route->name == NULL)
        return; // such a route is counted as `other`
    counters->n_routes++;
    route->duration = reg(counters, METRIC_INDEX_duration, name, NULL, NULL);
    // GET and POST are what nearly every route sees; the rest comes with its first request.
    for (unsigned at = 0; at < METHODS; at++)
        if ((methods & (HTTP_GET | HTTP_POST) & (1u << at)) != 0)
            register_method(counters, route, at);
}

static void add_upstream(struct counters *counters, const char *name)
{
    struct upstream_counters *upstream = &counters->upstreams[counters->n_upstreams];
    *upstream = (struct upstream_counters){.name = strdup(name)};
    if (upstream->name == NULL)
        return;
    counters->n_upstreams++;
    for (unsigned i = 0; i < RESULTS; i++)
        upstream->results[i] =
            reg(counters, METRIC_INDEX_upstream_results, name, exchange_result_names[i], NULL);
    upstream->latency = reg(counters, METRIC_INDEX_upstream_latency, name, NULL, NULL);
    upstream->connections = reg(counters, METRIC_INDEX_upstream_connections, name, NULL, NULL);
    upstream->idle = reg(counters, METRIC_INDEX_upstream_idle, name, NULL, NULL);
    upstream->ejections = reg(counters, METRIC_INDEX_upstream_ejections, name, NULL, NULL);
    upstream->ejected = reg(counters, METRIC_INDEX_upstream_ejected, name, NULL, NULL);
    upstream->repeats = reg(counters, METRIC_INDEX_upstream_repeats, name, NULL, NULL);
    upstream->repeats_refused =
        reg(counters, METRIC_INDEX_upstream_repeats_refused, name, NULL, NULL);
    upstream->unhealthy = reg(counters, METRIC_INDEX_upstream_unhealthy, name, NULL, NULL);
    upstream->panic = reg(counters, METRIC_INDEX_upstream_panic, name, NULL, NULL);
}

int counters_create(struct metric_set *metrics, bool collect, struct counters **ret_counters)
{
    struct counters *counters = calloc(1, sizeof(*counters));
    if (counters == NULL)
        return -ENOMEM;
    counters->metrics = metrics;
    counters->collect = collect;
    counters->database = database_metrics_open(metrics);
    for (unsigned i = 0; i < FRONT_METRICS; i++)
        if (front_metric_defs[i].labels[0] == '\0')
            counters->plain[i] = reg(counters, i, NULL, NULL, NULL);
    for (unsigned i = 0; i < SOURCES; i++)
        counters->answers[i] =
            reg(counters, METRIC_INDEX_answers, answer_source_names[i], NULL, NULL);
    for (unsigned i = 0; i < TOKEN_RESULTS; i++)
        counters->tokens[i] = reg(counters, METRIC_INDEX_tokens, token_result_names[i], NULL, NULL);
    for (unsigned i = 0; i < COUNTERS_CHECKS; i++)
        counters->checks[i] = reg(counters, METRIC_INDEX_checks, check_names[i], NULL, NULL);
    counters->lease_answered = reg(counters, METRIC_INDEX_lease_waits, "answered", NULL, NULL);
    counters->lease_late = reg(counters, METRIC_INDEX_lease_waits, "late", NULL, NULL);
    for (unsigned i = 0; i < FALLBACKS; i++) {
        counters->fallbacks[i] =
            reg(counters, METRIC_INDEX_fallbacks, fallback_names[i], NULL, NULL);
        if (strcmp(fallback_names[i], "error") != 0) // it always fits
            counters->missed[i] =
                reg(counters, METRIC_INDEX_fallbacks_missed, fallback_names[i], NULL, NULL);
    }
    for (unsigned i = 0; i < COUNTERS_CACHES; i++)
        counters->caches[i] = reg(counters, METRIC_INDEX_cache_answers, cache_names[i], NULL, NULL);
    add_route(counters, COUNTERS_ROUTE_NONE, HTTP_ANY);
    add_route(counters, COUNTERS_ROUTE_SYSTEM, HTTP_ANY);
    add_route(counters, COUNTERS_ROUTE_CHECK, HTTP_ANY);
    add_route(counters, "other", HTTP_ANY);
    add_upstream(counters, "other");
    if (counters->n_routes != ROUTE_OTHER + 1 || counters->n_upstreams != UPSTREAM_OTHER + 1) {
        counters_destroy(&counters);
        return -ENOMEM;
    }
    *ret_counters = counters;
    return 0;
}

void counters_destroy(struct counters **counters)
{
    if (*counters == NULL)
        return;
    for (size_t i = 0; i < (*counters)->n_routes; i++)
        free((*counters)->routes[i].name);
    for (size_t i = 0; i < (*counters)->n_upstreams; i++)
        free((*counters)->upstreams[i].name);
    free(*counters);
    *counters = NULL;
}

struct route_counters *counters_route(struct counters *counters, const char *route_name)
{
    for (size_t i = 0; i < counters->n_routes; i++)
        if (strcmp(counters->routes[i].name, route_name) == 0)
            return &counters->routes[i];
    return &counters->routes[ROUTE_OTHER];
}

static struct upstream_counters *upstream_of(struct counters *counters, const char *name)
{
    for (size_t i = 0; i < counters->n_upstreams; i++)
        if (strcmp(counters->upstreams[i].name, name) == 0)
            return &counters->upstreams[i];
    return &counters->upstreams[UPSTREAM_OTHER];
}

void counters_add_model(struct counters *counters, const struct config_model *model)
{
    for (size_t i = 0; i < model->n_routes; i++) {
        const struct config_route *route = &model->routes[i];
        bool is_new = counters_route(counters, route->name) == &counters->routes[ROUTE_OTHER];
        if (is_new && counters->n_routes < COUNTERS_ROUTES_MAX + ROUTE_OTHER + 1)
            add_route(counters, route->name, route->methods);
    }
    for (size_t i = 0; i < model->n_upstreams; i++) {
        const char *name = model->upstreams[i].name;
        bool is_new = upstream_of(counters, name) == &counters->upstreams[UPSTREAM_OTHER];
        if (is_new && counters->n_upstreams < COUNTERS_UPSTREAMS_MAX + 1)
            add_upstream(counters, name);
    }
}

static struct policy_counters *policy_of(struct counters *counters, const char *name)
{
    for (size_t i = 0; i < counters->n_policies; i++)
        if (strcmp(counters->policies[i].name, name) == 0)
            return &counters->policies[i];
    return NULL;
}

// Only for tiers that the policy binds. Asked again it adds what a reload has brought.
static void add_policy(struct counters *counters, const struct limit_view *view,
                       const struct limit_policy *policy)
{
    struct policy_counters *own = policy_of(counters, policy->name);
    if (own == NULL && counters->n_policies == LIMIT_POLICIES_MAX)
        return;
    if (own == NULL) {
        own = &counters->policies[counters->n_policies++];
        memcpy(own->name, policy->name, sizeof(own->name));
        own->shadow = reg(counters, METRIC_INDEX_limit_shadow_hits, own->name, NULL, NULL);
        own->charged = reg(counters, METRIC_INDEX_limit_charged, own->name, NULL, NULL);
        own->near = reg(counters, METRIC_INDEX_limit_near, own->name, NULL, NULL);
    }
    const char *type = endpoint_type_names[policy->endpoint_type % 3], *tier;
    for (uint32_t i = 0; (tier = limit_tier_name(view, i)) != NULL; i++)
        if (policy->tiers == 0 || (policy->tiers >> i & 1) != 0)
            own->hits[i] = reg(counters, METRIC_INDEX_limit_hits, tier, type, own->name);
}

void counters_add_policies(struct counters *counters, const struct limit_view *view)
{
    const struct limit_policy *policy;
    const char *tier;
    memset(counters->by_index, 0, sizeof(counters->by_index));
    for (uint32_t i = 0; (tier = limit_tier_name(view, i)) != NULL; i++) {
        counters->admitted[i] = reg(counters, METRIC_INDEX_limit_decisions, "admitted", tier, NULL);
        counters->denied[i] = reg(counters, METRIC_INDEX_limit_decisions, "denied", tier, NULL);
    }
    for (uint32_t i = 0; (policy = limit_policy_at(view, i)) != NULL; i++) {
        if (policy->unlimited)
            continue;
        add_policy(counters, view, policy);
        counters->by_index[i] = policy_of(counters, policy->name);
    }
}

void counters_add(struct valves *valves, enum front_metric metric, uint64_t n)
{
    add(valves->counters, valves->counters->plain[metric], n);
}

void counters_connections(struct valves *valves, uint64_t open, uint64_t max, uint64_t requests)
{
    struct counters *counters = valves->counters;
    metric_gauge(counters->metrics, counters->plain[METRIC_INDEX_connections_max], (double)max);
    metric_gauge(counters->metrics, counters->plain[METRIC_INDEX_in_flight], (double)requests);
    metric_gauge(counters->metrics, counters->plain[METRIC_INDEX_connections], (double)open);
}

void counters_upstream_connections(struct valves *valves, const char *upstream, uint64_t open,
                                   uint64_t idle)
{
    struct counters *counters = valves->counters;
    metric_gauge(counters->metrics, upstream_of(counters, upstream)->idle, (double)idle);
    metric_gauge(counters->metrics, upstream_of(counters, upstream)->connections, (double)open);
    if (strcmp(upstream, DATABASE_BREAKER) == 0)
        database_metrics_connections(&counters->database, open);
}

void counters_upstream_ejection(struct valves *valves, const char *upstream)
{
    add(valves->counters, upstream_of(valves->counters, upstream)->ejections, 1);
}

void counters_upstream_retry(struct valves *valves, const char *upstream, bool made)
{
    const struct upstream_counters *of = upstream_of(valves->counters, upstream);
    add(valves->counters, made ? of->repeats : of->repeats_refused, 1);
}

void counters_upstream_endpoints(struct valves *valves, const char *upstream, uint64_t ejected,
                                 uint64_t unhealthy, bool panic)
{
    struct counters *counters = valves->counters;
    metric_gauge(counters->metrics, upstream_of(counters, upstream)->ejected, (double)ejected);
    metric_gauge(counters->metrics, upstream_of(counters, upstream)->unhealthy, (double)unhealthy);
    metric_gauge(counters->metrics, upstream_of(counters, upstream)->panic, panic ? 1 : 0);
}

void counters_lease_wait(struct valves *valves, bool answered, uint64_t waited_ns)
{
    struct counters *counters = valves->counters;
    add(counters, answered ? counters->lease_answered : counters->lease_late, 1);
    if (counters->collect)
        metric_observe(counters->metrics, counters->plain[METRIC_INDEX_lease_wait], waited_ns);
}

// One policy's part in a decision.
static void count_charge(struct counters *counters, struct policy_counters *own, unsigned tier,
                         const struct limit_charge *charge)
{
    if (charge->denied)
        add(counters, charge->shadow ? own->shadow : own->hits[tier], 1);
    if (charge->cost == 0)
        return;
    add(counters, own->charged, 1);
    if (charge->remaining * 5 <= charge->limit)
        add(counters, own->near, 1);
}

void counters_limits(struct valves *valves, const struct limit_facts *facts,
                     const struct limit_verdict *verdict)
{
    struct counters *counters = valves->counters;
    const metric_id *decisions = verdict->admitted ? counters->admitted : counters->denied;
    add(counters, decisions[facts->tier % LIMIT_TIER_MAX], 1);
    add(counters, counters->plain[METRIC_INDEX_limit_overflow], verdict->overflow_cells_used);
    add(counters, counters->plain[METRIC_INDEX_limit_new_keys], verdict->new_keys);
    for (unsigned i = 0; i < verdict->n; i++) {
        struct policy_counters *own = counters->by_index[verdict->charges[i].policy];
        if (own != NULL)
            count_charge(counters, own, facts->tier % LIMIT_TIER_MAX, &verdict->charges[i]);
    }
}

// The bucket remembers a trace that somebody keeps: one that cannot be looked up helps nobody.
static void observe(struct counters *counters, metric_id id, uint64_t duration_ns,
                    const struct request *request)
{
    if (request->traceparent.sampled)
        metric_observe_traced(counters->metrics, id, duration_ns, &request->traceparent.trace);
    else
        metric_observe(counters->metrics, id, duration_ns);
}

void counters_upstream_result(struct request *request, enum exchange_result result)
{
    struct counters *counters = request->valves->counters;
    struct upstream_counters *upstream = upstream_of(counters, request->upstream->name);
    add(counters, upstream->results[result], 1);
    if (!counters->collect || request->upstream_start_ns == 0 ||
        request->first_byte_ns < request->upstream_start_ns)
        return;
    uint64_t latency_ns = request->first_byte_ns - request->upstream_start_ns;
    observe(counters, upstream->latency, latency_ns, request);
    if (strcmp(request->upstream->name, DATABASE_BREAKER) == 0)
        database_metrics_observe(&counters->database, latency_ns);
}

void counters_fallback(struct valves *valves, const char *kind)
{
    for (size_t i = 0; i < FALLBACKS; i++)
        if (strcmp(kind, fallback_names[i]) == 0)
            add(valves->counters, valves->counters->fallbacks[i], 1);
}

void counters_fallback_missed(struct valves *valves, const char *kind)
{
    for (size_t i = 0; i < FALLBACKS; i++)
        if (strcmp(kind, fallback_names[i]) == 0)
            add(valves->counters, valves->counters->missed[i], 1);
}

void counters_cache(struct valves *valves, enum counters_cache result)
{
    add(valves->counters, valves->counters->caches[result], 1);
}

void counters_cache_figures(struct valves *valves, struct answer_store_figures figures)
{
    struct counters *counters = valves->counters;
    metric_gauge(counters->metrics, counters->plain[METRIC_INDEX_cache_bytes],
                 (double)figures.bytes);
    metric_gauge(counters->metrics, counters->plain[METRIC_INDEX_cache_entries],
                 (double)figures.entries);
    counters_add(valves, METRIC_INDEX_cache_evictions, figures.evictions - counters->evictions);
    counters->evictions = figures.evictions;
}

void counters_check(struct valves *valves, enum counters_check result)
{
    add(valves->counters, valves->counters->checks[result], 1);
}

void counters_token(struct valves *valves, unsigned token_result)
{
    add(valves->counters, valves->counters->tokens[token_result], 1);
}

static unsigned method_index(unsigned method_bit)
{
    for (unsigned i = 0; i < METHODS; i++)
        if (method_bit == 1u << i)
            return i;
    return METHODS - 1;
}

void counters_record(struct request *request)
{
    struct counters *counters = request->valves->counters;
    if (!counters->collect)
        return;
    add(counters, counters->plain[METRIC_INDEX_received], request->bytes_in);
    add(counters, counters->plain[METRIC_INDEX_sent], request->bytes_out);
    if (request->status < 200) { // no answer, or none but an interim one
        add(counters, counters->plain[METRIC_INDEX_aborted], 1);
        return;
    }
    struct route_counters *route = request->route_counters;
    if (route == NULL)
        route = counters_route(counters, COUNTERS_ROUTE_NONE);
    unsigned method = method_index(request->method_bit);
    unsigned class = request->status / 100 - 2;
    if (!route->registered[method])
        register_method(counters, route, method);
    add(counters, route->requests[method][class < CLASSES ? class : CLASSES - 1], 1);
    observe(counters, route->duration, clock_mono_ns() - request->start_ns, request);
    add(counters, counters->answers[request->source], 1);
}
