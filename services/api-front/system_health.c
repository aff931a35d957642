#include <stdio.h>
#include <string.h>
#include <time.h>

#include "advice/published.h"
#include "base/clock.h"
#include "breaker/probed.h"
#include "limit/policy.h"
#include "service/finding.h"
#include "system.h"

#define HEARTBEAT_LATE_NS (10 * NS_PER_S)

enum health { HEALTH_HEALTHY, HEALTH_DEGRADED, HEALTH_UNHEALTHY };
static const char *const health_names[] = {"healthy", "degraded", "unhealthy"};

struct health_report {
    struct valves *valves;
    enum health status; // the worst of all
    json_t *checks;
    uint64_t now_ns;
};

static void add_check(struct health_report *report, const char *name, enum health status,
                      const char *finding)
{
    if (status > report->status)
        report->status = status;
    json_array_append_new(report->checks, json_pack("{s:s,s:s,s:s}", "name", name, "status",
                                                    health_names[status], "finding", finding));
}

struct peer {
    const char *name;
    const char *when_gone; // what is missing without it
};
static const struct peer peers[] = {
    {"limiter", "not running: limits hold as last published, changes wait"},
    {"breaker", "not running: breakers work as last published, changes and probes wait"},
    {"metrics-agent", "not running: rates, CPU and memory are not measured"},
    {"scaler-advisor", "not running: there are no recommendations"},
};

// The finding of the first live process of this name; false: none lives.
static bool check_peer(struct health_report *report, const struct peer *peer)
{
    const struct segment *segment = report->valves->service->segment;
    struct slot_info slot;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        if (!slot_read(segment, i, &slot) || !slot.alive || strcmp(slot.name, peer->name) != 0)
            continue;
        char finding[FINDING_TEXT_MAX] = "";
        (void)finding_read(segment, i, slot.generation, finding);
        if (slot.heartbeat_ns + HEARTBEAT_LATE_NS < report->now_ns)
            (void)snprintf(finding, sizeof(finding), "no progress for %llu s",
                           (unsigned long long)((report->now_ns - slot.heartbeat_ns) / NS_PER_S));
        add_check(report, peer->name, finding[0] != '\0' ? HEALTH_DEGRADED : HEALTH_HEALTHY,
                  finding);
        return true;
    }
    return false;
}

static void check_peers(struct health_report *report)
{
    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
        if (!check_peer(report, &peers[i]))
            add_check(report, peers[i].name, HEALTH_DEGRADED, peers[i].when_gone);
}

static void check_self(struct health_report *report)
{
    struct valves *valves = report->valves;
    const struct service *service = valves->service;
    if (segment_is_private(service->segment))
        add_check(report, "segment", HEALTH_DEGRADED,
                  "private memory: limits and breakers hold for this process only "
                  "(ALLOW_PRIVATE_SEGMENT)");
    if (service->draining)
        add_check(report, "api-front", HEALTH_UNHEALTHY, "draining: this instance is leaving");
    else if (service->model->n_upstreams == 0)
        add_check(report, "api-front", HEALTH_DEGRADED,
                  "no backend: set UPSTREAM_URL or name routes in CONFIG_FILE");
    else
        add_check(report, "api-front", HEALTH_HEALTHY, "");
    if (valves->forwarded_by_untrusted_private)
        add_check(report, "trusted-proxies", HEALTH_DEGRADED,
                  "a peer in a private network sends X-Forwarded-For but is not in "
                  "TRUSTED_PROXIES: all its clients are counted as one; add its address");
    // No defect of a running suite, so it does not degrade it: tokens may be nobody's wish.
    add_check(report, "jwt", HEALTH_HEALTHY,
              valves->tokens_off_reason != NULL ? valves->tokens_off_reason : "");
}

static bool same_policy(const struct limit_policy *a, const struct limit_policy *b)
{
    return policy_lineage(a) == policy_lineage(b) && a->limit == b->limit && a->mode == b->mode &&
           a->burst == b->burst && a->cost == b->cost && a->replaces == b->replaces;
}

// A limiter that runs with other parameters, or none that could publish a change of ours.
static bool limits_are_ours(struct valves *valves)
{
    valves_follow_limits(valves);
    for (uint32_t i = 0; i < valves->own_limits->n; i++) {
        const struct limit_policy *published = limit_policy_at(valves->limits, i);
        if (published == NULL || !same_policy(published, &valves->own_limits->policies[i]))
            return false;
    }
    return limit_policy_at(valves->limits, valves->own_limits->n) == NULL;
}

static bool breakers_are_ours(struct valves *valves)
{
    for (uint32_t i = 0; i < valves->own_breakers->n; i++) {
        const struct breaker_definition *own = &valves->own_breakers->items[i];
        int index = breaker_find(valves->breakers, own->name);
        const struct breaker_definition *published =
            index >= 0 ? breaker_definition_at(valves->breakers, (uint32_t)index) : NULL;
        if (published == NULL || memcmp(published, own, sizeof(*own)) != 0)
            return false;
    }
    return true;
}

static void check_published(struct health_report *report)
{
    bool enabled = valves_limits_params(report->valves)->enabled;
    bool same_limits = !enabled || limits_are_ours(report->valves);
    add_check(report, "limits", same_limits ? HEALTH_HEALTHY : HEALTH_DEGRADED,
              same_limits ? ""
                          : "the published policies are not those of this instance's parameters; "
                            "the limiter publishes: start or reload it with the same parameters");
    bool same_breakers = breakers_are_ours(report->valves);
    add_check(report, "breakers", same_breakers ? HEALTH_HEALTHY : HEALTH_DEGRADED,
              same_breakers ? ""
                            : "the published breakers are not those of this instance's parameters; "
                              "the breaker process publishes: start or reload it with the same "
                              "parameters");
}

static bool is_upstream(const struct config_model *model, const char *name)
{
    for (size_t i = 0; i < model->n_upstreams; i++)
        if (strcmp(model->upstreams[i].name, name) == 0)
            return true;
    return false;
}

// Degraded with any breaker that is not closed; unhealthy when nothing behind us is reachable.
static json_t *check_breakers(struct health_report *report)
{
    static const char *const findings[BREAKER_STATES] = {
        [BREAKER_OPEN] = "open: calls are refused until it has recovered",
        [BREAKER_HALF_OPEN] = "half-open: probing for recovery",
        [BREAKER_FORCED_OPEN] = "forced open by an operator: calls are refused",
        [BREAKER_FORCED_CLOSED] = "forced closed by an operator: it will not open",
        [BREAKER_DISABLED] = "disabled by an operator: nothing is counted or refused",
        [BREAKER_OBSERVE] = "observed only by an operator's word: it will not open",
    };
    struct valves *valves = report->valves;
    json_t *object = json_object();
    struct breaker_status status;
    size_t n_upstreams = 0;
    size_t n_open = 0;
    for (uint32_t i = 0; breaker_next(valves->breakers, &i, report->now_ns, &status); i++) {
        json_object_set_new(object, status.name,
                            json_pack("{s:s,s:s}", "status", system_breaker_health[status.state],
                                      "state", breaker_state_names[status.state]));
        bool guards = is_upstream(valves->service->model, status.name);
        n_upstreams += guards;
        n_open += guards && (status.state == BREAKER_OPEN || status.state == BREAKER_FORCED_OPEN);
        if (status.state == BREAKER_CLOSED)
            continue;
        char name[BREAKER_NAME_MAX + 16];
        (void)snprintf(name, sizeof(name), "breaker:%s", status.name);
        add_check(report, name, HEALTH_DEGRADED, findings[status.state]);
    }
    if (n_upstreams > 0 && n_open == n_upstreams)
        add_check(report, "upstreams", HEALTH_UNHEALTHY, "the breakers of all upstreams are open");
    return object;
}

// Each endpoint that has a probe, as it stands.
static void check_probes(struct health_report *report)
{
    struct probed record;
    for (uint32_t i = 0; i < PROBED_MAX; i++) {
        if (!probed_read(report->valves->service->segment, i, &record) ||
            !is_upstream(report->valves->service->model, record.upstream))
            continue;
        enum probed_state state = probed_state_at(&record, report->now_ns);
        bool stale = record.probed_ns != 0 && report->now_ns >= record.until_ns;
        char name[sizeof(record.upstream) + sizeof(record.endpoint) + 8];
        char finding[sizeof(record.reason) + 48];
        (void)snprintf(name, sizeof(name), "probe:%s:%s", record.upstream, record.endpoint);
        (void)snprintf(finding, sizeof(finding), "%s%s",
                       state == PROBED_UNHEALTHY ? "unhealthy: "
                       : stale                   ? "no longer probed: no breaker process"
                                                 : "",
                       stale ? "" : record.reason);
        add_check(report, name,
                  state == PROBED_UNHEALTHY || stale ? HEALTH_DEGRADED : HEALTH_HEALTHY, finding);
    }
}

static json_t *process_entry(const struct health_report *report, uint32_t index,
                             const struct slot_info *slot)
{
    char finding[FINDING_TEXT_MAX] = "";
    (void)finding_read(report->valves->service->segment, index, slot->generation, finding);
    uint64_t age_ns = report->now_ns > slot->start_ns ? report->now_ns - slot->start_ns : 0;
    uint64_t beat_ns =
        report->now_ns > slot->heartbeat_ns ? report->now_ns - slot->heartbeat_ns : 0;
    return json_pack("{s:s,s:s,s:b,s:b,s:I,s:I,s:I,s:s}", "name", slot->name, "instance",
                     slot->instance, "alive", slot->alive, "ready", slot->alive && slot->ready,
                     "uptime", (json_int_t)(slot->alive ? age_ns / NS_PER_S : 0), "restarts",
                     (json_int_t)slot->restarts, "heartbeatAgeMs",
                     (json_int_t)(beat_ns / NS_PER_MS), "finding", finding);
}

static json_t *process_list(const struct health_report *report)
{
    json_t *list = json_array();
    struct slot_info slot;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (slot_read(report->valves->service->segment, i, &slot))
            json_array_append_new(list, process_entry(report, i, &slot));
    return list;
}

static json_t *metrics_of(struct health_report *report)
{
    struct figures figures;
    figures_read(report->valves->service->segment, &figures);
    // METRICS_COLLECTION=false is a wish, not a defect: the figures of requests are then null.
    bool collection = valves_monitoring_params(report->valves)->collection;
    if (figures.agent_alive && !(figures.cpu_percent.known && figures.memory_used_bytes.known &&
                                 (figures.requests_per_second.known || !collection)))
        add_check(report, "figures", HEALTH_DEGRADED,
                  "some figures are not measured yet; they are null");
    struct figure percent = {
        .known = figures.memory_used_bytes.known && figures.memory_limit_bytes.known,
    };
    if (percent.known)
        percent.value = 100 * figures.memory_used_bytes.value / figures.memory_limit_bytes.value;
    const double mib = 1.0 / (1024 * 1024);
    return json_pack("{s:o,s:o,s:o,s:{s:o,s:o,s:o},s:o,s:I}", "requestsPerSecond",
                     system_figure(&figures.requests_per_second, 1), "totalRequests",
                     collection ? json_integer((json_int_t)figures.requests) : json_null(),
                     "averageResponseTime", system_figure(&figures.average_response_time_ms, 1),
                     "memoryUsage", "heapUsed", system_figure(&figures.memory_used_bytes, mib),
                     "heapTotal", system_figure(&figures.memory_limit_bytes, mib), "usagePercent",
                     system_figure(&percent, 1), "cpuUsagePercent",
                     system_figure(&figures.cpu_percent, 1), "activeConnections",
                     (json_int_t)figures.active_connections);
}

static json_t *features_of(const struct valves *valves)
{
    const struct limits_params *limits = valves_limits_params(valves);
    return json_pack("{s:b,s:b,s:b,s:b,s:b,s:b}", "advancedRateLimiting", limits->enabled,
                     "circuitBreakers", valves_breakers_params(valves)->enabled,
                     "metricsCollection", valves_monitoring_params(valves)->collection,
                     "regionalRateLimiting", limits->regional, "jwtIdentity",
                     valves->tokens != NULL, "distributedRateLimiting", limits->redis_enabled);
}

void system_timestamp(uint64_t wall_ns, char ret_text[32])
{
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t len = strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(ret_text + len, 32 - len, ".%03uZ", (unsigned)(wall_ns / NS_PER_MS % 1000));
}

json_t *system_health_report(struct valves *valves, unsigned *ret_status)
{
    struct health_report report = {
        .valves = valves, .checks = json_array(), .now_ns = clock_mono_ns()};
    check_self(&report);
    check_peers(&report);
    check_published(&report);
    json_t *breakers = check_breakers(&report);
    check_probes(&report);
    json_t *metrics = metrics_of(&report);
    char timestamp[32];
    system_timestamp(clock_wall_ns(), timestamp);
    uint64_t uptime_s = (report.now_ns - valves->service->start_ns) / NS_PER_S;
    *ret_status = report.status == HEALTH_UNHEALTHY ? 503 : 200;
    return json_pack("{s:s,s:s,s:I,s:o,s:o,s:o,s:o,s:o,s:s,s:o}", "status",
                     health_names[report.status], "timestamp", timestamp, "uptime",
                     (json_int_t)uptime_s, "checks", report.checks, "metrics", metrics,
                     "circuitBreakers", breakers, "features", features_of(valves),
                     "recommendations", system_recommendations(valves), "version",
                     VALVECHAIN_VERSION, "processes", process_list(&report));
}
