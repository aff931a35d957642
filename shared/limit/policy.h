// What makes a policy the same one after a reload, whether a set found in memory is sound, and the
// pieces that limit_compile is made of.
#ifndef VALVECHAIN_LIMIT_POLICY_H
#define VALVECHAIN_LIMIT_POLICY_H

#include "limit/limit.h"

enum limits_scope { LIMITS_SCOPE_AUTO, LIMITS_SCOPE_LOCAL, LIMITS_SCOPE_DISTRIBUTED };

// Of everything that the counts in its cells depend on.
uint64_t policy_identity(const struct limit_policy *policy);
// The same without the layout of the cells: name, algorithm as the user names it, window, key.
uint64_t policy_lineage(const struct limit_policy *policy);
// Can cells laid out for this policy count up to `limit`? UINT64_MAX, for unlimited, needs none.
bool policy_can_count(const struct limit_policy *policy, uint64_t limit);
// What the cells must be able to count.
static inline uint64_t policy_reach(const struct limit_policy *policy)
{
    return policy->limit_max > policy->limit ? policy->limit_max : policy->limit;
}
// Could limit_compile have made this? Checks every figure that arithmetic relies on.
bool policy_is_sound(const struct limit_policy *policy);
// Do its ranges lie inside a table of `cells`?
bool policy_is_placed(const struct limit_policy *policy, uint64_t cells);

// ---- for the compiler: policy_builtin.c, policy_file.c --------------------------------------

// One more policy of the set with what all have: mode, methods, IPv6 prefix. NULL: the set is full.
struct limit_policy *policy_add(struct limit_policy_set *set, const char *prefix, const char *name,
                                const struct limits_params *params);
// Chooses the layout of a sliding window's cells by its limit and fills the identity. `algorithm`
// must be set. False: the limit is beyond what the algorithm counts.
bool policy_finish(struct limit_policy *policy);
// Adds those of the configuration file to the built-in ones that are in the set already.
int policy_add_file(const struct limits_params *params, const struct config_model *model,
                    struct problems *problems, struct limit_policy_set *set);

#endif
