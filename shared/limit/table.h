// Which cell is a key's: set-associative ranges of cells, one range a policy.
//
// Cells are wide or slim (cell.h); a set is 16 wide ones, or 8 slim ones in two cache lines.
// A key may lie in any cell of its set (probed from a home way on), and in one only.
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

#define TABLE_WAYS      16 // of wide cells; ranges are laid out in multiples of that
#define TABLE_SLIM_WAYS 8

struct table_range {
    struct cell_head *cells;    // n_sets * ways
    struct cell_head *overflow; // n_overflow
    uint32_t n_sets, n_overflow;
    uint32_t ways, stride; // stride: from cell to cell, in heads
};

struct table_key {  // where a key lies in one range
    uint64_t print; // 44 bits of the keyed hash, never 0
    struct cell_head *set;
    struct cell_head *overflow;
    uint32_t home; // the way that is probed first
    uint32_t ways, stride;
};

// Where a request is counted, and the owner word that must still stand when it is admitted.
struct table_place {
    struct cell_head *cell; // NULL: the key is not in the table
    uint64_t owner;
    bool overflow;
    bool tentative; // claimed and not confirmed: raise `last`, then table_settle
};

// The range of `n_cells` wide cells (a multiple of TABLE_WAYS) or what lies in their place.
static inline struct table_range table_range_of(struct cell *cells, uint32_t n_cells,
                                                struct cell *overflow, uint32_t n_overflow,
                                                bool is_slim)
{
    uint32_t ways = is_slim ? TABLE_SLIM_WAYS : TABLE_WAYS;
    uint32_t in_cell = is_slim ? CELL_HEADS : 1;
    return (struct table_range){.cells = &cells->head,
                                .overflow = &overflow->head,
                                .n_sets = n_cells * in_cell / ways,
                                .n_overflow = n_overflow * in_cell,
                                .ways = ways,
                                .stride = CELL_HEADS / in_cell};
}
static inline uint32_t table_n_cells(const struct table_range *range)
{
    return range->n_sets * range->ways;
}
static inline struct cell_head *table_cell(const struct table_range *range, uint32_t index)
{
    return range->cells + (size_t)index * range->stride;
}
static inline struct table_key table_key_of(const struct table_range *range, uint64_t hash)
{
    uint64_t mixed = hash * UINT64_C(0x9e3779b97f4a7c15); // all bits of the hash choose the set
    uint64_t print = hash >> OWNER_PRINT_SHIFT;
    uint64_t low = hash & ((UINT64_C(1) << OWNER_PRINT_SHIFT) - 1);
    uint64_t set = (mixed >> 32) * range->n_sets >> 32;
    uint64_t overflow = low * range->n_overflow >> OWNER_PRINT_SHIFT;
    return (struct table_key){
        .print = print ? print : 1,
        .set = range->cells + set * range->ways * range->stride,
        .overflow = range->overflow + overflow * range->stride,
        .home = (uint32_t)hash & (range->ways - 1),
        .ways = range->ways,
        .stride = range->stride,
    };
}
// In probe order: the home way, its neighbour in the same pair of cache lines, and so on.
static inline struct cell_head *table_way(const struct table_key *key, uint32_t nth)
{
    return key->set + (size_t)(key->home ^ nth) * key->stride;
}

void table_search(const struct table_key *key, uint64_t live_from, struct table_place *ret_place);
int table_claim_anew(const struct table_key *key, uint64_t live_from, struct table_place *place);
bool table_stands_shared(const struct table_key *key);

// Finds the key without changing anything: its cell, else its overflow cell if that is live, else
// NULL (a newcomer without any count). Here and below the usual case, a key in its home cell, is
// code in place.
static inline void table_find(const struct table_key *key, uint64_t live_from,
                              struct table_place *ret_place)
{
    struct cell_head *cell = table_way(key, 0);
    uint64_t owner = atomic_load(&cell->owner);
    if (__builtin_expect(owner_is(owner, key->print) && (owner & OWNER_CONFIRMED), 1)) {
        *ret_place = (struct table_place){.cell = cell, .owner = owner};
    } else {
        table_search(key, live_from, ret_place);
    }
}
// Before a charge: sees to it that the key has a place. That may be a tentative claim, for a
// newcomer or for a key whose counts died; then the caller brings the cell to the present epoch
// (meter_raise) and calls table_settle, and charges only after that.
// -EAGAIN from both: others were faster, find again with a fresh clock.
static inline int table_claim(const struct table_key *key, uint64_t live_from,
                              struct table_place *place)
{
    bool has_cell = place->cell && !place->overflow &&
                    (place->owner & OWNER_CONDEMNED) == OWNER_CONFIRMED &&
                    atomic_load(&place->cell->last) >= live_from;
    return __builtin_expect(has_cell, 1) ? 0 : table_claim_anew(key, live_from, place);
}
int table_settle(const struct table_key *key, uint64_t live_from, struct table_place *place);
// To be asked after the charge and before the clock: does the charge count for this key?
static inline bool table_stands(const struct table_key *key, const struct table_place *place)
{
    return place->overflow ? table_stands_shared(key)
                           : atomic_load(&place->cell->owner) == place->owner;
}
// Frees the cell's fingerprint if its counts are dead. For the owner's sweep.
bool table_free_dead(struct cell_head *cell, uint64_t live_from);

#endif
