// The built-in policies, compiled from the parameters.
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "limit/limit.h"
#include "limit/policy.h"
#include "limit/ring.h"
#include "limit/table.h"
#include "limit/window.h"

const char *const limit_tier_names[3] = {"free", "premium", "enterprise"};
const char *const limit_region_names[4] = {"us-east", "us-west", "europe", "asia"};

#define BIT(n)                   (UINT32_C(1) << (n))
#define PAID_TIERS               (BIT(LIMIT_TIER_PREMIUM) | BIT(LIMIT_TIER_ENTERPRISE))
#define REGION_WINDOW_NS         (15 * 60 * NS_PER_S)
#define AUTH_MAX_DEFAULT         3
#define AUTH_MAX_DEFAULT_DEVELOP 20

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len; i++) { // FNV-1a
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

uint64_t policy_identity(const struct limit_policy *policy)
{
    const uint64_t numbers[] = {policy->algorithm, policy->window_ns, policy->key_parts,
                                policy->ipv6_prefix_bits, policy->count_bits};
    uint64_t hash = hash_bytes(UINT64_C(0xcbf29ce484222325), policy->name, LIMIT_NAME_MAX);
    return hash_bytes(hash, numbers, sizeof(numbers));
}

// Chooses the algorithm by the limit and fills what follows from it.
static int finish(struct limit_policy *policy, const char *parameter, struct problems *problems)
{
    if (policy->limit > WINDOW_LIMIT_MAX) {
        problems_add(problems,
                     "%s: %llu is above what a sliding window counts, allowed 0 to %u; larger "
                     "limits need the algorithm gcra",
                     parameter, (unsigned long long)policy->limit, WINDOW_LIMIT_MAX);
        return -EINVAL;
    }
    policy->algorithm = policy->limit <= RING_LIMIT_MAX ? LIMIT_RING : LIMIT_SLIDING_WINDOW;
    policy->count_bits = policy->algorithm == LIMIT_RING ? 0 : window_count_bits(policy->limit);
    policy->identity = policy_identity(policy);
    return 0;
}

static struct limit_policy *add_policy(struct limit_policy_set *set, const char *prefix,
                                       const char *name, const struct limits_params *params)
{
    struct limit_policy *policy = &set->policies[set->n++];
    size_t prefix_len = strlen(prefix);
    *policy = (struct limit_policy){.mode = params->mode == 1 ? LIMIT_SHADOW : LIMIT_ENFORCE,
                                    .methods = HTTP_ANY,
                                    .ipv6_prefix_bits = (uint32_t)params->ipv6_prefix_bits,
                                    .endpoint_type = LIMIT_ENDPOINT_API};
    memcpy(policy->name, prefix, prefix_len);
    memcpy(policy->name + prefix_len, name, strnlen(name, LIMIT_NAME_MAX - 1 - prefix_len));
    return policy;
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
    struct limit_policy *policy = add_policy(set, "auth", "", params);
    uint64_t unset =
        environment == ENVIRONMENT_PRODUCTION ? AUTH_MAX_DEFAULT : AUTH_MAX_DEFAULT_DEVELOP;
    policy->limit = params->auth_max == PARAM_UNSET ? unset : params->auth_max;
    policy->window_ns = params->auth_window_ms * NS_PER_MS;
    policy->key_parts = LIMIT_KEY_CLIENT;
    policy->endpoint_type = LIMIT_ENDPOINT_AUTH;
    policy->weight = 3;
    int r = add_paths(policy, "AUTH_PATHS", params->auth_paths, problems);
    int r2 = finish(policy, "AUTH_RATE_MAX", problems);
    return r < 0 ? r : r2;
}

static int add_tiers(const struct limits_params *params, struct problems *problems,
                     struct limit_policy_set *set)
{
    const struct {
        const char *parameter;
        uint64_t limit;
        uint32_t weight;
    } rows[] = {{"TIER_FREE_MAX", params->tier_free_max, 6},
                {"TIER_PREMIUM_MAX", params->tier_premium_max, 2},
                {"TIER_ENTERPRISE_MAX", params->tier_enterprise_max, 1}};
    int result = 0;
    for (uint32_t tier = 0; tier < sizeof(rows) / sizeof(rows[0]); tier++) {
        struct limit_policy *policy = add_policy(set, "tier-", limit_tier_names[tier], params);
        policy->limit = rows[tier].limit;
        policy->window_ns = params->tier_window_ms * NS_PER_MS;
        policy->key_parts = LIMIT_KEY_CALLER;
        policy->tiers = BIT(tier);
        policy->weight = rows[tier].weight;
        int r = finish(policy, rows[tier].parameter, problems);
        result = r < 0 ? r : result;
    }
    return result;
}

static int add_global(const struct limits_params *params, struct problems *problems,
                      struct limit_policy_set *set)
{
    struct limit_policy *policy = add_policy(set, "global", "", params);
    policy->limit = params->global_max;
    policy->window_ns = params->global_window_ms * NS_PER_MS;
    policy->key_parts = LIMIT_KEY_CLIENT;
    policy->skip_verified_tiers = PAID_TIERS;
    policy->weight = 6;
    return finish(policy, "GLOBAL_RATE_MAX", problems);
}

static int add_regions(const struct limits_params *params, struct problems *problems,
                       struct limit_policy_set *set)
{
    static const uint64_t limits[] = {2000, 2000, 1500, 1000}; // in 15 minutes
    int result = 0;
    for (uint32_t region = 0; region < sizeof(limits) / sizeof(limits[0]); region++) {
        struct limit_policy *policy =
            add_policy(set, "region-", limit_region_names[region], params);
        policy->limit = limits[region];
        policy->window_ns = REGION_WINDOW_NS;
        policy->key_parts = LIMIT_KEY_CLIENT;
        policy->skip_verified_tiers = PAID_TIERS;
        policy->regions = BIT(region);
        policy->weight = 2;
        int r = finish(policy, "REGIONAL_RATE_LIMITING", problems);
        result = r < 0 ? r : result;
    }
    return result;
}

int limit_compile(const struct limits_params *params, const struct config_model *model,
                  int environment, struct problems *problems, struct limit_policy_set *ret_set)
{
    (void)model; // holds no policies yet
    struct limit_policy_set set = {0};
    int result = 0;
    if (params->enabled) {
        int r = add_auth(params, environment, problems, &set);
        result = r < 0 ? r : result;
        r = add_tiers(params, problems, &set);
        result = r < 0 ? r : result;
        r = params->regional ? add_regions(params, problems, &set)
                             : add_global(params, problems, &set);
        result = r < 0 ? r : result;
    }
    if (result == 0) {
        *ret_set = set;
    }
    return result;
}

bool policy_is_sound(const struct limit_policy *policy)
{
    if (memchr(policy->name, 0, LIMIT_NAME_MAX) == NULL || policy->n_paths > LIMIT_PATHS_MAX ||
        policy->window_ns == 0 || policy->window_ns > LIMIT_WINDOW_MAX_NS ||
        policy->ipv6_prefix_bits > 128 || policy->mode > LIMIT_SHADOW) {
        return false;
    }
    if (policy->algorithm == LIMIT_RING) {
        return policy->limit <= RING_LIMIT_MAX && policy->count_bits == 0;
    }
    return policy->algorithm == LIMIT_SLIDING_WINDOW && policy->limit <= WINDOW_LIMIT_MAX &&
           policy->count_bits >= window_count_bits(policy->limit) && policy->count_bits <= 16 &&
           window_count_bits((UINT64_C(1) << policy->count_bits) - 1) == policy->count_bits;
}

bool policy_is_placed(const struct limit_policy *policy, uint64_t cells)
{
    return policy->n_cells >= TABLE_WAYS && policy->n_cells % TABLE_WAYS == 0 &&
           policy->n_overflow_cells > 0 &&
           policy->n_overflow_cells < UINT32_C(1) << OWNER_PRINT_SHIFT &&
           (uint64_t)policy->first_cell + policy->n_cells <= cells &&
           (uint64_t)policy->overflow_cell + policy->n_overflow_cells <= cells;
}
