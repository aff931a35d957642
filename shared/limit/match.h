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
// The policies as bits, in order of their index: those that match, without those that another of
// them replaces and without unlimited ones.
uint64_t matcher_bits(const struct matcher *matcher, const struct limit_policy *policies,
                      const struct limit_facts *facts);
// The most policies that can bind one request. Counts a policy that looks at a header as if every
// request had it, and one that is replaced as if it was not.
uint32_t matcher_most(const struct matcher *matcher, const struct limit_policy *policies,
                      uint32_t n);
// Is `path` the prefix itself or below it (on a segment boundary)?
bool match_path(const char *prefix, const char *path, size_t path_len);

#endif
