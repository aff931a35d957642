// Which cell is a key's: set-associative ranges of cells, one range a policy.
//
// A key may lie in any cell of its set (16 ways, probed from a home way on), and in one only.
// A newcomer takes the first cell of the set that was never used or whose counts are all dead, by
// one CAS on the owner word; a live cell is never taken. When there is none, or while the key's
// overflow cell still holds live counts (they may be the key's), the newcomer is counted in that
// overflow cell, which several keys share: stricter, never laxer.
//
// `live_from` is the oldest epoch that still counts, from a clock read BEFORE the call; an older
// reading is safe (more looks alive). Thread: any process; nothing is locked.
#ifndef VALVECHAIN_LIMIT_TABLE_H
#define VALVECHAIN_LIMIT_TABLE_H

#include <stddef.h>

#include "limit/cell.h"

#define TABLE_WAYS 16

struct table_range {
    struct cell *cells;    // n_sets * TABLE_WAYS
    struct cell *overflow; // n_overflow
    uint32_t n_sets, n_overflow;
};

struct table_key {  // where a key lies in one range
    uint64_t print; // 44 bits of the keyed hash, never 0
    struct cell *set;
    struct cell *overflow;
    uint32_t home; // the way that is probed first
};

// Where a request is counted, and the owner word that must still stand when it is admitted.
struct table_place {
    struct cell *cell; // NULL: the key is not in the table
    uint64_t owner;
    bool overflow;
    bool tentative; // claimed and not confirmed: raise `last`, then table_settle
};

static inline struct table_key table_key_of(const struct table_range *range, uint64_t hash)
{
    uint64_t mixed = hash * UINT64_C(0x9e3779b97f4a7c15); // all bits of the hash choose the set
    uint64_t print = hash >> OWNER_PRINT_SHIFT;
    uint64_t low = hash & ((UINT64_C(1) << OWNER_PRINT_SHIFT) - 1);
    return (struct table_key){
        .print = print ? print : 1,
        .set = range->cells + ((mixed >> 32) * range->n_sets >> 32) * TABLE_WAYS,
        .overflow = range->overflow + (low * range->n_overflow >> OWNER_PRINT_SHIFT),
        .home = (uint32_t)hash % TABLE_WAYS,
    };
}
static inline struct cell *table_way(const struct table_key *key, uint32_t nth)
{
    return key->set + (key->home + nth) % TABLE_WAYS;
}

// Finds the key without changing anything: its cell, else its overflow cell if that is live, else
// NULL (a newcomer without any count).
void table_find(const struct table_key *key, uint64_t live_from, struct table_place *ret_place);
// Before a charge: sees to it that the key has a place. That may be a tentative claim, for a
// newcomer or for a key whose counts died; then the caller brings the cell to the present epoch
// (window_raise, ring_raise) and calls table_settle, and charges only after that.
// -EAGAIN from both: others were faster, find again with a fresh clock.
int table_claim(const struct table_key *key, uint64_t live_from, struct table_place *place);
int table_settle(const struct table_key *key, uint64_t live_from, struct table_place *place);
// To be asked after the charge and before the clock: does the charge count for this key?
bool table_stands(const struct table_key *key, const struct table_place *place);
// Frees the cell's fingerprint if its counts are dead. For the owner's sweep.
bool table_free_dead(struct cell *cell, uint64_t live_from);

#endif
