// The built-in policies, compiled from the parameters and the tiers of the configuration file.
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "limit/policy.h"
#include "limit/window.h"

#define BIT(n)                   (UINT32_C(1) << (n))
#define REGION_WINDOW_NS         (15 * 60 * NS_PER_S)
#define AUTH_MAX_DEFAULT         3
#define AUTH_MAX_DEFAULT_DEVELOP 20

static int finish(struct limit_policy *policy, const char *parameter, struct problems *problems)
{
    if (policy_finish(policy)) {
        return 0;
    }
    problems_add(problems,
                 "%s: %" PRIu64 " is above what a sliding window counts, allowed 0 to %u; larger "
                 "limits need the algorithm gcra",
                 parameter, policy->limit, WINDOW_LIMIT_MAX);
    return -EINVAL;
}

static int add_paths(struct limit_policy *policy, const char *parameter, const char *list,
                     struct problems *problems)
{
    const char *item;
    size_t len, before = problems->n;
    while (parse_list_next(&list, &item, &len)) {
        while (len > 0 && item[len - 1] == '/') {
            len--;
        }
        if (item[0] != '/') {
            problems_add(problems, "%s: '%.*s' is not a path, it must begin with /", parameter,
                         (int)len, item);
        } else if (len >= LIMIT_PATH_MAX) {
            problems_add(problems, "%s: '%.*s' is too long, a path has at most %d bytes", parameter,
                         (int)len, item, LIMIT_PATH_MAX - 1);
        } else if (policy->n_paths == LIMIT_PATHS_MAX) {
            problems_add(problems, "%s: too many paths, at most %d are allowed", parameter,
                         LIMIT_PATHS_MAX);
            break;
        } else {
            memcpy(policy->paths[policy->n_paths++], item, len);
        }
    }
    if (policy->n_paths == 0 && problems->n == before) {
        problems_add(problems, "%s: names no path, at least one is needed", parameter);
    }
    return problems->n == before ? 0 : -EINVAL;
}

static int add_auth(const struct limits_params *params, int environment, struct problems *problems,
                    struct limit_policy_set *set)
{
    struct limit_policy *policy = policy_add(set, "auth", "", params);
    uint64_t unset =
        environment == ENVIRONMENT_PRODUCTION ? AUTH_MAX_DEFAULT : AUTH_MAX_DEFAULT_DEVELOP;
    policy->limit = params->auth_max == PARAM_UNSET ? unset : params->auth_max;
    policy->window_ns = params->auth_window_ms * NS_PER_MS;
    policy->key_parts = LIMIT_KEY_CLIENT;
    policy->endpoint_type = LIMIT_ENDPOINT_AUTH;
    policy->failed_only = params->auth_count == 1;
    policy->weight = 3;
    int r = add_paths(policy, "AUTH_PATHS", params->auth_paths, problems);
    int r2 = finish(policy, "AUTH_RATE_MAX", problems);
    return r < 0 ? r : r2;
}

static int add_tier(const struct limits_params *params, const char *name, uint64_t limit,
                    uint64_t window_ms, uint32_t weight, const char *parameter,
                    struct problems *problems, struct limit_policy_set *set)
{
    uint32_t tier = set->n_tiers++;
    struct limit_policy *policy = policy_add(set, "tier-", name, params);
    memcpy(set->tiers[tier], name, strnlen(name, LIMIT_NAME_MAX - 1));
    policy->limit = limit;
    policy->window_ns = window_ms * NS_PER_MS;
    policy->key_parts = LIMIT_KEY_CALLER;
    policy->tiers = BIT(tier);
    policy->weight = weight;
    return finish(policy, parameter, problems);
}

static int add_tiers(const struct limits_params *params, const struct config_limits *limits,
                     struct problems *problems, struct limit_policy_set *set)
{
    const struct {
        const char *parameter;
        uint64_t limit;
        uint32_t weight;
    } rows[LIMIT_TIERS_BUILTIN] = {{"TIER_FREE_MAX", params->tier_free_max, 6},
                                   {"TIER_PREMIUM_MAX", params->tier_premium_max, 2},
                                   {"TIER_ENTERPRISE_MAX", params->tier_enterprise_max, 1}};
    int result = 0;
    for (uint32_t i = 0; i < LIMIT_TIERS_BUILTIN; i++) {
        int r = add_tier(params, limit_tier_names[i], rows[i].limit, params->tier_window_ms,
                         rows[i].weight, rows[i].parameter, problems, set);
        result = r < 0 ? r : result;
    }
    for (size_t i = 0; limits && i < limits->n_tiers && set->n_tiers < LIMIT_TIER_MAX; i++) {
        const struct config_tier *tier = &limits->tiers[i];
        uint64_t window_ms =
            tier->window_ms == CONFIG_UNSET ? params->tier_window_ms : tier->window_ms;
        int r = add_tier(params, tier->name, tier->limit, window_ms, 2, tier->name, problems, set);
        result = r < 0 ? r : result;
    }
    return result;
}

// Verified callers of these are bound by their tier instead of the global limit.
static uint32_t tiers_beyond_global(const struct config_limits *limits)
{
    uint32_t bits = BIT(LIMIT_TIER_PREMIUM) | BIT(LIMIT_TIER_ENTERPRISE);
    for (size_t i = 0; limits && i < limits->n_tiers; i++) {
        bits |= limits->tiers[i].global ? 0 : BIT(LIMIT_TIERS_BUILTIN + i);
    }
    return bits;
}

static int add_global(const struct limits_params *params, uint32_t not_bound,
                      struct problems *problems, struct limit_policy_set *set)
{
    struct limit_policy *policy = policy_add(set, "global", "", params);
    policy->limit = params->global_max;
    policy->window_ns = params->global_window_ms * NS_PER_MS;
    policy->key_parts = LIMIT_KEY_CLIENT;
    policy->skip_verified_tiers = not_bound;
    policy->weight = 6;
    return finish(policy, "GLOBAL_RATE_MAX", problems);
}

static int add_regions(const struct limits_params *params, uint32_t not_bound,
                       struct problems *problems, struct limit_policy_set *set)
{
    static const uint64_t limits[] = {2000, 2000, 1500, 1000}; // in 15 minutes
    int result = 0;
    for (uint32_t region = 0; region < sizeof(limits) / sizeof(limits[0]); region++) {
        struct limit_policy *policy =
            policy_add(set, "region-", limit_region_names[region], params);
        policy->limit = limits[region];
        policy->window_ns = REGION_WINDOW_NS;
        policy->key_parts = LIMIT_KEY_CLIENT;
        policy->skip_verified_tiers = not_bound;
        policy->regions = BIT(region);
        policy->weight = 2;
        int r = finish(policy, "REGIONAL_RATE_LIMITING", problems);
        result = r < 0 ? r : result;
    }
    return result;
}

static int compile(const struct limits_params *params, const struct config_model *model,
                   int environment, struct problems *problems, struct limit_policy_set *set)
{
    const struct config_limits *limits = model ? &model->limits : NULL;
    uint32_t not_bound = tiers_beyond_global(limits);
    int r[4] = {add_auth(params, environment, problems, set),
                add_tiers(params, limits, problems, set),
                params->regional ? add_regions(params, not_bound, problems, set)
                                 : add_global(params, not_bound, problems, set),
                0};
    if (model) {
        r[3] = policy_add_file(params, model, problems, set);
    }
    for (int i = 0; i < 4; i++) {
        if (r[i] < 0) {
            return r[i];
        }
    }
    return 0;
}

int limit_compile(const struct limits_params *params, const struct config_model *model,
                  int environment, struct problems *problems, struct limit_policy_set *ret_set)
{
    struct limit_policy_set *set = calloc(1, sizeof(*set));
    if (!set) {
        return -ENOMEM;
    }
    if (params->scope == LIMITS_SCOPE_DISTRIBUTED && !params->redis_enabled) {
        problems_add(problems, "LIMITS_SCOPE: 'distributed' needs Redis: set REDIS_ENABLED=true");
        free(set);
        return -EINVAL;
    }
    // Also what is switched off is checked: it would be switched on by a reload.
    int r = compile(params, model, environment, problems, set);
    if (r == 0 && params->enabled) {
        *ret_set = *set;
    } else if (r == 0) {
        *ret_set = (struct limit_policy_set){.n_tiers = set->n_tiers};
        memcpy(ret_set->tiers, set->tiers, sizeof(set->tiers));
    }
    free(set);
    return r;
}
