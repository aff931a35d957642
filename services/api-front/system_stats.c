#include <string.h>

#include "base/clock.h"
#include "key_words.h"
#include "system.h"

const char *const system_breaker_health[BREAKER_STATES] = {
    [BREAKER_CLOSED] = "healthy",         [BREAKER_OPEN] = "unhealthy",
    [BREAKER_HALF_OPEN] = "degraded",     [BREAKER_FORCED_OPEN] = "unhealthy",
    [BREAKER_FORCED_CLOSED] = "degraded", [BREAKER_DISABLED] = "degraded",
    [BREAKER_OBSERVE] = "degraded",
};

static json_t *tier_names(const struct limit_view *view, uint32_t tiers)
{
    json_t *list = json_array();
    const char *name;
    for (uint32_t i = 0; (name = limit_tier_name(view, i)) != NULL; i++)
        if (tiers == 0 || (tiers >> i & 1) != 0)
            json_array_append_new(list, json_string(name));
    return list;
}

static json_t *region_names(uint32_t regions)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < LIMIT_REGIONS; i++)
        if (regions == 0 || (regions >> i & 1) != 0)
            json_array_append_new(list, json_string(limit_region_names[i]));
    return list;
}

static json_t *key_list(const struct limit_policy *policy)
{
    char words[KEY_WORDS_MAX][KEY_WORD_MAX];
    size_t n = key_words(policy, policy->key_parts, words);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(words[i]));
    return list;
}

static json_t *policy_paths(const struct limit_policy *policy)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < policy->n_paths; i++)
        json_array_append_new(list, json_string(policy->paths[i][0] ? policy->paths[i] : "/"));
    return list;
}

static json_t *policy_report(const struct limit_view *view, const struct limit_policy *policy,
                             double refused)
{
    return json_pack(
        "{s:s,s:s,s:s,s:I,s:I,s:o,s:o,s:o,s:o,s:b,s:I}", "name", policy->name, "algorithm",
        limit_algorithm_names[policy->algorithm], "mode",
        policy->mode == LIMIT_SHADOW ? "shadow" : "enforce", "limit", (json_int_t)policy->limit,
        "windowMs", (json_int_t)(policy->window_ns / NS_PER_MS), "key", key_list(policy), "tiers",
        tier_names(view, policy->tiers), "regions", region_names(policy->regions), "paths",
        policy_paths(policy), "unlimited", policy->unlimited, "refused", (json_int_t)refused);
}

static json_t *policy_list(struct valves *valves)
{
    const struct limit_policy *policies[LIMIT_POLICIES_MAX];
    const char *names[LIMIT_POLICIES_MAX];
    double refused[LIMIT_POLICIES_MAX];
    uint32_t n = 0;
    while (n < LIMIT_POLICIES_MAX && (policies[n] = limit_policy_at(valves->limits, n)) != NULL) {
        names[n] = policies[n]->name;
        n++;
    }
    figures_policy_hits(valves->service->segment, names, n, refused);
    json_t *list = json_array();
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(list, policy_report(valves->limits, policies[i], refused[i]));
    return list;
}

// Counting the table's live cells is the limiter's work, once a second; null while none has.
static json_t *published_figure(struct valves *valves, const char *name)
{
    double value;
    if (!metric_lookup(valves->service->segment, name, NULL, &value))
        return json_null();
    return json_integer((json_int_t)value);
}

json_t *system_limit_report(struct valves *valves)
{
    const struct limits_params *params = valves_limits_params(valves);
    valves_follow_limits(valves);
    json_t *policies = policy_list(valves);
    system_limit_add_figures(valves, policies);
    return json_pack("{s:b,s:s,s:b,s:I,s:o,s:{s:o,s:o,s:o,s:o}}", "enabled", params->enabled,
                     "mode", params->mode == 1 ? "shadow" : "enforce", "regional", params->regional,
                     "generation", (json_int_t)limit_generation(valves->limits), "policies",
                     policies, "table", "cells",
                     published_figure(valves, "valvechain_limit_table_cells"), "live",
                     published_figure(valves, "valvechain_limit_table_live"), "overflow",
                     published_figure(valves, "valvechain_rate_limit_overflow_total"), "freed",
                     published_figure(valves, "valvechain_limit_freed_cells_total"));
}

static json_t *milliseconds(uint64_t ns)
{
    return json_integer((json_int_t)((ns + NS_PER_MS - 1) / NS_PER_MS));
}

static json_t *breaker_settings(struct valves *valves, uint32_t index)
{
    const struct breaker_definition *d = breaker_definition_at(valves->breakers, index);
    if (d == NULL)
        return json_null();
    return json_pack(
        "{s:o,s:i,s:s,s:i,s:o,s:i,s:i,s:o,s:i,s:o,s:o,s:i,s:i,s:o}", "timeoutMs",
        milliseconds(d->timeout_ns), "errorThresholdPercent", (int)d->error_threshold_percent,
        "tripAt", d->trip_exceeds ? "exceed" : "reach", "slowThresholdPercent",
        (int)d->slow_threshold_percent, "slowDurationMs", milliseconds(d->slow_duration_ns),
        "consecutive", (int)d->consecutive, "volumeThreshold", (int)d->volume_threshold,
        "rollingTimeoutMs", milliseconds(d->rolling_timeout_ns), "rollingBuckets",
        (int)d->rolling_buckets, "resetTimeoutMs", milliseconds(d->reset_timeout_ns),
        "resetTimeoutMaxMs", milliseconds(d->reset_timeout_max_ns), "resetBackoffPercent",
        (int)d->reset_backoff_percent, "probes", (int)d->probes, "rampMs",
        milliseconds(d->ramp_ns));
}

// Until the deadline of an open breaker or the end of a forced state; null without one.
static json_t *retry_ms(const struct breaker_status *status, uint64_t now_ns)
{
    if (status->deadline_ns == 0)
        return json_null();
    return milliseconds(status->deadline_ns > now_ns ? status->deadline_ns - now_ns : 0);
}

static json_t *breaker_window(const struct breaker_status *status)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:i}", "successes", (json_int_t)status->window_successes,
                     "failures", (json_int_t)status->window_failures, "timeouts",
                     (json_int_t)status->window_timeouts, "slow", (json_int_t)status->window_slow,
                     "consecutiveFailures", (int)status->consecutive);
}

static json_t *breaker_totals(const struct breaker_status *status)
{
    return json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "opens", (json_int_t)status->total_opens,
        "successes", (json_int_t)status->total_successes, "failures",
        (json_int_t)status->total_failures, "timeouts", (json_int_t)status->total_timeouts, "slow",
        (json_int_t)status->total_slow, "ignored", (json_int_t)status->total_ignored, "probes",
        (json_int_t)status->total_probes, "refusedOpen", (json_int_t)status->total_refused_open,
        "refusedCapacity", (json_int_t)status->total_refused_capacity, "refusedRamp",
        (json_int_t)status->total_refused_ramp, "refusedForced",
        (json_int_t)status->total_refused_forced);
}

// Who set it and why; null for what the breaker entered by itself.
static json_t *breaker_command(const struct breaker_status *status)
{
    if (status->author[0] == '\0')
        return json_null();
    return json_pack("{s:s,s:s}", "author", status->author, "reason", status->reason);
}

static json_t *breaker_entry(struct valves *valves, uint32_t index,
                             const struct breaker_status *status, uint64_t now_ns)
{
    uint64_t since_ns = status->since_ns < now_ns ? now_ns - status->since_ns : 0;
    return json_pack(
        "{s:s,s:s,s:I,s:o,s:i,s:i,s:i,s:i,s:b,s:o,s:o,s:o,s:o}", "status",
        system_breaker_health[status->state], "state", breaker_state_names[status->state],
        "inStateMs", (json_int_t)(since_ns / NS_PER_MS), "retryInMs", retry_ms(status, now_ns),
        "inFlight", (int)status->in_flight, "capacity", (int)status->capacity, "probesOut",
        (int)status->probes_out, "failedRecoveries", (int)status->reopened, "wouldOpen",
        status->would_open, "command", breaker_command(status), "window", breaker_window(status),
        "totals", breaker_totals(status), "settings", breaker_settings(valves, index));
}

json_t *system_breaker_report(struct valves *valves)
{
    json_t *breakers = json_object();
    uint64_t now_ns = clock_mono_ns();
    struct breaker_status status;
    for (uint32_t i = 0; breaker_next(valves->breakers, &i, now_ns, &status); i++)
        json_object_set_new(breakers, status.name, breaker_entry(valves, i, &status, now_ns));
    return json_pack("{s:b,s:I,s:o}", "enabled", valves_breakers_params(valves)->enabled,
                     "generation", (json_int_t)breaker_generation(valves->breakers),
                     "circuitBreakers", breakers);
}
