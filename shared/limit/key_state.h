// One key of one policy for operators: how it stands, and beginning anew.
// Thread: the view's.
#ifndef VALVECHAIN_LIMIT_KEY_STATE_H
#define VALVECHAIN_LIMIT_KEY_STATE_H

#include "limit/limit_key.h"

struct key_state {
    uint64_t limit; // UINT64_MAX: unlimited; in force now, an override's or the policy's
    uint64_t used, remaining, reset_ns;
    bool overridden, in_table;
    bool shares_cell; // counted in an overflow cell, together with others
};
// -EOPNOTSUPP: the policy is unlimited and counts nothing; -EAGAIN: others' changes were in the
// way.
int key_state_read(struct limit_view *view, uint32_t policy, const struct limit_key *key,
                   struct key_state *ret_state);
// Forgets the key's counts and ends its holds. A decision under way may still count there.
// -EBUSY: it shares its cell with others, nothing is changed; -EROFS: the view has no slot.
int key_state_reset(struct limit_view *view, uint32_t policy, const struct limit_key *key);
// What a distributed policy's leases of the key go by (limit_lease.h).
struct key_names {
    uint64_t identity, hash, id[2];
};
void key_state_names(const struct limit_view *view, uint32_t policy, const struct limit_key *key,
                     struct key_names *ret_names);
// The largest limit that an override of this policy may have.
uint64_t key_state_limit_max(const struct limit_policy *policy);

#endif
