// Where the compiled policies lie in the segment: two books, one of them active. A publisher fills
// the other one and makes it active by one CAS; a reader copies and looks again. The publisher's
// word keeps a second publisher out and is taken over when its holder is dead.
//
// Each process acknowledges the generation it decides by, so that cells of a policy that is gone
// are given to another only when nobody can still count there (layout_place). Thread: any process;
// readers never wait; publishing waits at most 200 ms for another publisher.
#ifndef VALVECHAIN_LIMIT_POLICY_STORE_H
#define VALVECHAIN_LIMIT_POLICY_STORE_H

#include "limit/cell.h"
#include "limit/limit.h"

#define POLICY_RETIRED_MAX 128

struct policy_range { // cells that belonged to a policy until generation `retired_in`
    uint32_t first, n;
    uint64_t retired_in;
};
struct policy_override {            // one key's own limit
    uint64_t hash, limit;           // limit UINT64_MAX: unlimited
    uint64_t until_ns, limit_after; // whoever decides judges by the end; 0: there is none
    uint32_t policy, reserved;
};
struct policy_book {
    uint64_t generation; // 0: nothing published
    uint32_t n, n_retired, n_tiers, n_overrides;
    char tiers[LIMIT_TIER_MAX][LIMIT_NAME_MAX];
    struct policy_override overrides[LIMIT_OVERRIDES_MAX]; // in order, see the compare below
    struct policy_range retired[POLICY_RETIRED_MAX];
    struct limit_policy policies[LIMIT_POLICIES_MAX];
};

// The order of the overrides: by policy, then by hash.
static inline int policy_override_compare(const struct policy_override *override, uint32_t policy,
                                          uint64_t hash)
{
    if (override->policy != policy) {
        return override->policy < policy ? -1 : 1;
    }
    return override->hash < hash ? -1 : override->hash > hash;
}

struct policy_store;
struct policy_actor { // who acts: a held slot
    uint32_t slot, generation;
    bool (*is_alive)(void *arg, uint32_t slot, uint32_t generation); // any actor; NULL: all are
    void *arg;
};

size_t policy_store_bytes(void);
uint64_t policy_store_layout_hash(void);
uint64_t policy_store_generation(const struct policy_store *store);
// A verified copy. -EPROTO: the book is damaged, or does not fit a table of `cells`.
int policy_store_read(const struct policy_store *store, uint64_t cells,
                      struct policy_book *ret_book);
// From now on this actor decides by `generation` (or by a later one).
void policy_store_acknowledge(struct policy_store *store, const struct policy_actor *actor,
                              uint64_t generation);
void policy_store_leave(struct policy_store *store, const struct policy_actor *actor);
// Has the slot's holder with this generation (its lower HOLD_GENERATION_BITS) died or left?
bool policy_store_has_left(const struct policy_store *store, const struct policy_actor *actor,
                           uint32_t slot, uint32_t generation);
// See limit_publish. Clears those of the table's `cells` that another policy had before. `hash_key`
// is the segment's, for the keys of overrides.
int policy_store_publish(struct policy_store *store, const struct policy_actor *actor,
                         struct cell *table, uint64_t cells,
                         const uint8_t hash_key[SEGMENT_KEY_BYTES],
                         const struct limit_policy_set *set, enum limit_publish_rule rule);

#endif
