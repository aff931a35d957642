#include "valves.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer_store.h"
#include "base/clock.h"
#include "base/log.h"
#include "limit/regions.h"
#include "ratelimit_fields.h"
#include "route_match.h"
#include "token.h"

#define KEY_FILE_BYTES_MAX    65536
#define SECURITY_EVENTS_PER_S 10

// What a reload makes anew, all of it or nothing.
struct settings {
    struct cidr_list trusted_proxies, trusted_claims, system_allow, check_allow, permits_allow,
        near;
    struct token_verifier *tokens;
    const char *tokens_off_reason;
    struct region_map *regions;
    uint32_t ratelimit_styles;
};

static void settings_fini(struct settings *settings)
{
    cidr_list_fini(&settings->trusted_proxies);
    cidr_list_fini(&settings->trusted_claims);
    cidr_list_fini(&settings->system_allow);
    cidr_list_fini(&settings->check_allow);
    cidr_list_fini(&settings->permits_allow);
    cidr_list_fini(&settings->near);
    token_verifier_destroy(&settings->tokens);
    region_map_destroy(&settings->regions);
}

static void parse_list(const char *name, const char *text, struct cidr_list *list,
                       struct problems *problems)
{
    const char *bad = "";
    if (cidr_list_parse(text, list, &bad) != 0)
        problems_add(problems,
                     "%s: '%.*s' is no address, CIDR block, loopback, private, all or none", name,
                     (int)strcspn(bad, ","), bad);
}

// The file's text, the caller's to free; NULL with a problem.
static char *read_key_file(const char *path, struct problems *problems)
{
    FILE *file = fopen(path, "re");
    char *text = file != NULL ? calloc(1, KEY_FILE_BYTES_MAX) : NULL;
    size_t len = text != NULL ? fread(text, 1, KEY_FILE_BYTES_MAX - 1, file) : 0;
    if (len == 0) {
        problems_add(problems, "JWT_PUBLIC_KEY: cannot read '%s': %s", path,
                     errno != 0 ? strerror(errno) : "it is empty");
        free(text);
        text = NULL;
    }
    if (file != NULL)
        (void)fclose(file);
    return text;
}

static void build_tokens(const struct front_params *params, struct settings *settings,
                         struct problems *problems)
{
    char *public_key = NULL;
    errno = 0;
    if (params->jwt_public_key[0] != '\0') {
        public_key = read_key_file(params->jwt_public_key, problems);
        if (public_key == NULL)
            return;
    }
    struct token_options options = {
        .secret = params->jwt_secret,
        .public_key = public_key,
        .issuer = params->jwt_issuer,
        .audience = params->jwt_audience,
        .tier_claim = params->jwt_tier_claim,
        .region_claim = params->jwt_region_claim,
        .leeway_s = params->jwt_leeway_s,
        .cache_entries = params->jwt_cache_entries,
    };
    int error = token_verifier_create(&options, &settings->tokens);
    free(public_key);
    if (error == -EINVAL)
        problems_add(problems, "JWT_PUBLIC_KEY: '%s' holds no PEM \"PUBLIC KEY\" of RSA or P-256",
                     params->jwt_public_key);
    else if (error != 0)
        problems_add(problems, "JWT_SECRET: %s", strerror(-error));
    else if (settings->tokens == NULL)
        settings->tokens_off_reason =
            params->jwt_secret[0] == '\0'
                ? "JWT identity is off: JWT_SECRET and JWT_PUBLIC_KEY are not set"
                : "JWT identity is off: JWT_SECRET is the well-known example value, set your own";
}

static int settings_build(void *const *groups, const struct config_model *model, int environment,
                          struct problems *problems, struct settings *settings)
{
    const struct front_params *params = groups[FRONT_GROUP_FRONT];
    const struct limits_params *limits = groups[FRONT_GROUP_LIMITS];
    const char *why;
    size_t before = problems->n;
    *settings = (struct settings){0};
    const char *claims = params->trusted_claims;
    if (strcmp(claims, "auto") == 0)
        claims = environment == ENVIRONMENT_DEVELOPMENT ? "loopback" : "none";
    parse_list("TRUSTED_PROXIES", params->trusted_proxies, &settings->trusted_proxies, problems);
    parse_list("TRUSTED_CLAIMS", claims, &settings->trusted_claims, problems);
    parse_list("SYSTEM_ALLOW", params->system_allow, &settings->system_allow, problems);
    parse_list("CHECK_ALLOW", params->check_allow, &settings->check_allow, problems);
    parse_list("PERMITS_ALLOW", params->permits_allow, &settings->permits_allow, problems);
    parse_list("loopback,private", "loopback,private", &settings->near, problems);
    build_tokens(params, settings, problems);
    if (ratelimit_styles_parse(params->ratelimit_headers, &settings->ratelimit_styles, &why) != 0)
        problems_add(problems, "RATE_LIMIT_HEADERS: '%s' %s", params->ratelimit_headers, why);
    int error = region_map_create(&model->limits, limits->geoip_db, problems, &settings->regions);
    if (error == -ENOMEM)
        problems_add(problems, "GEOIP_DB: out of memory");
    if (problems->n == before)
        return 0;
    settings_fini(settings);
    return -EINVAL;
}

struct endpoint_row {
    const char *name, *path;
};
static void check_endpoints(void *const *params, const struct config_model *model,
                            struct problems *problems)
{
    const struct front_params *front = params[FRONT_GROUP_FRONT];
    const struct monitoring_params *monitoring = params[FRONT_GROUP_MONITORING];
    const struct endpoint_row rows[] = {
        {"HEALTH_CHECK_ENDPOINT", monitoring->health_path},
        {"METRICS_ENDPOINT", monitoring->metrics_path},
        {"HISTORY_ENDPOINT", monitoring->history_path},
        {"AUTOSCALING_ENDPOINT", front->autoscaling_path},
        {"ADVICE_ENDPOINT", front->advice_path},
        {"RATE_LIMIT_STATS_ENDPOINT", front->limit_stats_path},
        {"CIRCUIT_BREAKER_STATS_ENDPOINT", front->breaker_stats_path},
        {"OPERATIONS_ENDPOINT", front->operations_path},
        {"PERMITS_ENDPOINT", front->permits_path},
        {"LIVENESS_ENDPOINT", front->live_path},
        {"READINESS_ENDPOINT", front->ready_path},
        // The last ones: they take what is below them, too.
        {"DASHBOARD_ENDPOINT", monitoring->dashboard_path},
        {"CHECK_ENDPOINT", front->check_path},
    };
    size_t n = sizeof(rows) / sizeof(rows[0]);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].path[0] != '/' || rows[i].path[1] == '\0' ||
            strpbrk(rows[i].path, "?# %\\") != NULL)
            problems_add(problems,
                         "%s: '%s' is no path, allowed: /name without query, blanks or escapes",
                         rows[i].name, rows[i].path);
        for (size_t j = 0; j < i; j++)
            if (strcmp(rows[i].path, rows[j].path) == 0 ||
                (i >= n - 2 &&
                 route_path_matches(rows[i].path, rows[j].path, strlen(rows[j].path))))
                problems_add(problems, "%s: '%s' takes the path of %s too, each needs its own",
                             rows[i].name, rows[i].path, rows[j].name);
        for (size_t j = 0; j < model->n_routes; j++)
            if (strcmp(model->routes[j].path, "/") != 0 &&
                route_path_matches(rows[i].path, model->routes[j].path,
                                   strlen(model->routes[j].path)))
                problems_add(problems,
                             "%s: '%s' hides the route '%s' (path %s), give one of them another "
                             "path",
                             rows[i].name, rows[i].path, model->routes[j].name,
                             model->routes[j].path);
    }
}

int valves_check(void *const *params, const struct config_model *model, struct problems *problems)
{
    size_t before = problems->n;
    // Nothing that is refused here depends on the environment.
    struct settings settings;
    if (settings_build(params, model, ENVIRONMENT_PRODUCTION, problems, &settings) == 0)
        settings_fini(&settings);
    check_endpoints(params, model, problems);
    struct networks networks;
    if (networks_parse(params[FRONT_GROUP_LIMITS], problems, &networks) == 0)
        networks_fini(&networks);
    struct limit_policy_set *limits = calloc(1, sizeof(*limits));
    struct breaker_definition_set *breakers = calloc(1, sizeof(*breakers));
    if (limits != NULL && breakers != NULL) {
        (void)limit_compile(params[FRONT_GROUP_LIMITS], model, ENVIRONMENT_PRODUCTION, problems,
                            limits);
        (void)breaker_compile(params[FRONT_GROUP_BREAKERS], model, problems, breakers);
    }
    free(limits);
    free(breakers);
    return problems->n == before ? 0 : -EINVAL;
}

static void settings_apply(struct valves *valves, const struct settings *settings)
{
    struct settings old = {
        .trusted_proxies = valves->trusted_proxies,
        .trusted_claims = valves->trusted_claims,
        .system_allow = valves->system_allow,
        .check_allow = valves->check_allow,
        .permits_allow = valves->permits_allow,
        .near = valves->near,
        .tokens = valves->tokens,
        .regions = valves->regions,
    };
    settings_fini(&old);
    valves->trusted_proxies = settings->trusted_proxies;
    valves->trusted_claims = settings->trusted_claims;
    valves->system_allow = settings->system_allow;
    valves->check_allow = settings->check_allow;
    valves->permits_allow = settings->permits_allow;
    valves->near = settings->near;
    valves->tokens = settings->tokens;
    valves->regions = settings->regions;
    valves->ratelimit_styles = settings->ratelimit_styles;
    valves->tokens_off_reason = settings->tokens_off_reason;
    if (valves->tokens_off_reason != NULL)
        log_warn("identity.jwt_off", valves->tokens_off_reason);
}

// What the parameters and the model ask for, published or not.
static int compile_own(struct valves *valves, struct problems *problems)
{
    struct service *service = valves->service;
    struct limit_policy_set *limits = calloc(1, sizeof(*limits));
    struct breaker_definition_set *breakers = calloc(1, sizeof(*breakers));
    int error = limits != NULL && breakers != NULL ? 0 : -ENOMEM;
    if (error == 0)
        error = limit_compile(valves_limits_params(valves), service->model,
                              service->suite->environment, problems, limits);
    if (error == 0)
        error = breaker_compile(valves_breakers_params(valves), service->model, problems, breakers);
    if (error != 0) {
        free(limits);
        free(breakers);
        return error;
    }
    free(valves->own_limits);
    free(valves->own_breakers);
    valves->own_limits = limits;
    valves->own_breakers = breakers;
    return 0;
}

// Our own parameters make generation 1 where no owner has published yet.
static int publish_limits(struct valves *valves)
{
    int error = limit_publish(valves->limits, valves->own_limits, LIMIT_PUBLISH_IF_ABSENT);
    return error == -EALREADY ? 0 : error;
}

static int publish_breakers(struct valves *valves)
{
    int error = breaker_publish(valves->breakers, valves->own_breakers, BREAKER_PUBLISH_IF_ABSENT);
    return error == -EALREADY ? 0 : error;
}

static void log_start_failure(const char *what, int error, struct problems *problems)
{
    if (problems->n == 0)
        problems_add(problems, "%s: %s", what, strerror(-error));
    for (size_t i = 0; i < problems->n; i++)
        log_error("valves.failed", problems->items[i], LSTR("step", what));
}

static int attach(struct valves *valves, struct problems *problems)
{
    struct service *service = valves->service;
    const char *step = "settings";
    struct settings settings;
    int error = settings_build(valves->service->params, service->model, service->suite->environment,
                               problems, &settings);
    if (error == 0) {
        settings_apply(valves, &settings);
        step = "counters";
        error = counters_create(service->metrics, valves_monitoring_params(valves)->collection,
                                &valves->counters);
    }
    if (error == 0) {
        counters_add_model(valves->counters, service->model);
        step = "rate limits and circuit breakers of the parameters";
        error = compile_own(valves, problems);
    }
    if (error == 0) {
        step = "attach to the rate limits";
        error = limit_attach(service->segment, service->slot, &valves->limits);
    }
    if (error == 0) {
        step = "attach to the networks that are denied or allowed";
        error = valves_attach_networks(valves, problems);
    }
    if (error == 0) {
        step = "publish the rate limits";
        error = publish_limits(valves);
    }
    if (error == 0) {
        valves_follow_limits(valves);
        step = "attach to the circuit breakers";
        error = breaker_attach(service->segment, service->slot, &valves->breakers);
    }
    if (error == 0) {
        step = "publish the circuit breakers";
        error = publish_breakers(valves);
    }
    if (error != 0)
        log_start_failure(step, error, problems);
    return error;
}

int valves_create(struct service *service, struct valves **ret_valves)
{
    struct valves *valves = calloc(1, sizeof(*valves));
    if (valves == NULL)
        return -ENOMEM;
    valves->service = service;
    struct problems problems = PROBLEMS_INIT;
    int error = attach(valves, &problems);
    problems_fini(&problems);
    if (error == 0)
        error =
            answer_store_create(valves_front_params(valves)->cache_memory_bytes, &valves->store);
    if (error != 0) {
        valves_destroy(&valves);
        return error;
    }
    *ret_valves = valves;
    return 0;
}

int valves_reload(struct valves *valves)
{
    struct problems problems = PROBLEMS_INIT;
    struct settings settings;
    int error = settings_build(valves->service->params, valves->service->model,
                               valves->service->suite->environment, &problems, &settings);
    if (error == 0) {
        error = compile_own(valves, &problems);
        if (error == 0)
            error = valves_load_networks(valves, &problems);
        if (error != 0)
            settings_fini(&settings);
    }
    if (error == 0) {
        settings_apply(valves, &settings);
        answer_store_bound(valves->store, valves_front_params(valves)->cache_memory_bytes);
        counters_add_model(valves->counters, valves->service->model);
        // A new upstream has its breaker at once; changes of others are the owner's to publish.
        (void)publish_breakers(valves);
        valves->warned_forwarded = false; // the new TRUSTED_PROXIES may have cured it
        valves->forwarded_by_untrusted_private = false;
    } else {
        log_start_failure("settings", error, &problems);
    }
    problems_fini(&problems);
    return error;
}

void valves_destroy(struct valves **valves)
{
    struct valves *v = *valves;
    if (v == NULL)
        return;
    answer_store_destroy(&v->store);
    breaker_detach(&v->breakers);
    limit_detach(&v->limits);
    counters_destroy(&v->counters);
    networks_fini(&v->networks);
    strbuf_fini(&v->scratch);
    free(v->own_limits);
    free(v->own_breakers);
    struct settings settings = {
        .trusted_proxies = v->trusted_proxies,
        .trusted_claims = v->trusted_claims,
        .system_allow = v->system_allow,
        .check_allow = v->check_allow,
        .permits_allow = v->permits_allow,
        .near = v->near,
        .tokens = v->tokens,
        .regions = v->regions,
    };
    settings_fini(&settings);
    free(v);
    *valves = NULL;
}

void valves_follow_limits(struct valves *valves)
{
    const struct limit_policy *policy;
    limit_refresh(valves->limits);
    if (__builtin_expect(limit_generation(valves->limits) == valves->limits_generation, 1))
        return;
    valves->limits_generation = limit_generation(valves->limits);
    valves->limits_look_at_costs = valves->limits_take_places = false;
    for (uint32_t i = 0; (policy = limit_policy_at(valves->limits, i)) != NULL; i++) {
        valves->limits_look_at_costs |= policy->cost_header[0] != '\0';
        valves->limits_take_places |= policy->algorithm == LIMIT_CONCURRENCY;
    }
    counters_add_policies(valves->counters, valves->limits);
}

void valves_security_event(struct request *request, const char *kind, const char *detail)
{
    struct valves *valves = request->valves;
    uint64_t second_ns = clock_mono_ns() / NS_PER_S * NS_PER_S;
    if (second_ns != valves->security_window_ns) {
        valves->security_window_ns = second_ns;
        valves->security_in_window = 0;
    }
    if (valves->security_in_window++ >= SECURITY_EVENTS_PER_S)
        return; // the counters have them all
    char client[ADDRESS_TEXT_MAX];
    (void)address_format(&request->identity.client, client);
    log_warn("security", "a request was not what it claimed to be", LSTR("kind", kind),
             LSTR("client", client), LSTR("request_id", request->request_id),
             LSTR("detail", detail));
    Valvechain__V1__Origin origin;
    bus_origin(valves->service->bus, &origin);
    Valvechain__V1__SecurityEvent event = VALVECHAIN__V1__SECURITY_EVENT__INIT;
    event.origin = &origin;
    event.kind = (char *)(uintptr_t)kind;
    event.client = client;
    event.request_id = request->request_id;
    event.detail = (char *)(uintptr_t)detail;
    char topic[64];
    (void)snprintf(topic, sizeof(topic), "security.%s", kind);
    // Dropped when nobody keeps up: the log line above is the record.
    (void)bus_publish(valves->service->bus, topic, &event.base);
}
