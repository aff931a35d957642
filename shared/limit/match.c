#include "limit/match.h"

#include <string.h>

void matcher_init(struct matcher *matcher, const struct limit_policy *policies, uint32_t n)
{
    *matcher = (struct matcher){0};
    for (uint32_t i = 0; i < n; i++) {
        const struct limit_policy *policy = &policies[i];
        uint64_t bit = UINT64_C(1) << i;
        for (uint32_t j = 0; j < MATCH_METHODS; j++) {
            matcher->by_method[j] |= policy->methods >> j & 1 ? bit : 0;
            matcher->by_tier[j] |= policy->tiers == 0 || policy->tiers >> j & 1 ? bit : 0;
            matcher->by_region[j] |= policy->regions == 0 || policy->regions >> j & 1 ? bit : 0;
            matcher->not_verified[j] |= policy->skip_verified_tiers >> j & 1 ? 0 : bit;
        }
        matcher->with_paths |= policy->n_paths > 0 ? bit : 0;
    }
}
_Static_assert(MATCH_METHODS == LIMIT_TIER_MAX, "one loop fills all masks");

bool match_path(const char *prefix, const char *path, size_t path_len)
{
    size_t len = strnlen(prefix, LIMIT_PATH_MAX);
    if (len == 0) {
        return true;
    }
    return path_len >= len && memcmp(prefix, path, len) == 0 &&
           (path_len == len || path[len] == '/');
}

static bool has_path(const struct limit_policy *policy, const struct limit_facts *facts)
{
    for (uint32_t i = 0; i < policy->n_paths; i++) {
        if (match_path(policy->paths[i], facts->path, facts->path_len)) {
            return true;
        }
    }
    return false;
}

uint64_t matcher_bits(const struct matcher *matcher, const struct limit_policy *policies,
                      const struct limit_facts *facts)
{
    uint32_t method =
        facts->method ? (uint32_t)__builtin_ctz(facts->method) % MATCH_METHODS : MATCH_METHODS - 1;
    uint32_t tier = facts->tier % LIMIT_TIER_MAX, region = facts->region % LIMIT_TIER_MAX;
    uint64_t bits =
        matcher->by_method[method] & matcher->by_tier[tier] & matcher->by_region[region];
    if (facts->tier_verified) {
        bits &= matcher->not_verified[tier];
    }
    for (uint64_t paths = bits & matcher->with_paths; paths != 0; paths &= paths - 1) {
        if (!has_path(&policies[__builtin_ctzll(paths)], facts)) {
            bits &= ~(paths & -paths);
        }
    }
    return bits;
}

uint32_t matcher_most(const struct matcher *matcher)
{
    uint32_t most = 0;
    for (uint32_t m = 0; m < MATCH_METHODS; m++) {
        for (uint32_t t = 0; t < LIMIT_TIER_MAX; t++) {
            for (uint32_t r = 0; r < LIMIT_TIER_MAX; r++) {
                uint64_t bits = matcher->by_method[m] & matcher->by_tier[t] & matcher->by_region[r];
                uint32_t n = (uint32_t)__builtin_popcountll(bits);
                most = n > most ? n : most;
            }
        }
    }
    return most;
}
