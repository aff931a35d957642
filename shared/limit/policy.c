// What a policy is, whoever made it.
#include "limit/policy.h"

#include <string.h>

#include "base/clock.h"
#include "limit/meter.h"

const char *const limit_tier_names[LIMIT_TIERS_BUILTIN] = {"free", "premium", "enterprise"};
const char *const limit_region_names[LIMIT_REGIONS] = {"us-east", "us-west", "europe", "asia"};
const char *const limit_algorithm_names[] = {
    [0] = "unknown",
    [LIMIT_SLIDING_WINDOW] = "sliding_window",
    [LIMIT_RING] = "sliding_window", // its exact form for small limits
    [LIMIT_GCRA] = "gcra",
    [LIMIT_FIXED_WINDOW] = "fixed_window",
    [LIMIT_CONCURRENCY] = "concurrency",
};

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len; i++) { // FNV-1a
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

// The reader of the configuration refuses what cells cannot count.
_Static_assert(CONFIG_SLIDING_WINDOW_MAX == WINDOW_LIMIT_MAX, "sliding_window");
_Static_assert(CONFIG_FIXED_WINDOW_MAX == FIXED_LIMIT_MAX, "fixed_window");
_Static_assert(CONFIG_CONCURRENCY_MAX == HOLD_LIMIT_MAX, "concurrency");
_Static_assert(CONFIG_DAY_MS *NS_PER_MS == LIMIT_WINDOW_MAX_NS &&
                   CONFIG_WINDOW_MS_MAX * NS_PER_MS == LIMIT_WINDOW_STORE_NS,
               "windows");
_Static_assert(CONFIG_HOSTS_MAX <= LIMIT_HOSTS_MAX && CONFIG_HEADERS_MAX <= LIMIT_HEADERS_MAX &&
                   CONFIG_KEY_HEADERS_MAX <= LIMIT_KEY_HEADERS_MAX,
               "what a policy has room for");
_Static_assert(CONFIG_GCRA_MAX_PER_MS == NS_PER_MS / GCRA_INTERVAL_MIN_NS, "gcra");

uint64_t policy_lineage(const struct limit_policy *policy)
{
    uint32_t algorithm = policy->algorithm == LIMIT_RING ? LIMIT_SLIDING_WINDOW : policy->algorithm;
    const uint64_t numbers[] = {algorithm,         policy->window_ns,
                                policy->key_parts, policy->ipv6_prefix_bits,
                                policy->unlimited, policy->hold_ns};
    uint64_t hash = hash_bytes(UINT64_C(0xcbf29ce484222325), policy->name, LIMIT_NAME_MAX);
    hash = hash_bytes(hash, policy->key_headers, sizeof(policy->key_headers));
    return hash_bytes(hash, numbers, sizeof(numbers));
}

uint64_t policy_identity(const struct limit_policy *policy)
{
    const uint64_t layout[] = {policy->algorithm, policy->count_bits};
    return hash_bytes(policy_lineage(policy), layout, sizeof(layout));
}

bool policy_can_count(const struct limit_policy *policy, uint64_t limit)
{
    if (limit == UINT64_MAX) {
        return true;
    }
    switch (policy->algorithm) {
    case LIMIT_RING:
        return limit <= RING_LIMIT_MAX;
    case LIMIT_SLIDING_WINDOW:
        return limit >> (policy->count_bits & 63) == 0;
    case LIMIT_GCRA:
        return gcra_is_sound(limit, policy->burst, policy->window_ns);
    case LIMIT_FIXED_WINDOW:
        return limit <= FIXED_LIMIT_MAX;
    case LIMIT_CONCURRENCY:
        return limit <= HOLD_LIMIT_MAX;
    default:
        return false;
    }
}

static uint8_t policy_scope_of(const struct limits_params *params)
{
    bool distributed = params->scope == LIMITS_SCOPE_DISTRIBUTED ||
                       (params->scope == LIMITS_SCOPE_AUTO && params->redis_enabled);
    return distributed ? POLICY_DISTRIBUTED : POLICY_LOCAL;
}

struct limit_policy *policy_add(struct limit_policy_set *set, const char *prefix, const char *name,
                                const struct limits_params *params)
{
    if (set->n == LIMIT_POLICIES_MAX) {
        return NULL;
    }
    struct limit_policy *policy = &set->policies[set->n++];
    size_t prefix_len = strlen(prefix);
    *policy = (struct limit_policy){.mode = params->mode == 1 ? LIMIT_SHADOW : LIMIT_ENFORCE,
                                    .algorithm = LIMIT_SLIDING_WINDOW,
                                    .methods = HTTP_ANY,
                                    .scope = policy_scope_of(params),
                                    .on_store_failure = (uint8_t)params->on_store_failure,
                                    .ipv6_prefix_bits = (uint32_t)params->ipv6_prefix_bits,
                                    .cost = 1,
                                    .endpoint_type = LIMIT_ENDPOINT_API};
    memcpy(policy->name, prefix, prefix_len);
    memcpy(policy->name + prefix_len, name, strnlen(name, LIMIT_NAME_MAX - 1 - prefix_len));
    return policy;
}

bool policy_finish(struct limit_policy *policy)
{
    uint64_t reach = policy_reach(policy);
    if (policy->algorithm == LIMIT_SLIDING_WINDOW && !policy->unlimited) {
        if (reach > WINDOW_LIMIT_MAX) {
            return false;
        }
        policy->algorithm = reach <= RING_LIMIT_MAX ? LIMIT_RING : LIMIT_SLIDING_WINDOW;
        policy->count_bits = policy->algorithm == LIMIT_RING ? 0 : window_count_bits(reach);
    }
    policy->identity = policy_identity(policy);
    return policy_is_sound(policy);
}

bool policy_is_sound(const struct limit_policy *policy)
{
    if (memchr(policy->name, 0, LIMIT_NAME_MAX) == NULL || policy->n_paths > LIMIT_PATHS_MAX ||
        policy->n_hosts > LIMIT_HOSTS_MAX || policy->n_headers > LIMIT_HEADERS_MAX) {
        return false;
    }
    bool has_window = policy->algorithm != LIMIT_CONCURRENCY;
    uint64_t window_max_ns =
        policy->scope == POLICY_DISTRIBUTED ? LIMIT_WINDOW_STORE_NS : LIMIT_WINDOW_MAX_NS;
    if ((policy->window_ns == 0 && has_window) || policy->window_ns > window_max_ns ||
        policy->ipv6_prefix_bits > 128 || policy->mode > LIMIT_SHADOW) {
        return false;
    }
    switch (policy->algorithm) {
    case LIMIT_RING:
        return policy->limit <= RING_LIMIT_MAX && policy->count_bits == 0;
    case LIMIT_SLIDING_WINDOW:
        return policy->limit <= WINDOW_LIMIT_MAX &&
               policy->count_bits >= window_count_bits(policy->limit) && policy->count_bits <= 24 &&
               window_count_bits((UINT64_C(1) << policy->count_bits) - 1) == policy->count_bits;
    case LIMIT_GCRA:
        return gcra_is_sound(policy->limit, policy->burst, policy->window_ns);
    case LIMIT_FIXED_WINDOW:
        return policy->limit <= FIXED_LIMIT_MAX && policy->window_ns >= NS_PER_MS;
    case LIMIT_CONCURRENCY:
        return policy->limit <= HOLD_LIMIT_MAX && policy->hold_ns >= NS_PER_MS &&
               policy->hold_ns <= LIMIT_WINDOW_MAX_NS;
    default:
        return false;
    }
}

bool policy_is_placed(const struct limit_policy *policy, uint64_t cells)
{
    if (policy->unlimited) {
        return policy->n_cells == 0 && policy->n_overflow_cells == 0;
    }
    uint32_t set_cells = table_set_cells(meter_is_slim(policy));
    return policy->n_cells >= set_cells && policy->n_cells % set_cells == 0 &&
           policy->n_overflow_cells > 0 &&
           policy->n_overflow_cells < UINT32_C(1) << OWNER_PRINT_SHIFT &&
           (uint64_t)policy->first_cell + policy->n_cells <= cells &&
           (uint64_t)policy->overflow_cell + policy->n_overflow_cells <= cells;
}
