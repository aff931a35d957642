#include "base/clock.h"
#include "key_words.h"
#include "system.h"

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

// What gateways and the limiter count of the same, each under a name of its own.
static json_t *published_sum(struct valves *valves, const char *by_gateways, const char *by_limiter)
{
    double gateways = 0, limiter = 0;
    (void)metric_lookup(valves->service->segment, by_gateways, NULL, &gateways);
    (void)metric_lookup(valves->service->segment, by_limiter, NULL, &limiter);
    return json_integer((json_int_t)(gateways + limiter));
}

// Whether there is one is the limiter's finding; null while there is none to find it.
static json_t *flood_report(struct valves *valves)
{
    double is_on;
    bool known = metric_lookup(valves->service->segment, "valvechain_limit_flood", NULL, &is_on);
    return json_pack("{s:o,s:o,s:o}", "active", known ? json_boolean(is_on > 0) : json_null(),
                     "count", published_figure(valves, "valvechain_limit_floods_total"),
                     "newKeysPerSecond",
                     published_figure(valves, "valvechain_limit_new_keys_per_second"));
}

static json_t *table_report(struct valves *valves)
{
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "cells",
                     published_figure(valves, "valvechain_limit_table_cells"), "live",
                     published_figure(valves, "valvechain_limit_table_live"), "newKeys",
                     published_sum(valves, "valvechain_rate_limit_new_keys_total",
                                   "valvechain_limit_check_new_keys_total"),
                     "overflow",
                     published_sum(valves, "valvechain_rate_limit_overflow_total",
                                   "valvechain_limit_check_overflow_total"),
                     "freed", published_figure(valves, "valvechain_limit_freed_cells_total"),
                     "flood", flood_report(valves));
}

json_t *system_limit_report(struct valves *valves)
{
    const struct limits_params *params = valves_limits_params(valves);
    valves_follow_limits(valves);
    json_t *policies = policy_list(valves);
    system_limit_add_figures(valves, policies);
    return json_pack("{s:b,s:s,s:b,s:I,s:o,s:o}", "enabled", params->enabled, "mode",
                     params->mode == 1 ? "shadow" : "enforce", "regional", params->regional,
                     "generation", (json_int_t)limit_generation(valves->limits), "policies",
                     policies, "table", table_report(valves));
}
