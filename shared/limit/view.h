// One process's eye on the table: its private copy of the policies, and a meter for each.
// Inside of shared/limit; tests build one over plain memory (view_init) with a clock of their own.
#ifndef VALVECHAIN_LIMIT_VIEW_H
#define VALVECHAIN_LIMIT_VIEW_H

#include "base/clock.h"
#include "base/recent_clock.h"
#include "limit/lease.h"
#include "limit/limit.h"
#include "limit/match.h"
#include "limit/meter.h"
#include "limit/policy_store.h"

struct limit_view {
    struct cell *cells;
    uint64_t n_cells;
    struct policy_store *store;
    struct policy_actor actor;
    bool read_only; // no slot: nothing is written
    uint8_t hash_key[SEGMENT_KEY_BYTES];
    uint64_t (*clock_ns)(void *arg); // NULL: CLOCK_MONOTONIC
    void *clock_arg;
    uint64_t hint_ns;                    // the clock's latest reading; only ever behind
    uint64_t hint_ticks;                 // noted before it (recent_clock.h)
    bool has_ticks;                      // they can be trusted
    uint16_t hold_era;                   // words of holds taken (hold.h)
    uint64_t holder_seen_ns[SLOT_COUNT]; // when a slot's process was last looked up

    struct lease_view leases; // n_sets 0: there are none, the store counts as away

    uint64_t generation;
    struct matcher matcher;
    uint64_t has_overrides; // bit per policy
    bool looks_at_regions;  // any policy does
    struct meter meters[LIMIT_POLICIES_MAX];
    struct policy_book book;
    struct policy_book scratch; // being read

    uint32_t sweep_policy, sweep_cell;
};

static inline uint64_t view_now_ns(const struct limit_view *view)
{
    return view->clock_ns ? view->clock_ns(view->clock_arg) : clock_mono_ns();
}
// Puts the key's own limit into `limit`, if it has one that has not ended. False: it is unlimited.
bool view_override(const struct limit_view *view, uint32_t policy, uint64_t hash, uint64_t *limit);
// How long the key's limit, which is below `cost`, stays so: until an own limit that ends makes
// room for it. LIMIT_NEVER: nothing is known to.
uint64_t view_never_fits_ns(const struct limit_view *view, uint32_t policy, uint64_t hash,
                            uint64_t cost, struct cell_head *cell, uint64_t now_ns);
// Takes back what was charged to a cell, as far as it still stands.
void view_take_back(const struct limit_view *view, const struct meter *meter,
                    struct cell_head *cell, uint64_t cost, const struct meter_charge *charge);
// For hold_free_dead, with the view as `arg`. Looks a slot up every HOLD_CHECK_NS at most.
bool view_holder_is_dead(void *view, uint32_t slot, uint32_t generation);
// Over memory of the caller: `cells` and a store of policy_store_bytes(), both zeroed at first.
// Takes the active policies over; -EPROTO as limit_attach.
int view_init(struct limit_view *view, struct cell *cells, uint64_t n_cells,
              struct policy_store *store, const struct policy_actor *actor,
              const uint8_t hash_key[SEGMENT_KEY_BYTES]);

#endif
