// What makes a policy the same one after a reload, and whether a set found in memory is sound.
#ifndef VALVECHAIN_LIMIT_POLICY_H
#define VALVECHAIN_LIMIT_POLICY_H

#include "limit/limit.h"

uint64_t policy_identity(const struct limit_policy *policy);
// Could limit_compile have made this? Checks every figure that arithmetic relies on.
bool policy_is_sound(const struct limit_policy *policy);
// Do its ranges lie inside a table of `cells`?
bool policy_is_placed(const struct limit_policy *policy, uint64_t cells);

#endif
