// Which policies bind a request: everything but the path by masks of one bit a policy.
#ifndef VALVECHAIN_LIMIT_MATCH_H
#define VALVECHAIN_LIMIT_MATCH_H

#include "limit/limit.h"

#define MATCH_METHODS 8
_Static_assert(LIMIT_POLICIES_MAX == 64, "a set of policies is one word");

struct matcher {
    uint64_t by_method[MATCH_METHODS], by_tier[LIMIT_TIER_MAX], by_region[LIMIT_TIER_MAX];
    uint64_t not_verified[LIMIT_TIER_MAX]; // policies that bind a verified caller of the tier
    uint64_t by_caller[2];                 // anonymous, authenticated
    uint64_t with_paths, with_more;        // look at the path; at the host or a header
    uint64_t unlimited, with_replaces;
};

void matcher_init(struct matcher *matcher, const struct limit_policy *policies, uint32_t n);
// Of `bits`, those whose path, host and headers are the request's: the part of the next that costs.
uint64_t matcher_look_closer(const struct matcher *matcher, const struct limit_policy *policies,
                             const struct limit_facts *facts, uint64_t bits);
// The policies as bits, in order of their index: those that match, without those that another of
// them replaces and without unlimited ones.
static inline uint64_t matcher_bits(const struct matcher *matcher,
                                    const struct limit_policy *policies,
                                    const struct limit_facts *facts)
{
    uint32_t method =
        facts->method ? (uint32_t)__builtin_ctz(facts->method) % MATCH_METHODS : MATCH_METHODS - 1;
    uint32_t tier = facts->tier % LIMIT_TIER_MAX, region = facts->region % LIMIT_TIER_MAX;
    uint64_t bits = matcher->by_method[method] & matcher->by_tier[tier] &
                    matcher->by_region[region] & matcher->by_caller[facts->subject_len > 0];
    if (facts->tier_verified) {
        bits &= matcher->not_verified[tier];
    }
    return bits & (matcher->with_paths | matcher->with_more | matcher->with_replaces)
               ? matcher_look_closer(matcher, policies, facts, bits)
               : bits & ~matcher->unlimited;
}
// The most policies that can bind one request. Counts a policy that looks at a header as if every
// request had it, and one that is replaced as if it was not.
uint32_t matcher_most(const struct matcher *matcher, const struct limit_policy *policies,
                      uint32_t n);
// Is `path` the prefix itself or below it (on a segment boundary)?
bool match_path(const char *prefix, const char *path, size_t path_len);

#endif
