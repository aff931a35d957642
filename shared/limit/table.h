// Which cell is a key's: ranges of sets of cells, one range a policy.
//
// A set is a line of tags and 36 cells, wide or slim (cell.h). A key may lie in any cell of its
// set, and in one only; a cell's tag, eight bits of its key's fingerprint, says where to look. A
// decision reads the tags and one cell: two cache lines, in one page mostly. (Of 36 keys one in 16
// or so has an elder with the same tag, whose cell is looked at, too.)
//
// A newcomer takes a cell that is free: never used, or freed by whoever found its counts dead,
// which is the owner's sweep or, once the set's first one can have died, the newcomer himself. A
// live cell is never taken. When none is free, or while keys of the set still have live counts in
// an overflow cell (they may be the newcomer's), he is counted in his overflow cell, which several
// keys share: stricter, never laxer. Its line takes the place of the cell's; the tags say all else.
//
// `live_from` is the oldest epoch that still counts, from a clock read BEFORE the call; an older
// reading is safe (more looks alive). Thread: any process; nothing is locked.
#ifndef VALVECHAIN_LIMIT_TABLE_H
#define VALVECHAIN_LIMIT_TABLE_H

#include <stddef.h>

#include "limit/cell.h"

#define TABLE_TAG_WORDS   6
#define TABLE_TAGS_A_WORD 6
#define TABLE_WAYS        (TABLE_TAG_WORDS * TABLE_TAGS_A_WORD)

struct table_set {
    // Six tags from the lowest byte on, 0 for a free cell, and in the upper 16 bits the number of
    // changes.
    _Alignas(64) _Atomic uint64_t tags[TABLE_TAG_WORDS];
    _Atomic uint64_t crowded;    // no `last` of an overflow cell with counts of these keys is later
    _Atomic uint64_t full_until; // a guess: no cell of the set is dead while this is live
};
_Static_assert(sizeof(struct table_set) == 64, "the tags are one cache line, the cells follow");

struct table_range {
    struct table_set *sets;
    struct cell_head *overflow;
    uint32_t n_sets, n_overflow;
    uint32_t set_lines; // from set to set
    uint32_t stride;    // from cell to cell, in heads
};

struct table_key {  // where a key lies in one range
    uint64_t print; // 44 bits of the keyed hash, never 0
    struct table_set *set;
    struct cell_head *overflow;
    uint32_t tag;  // 8 bits of the print, never 0
    uint32_t home; // the cell it takes if that is free, and whose tag is looked at first
    uint32_t stride;
};

// Where a request is counted, and the owner word that must still stand when it is admitted.
struct table_place {
    struct cell_head *cell; // NULL: the key is not in the table
    uint64_t owner;
    bool overflow;
    bool tentative; // claimed and not confirmed: raise `last`, then table_settle
};

// Cells' places that a set takes; a range is laid out in multiples of that.
static inline uint32_t table_set_cells(bool is_slim)
{
    return 1 + TABLE_WAYS / (is_slim ? (uint32_t)CELL_HEADS : 1);
}
static inline struct table_range table_range_of(struct cell *cells, uint32_t n_cells,
                                                struct cell *overflow, uint32_t n_overflow,
                                                bool is_slim)
{
    return (struct table_range){.sets = (struct table_set *)(void *)cells,
                                .overflow = &overflow->head,
                                .n_sets = n_cells / table_set_cells(is_slim),
                                .n_overflow = n_overflow * (is_slim ? (uint32_t)CELL_HEADS : 1),
                                .set_lines = table_set_cells(is_slim),
                                .stride = is_slim ? 1 : (uint32_t)CELL_HEADS};
}
static inline uint32_t table_n_cells(const struct table_range *range)
{
    return range->n_sets * TABLE_WAYS;
}
static inline struct table_set *table_set_at(const struct table_range *range, uint32_t set)
{
    return range->sets + (size_t)set * range->set_lines;
}
static inline struct cell_head *table_way(struct table_set *set, uint32_t stride, uint32_t way)
{
    return (struct cell_head *)(void *)(set + 1) + (size_t)way * stride;
}
static inline struct cell_head *table_cell(const struct table_range *range, uint32_t index)
{
    return table_way(table_set_at(range, index / TABLE_WAYS), range->stride, index % TABLE_WAYS);
}
static inline struct table_key table_key_of(const struct table_range *range, uint64_t hash)
{
    // All bits of the hash choose the set. Keys of one set share few overflow cells, so that a full
    // set crowds no others.
    uint64_t mixed = hash * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    uint64_t print = hash >> OWNER_PRINT_SHIFT;
    uint32_t tag = (uint32_t)print & 0xff;
    return (struct table_key){
        .print = print ? print : 1,
        .set = table_set_at(range, (uint32_t)(mixed * range->n_sets >> 32)),
        .overflow = range->overflow + (mixed * range->n_overflow >> 32) * range->stride,
        .tag = tag ? tag : 1,
        .home = ((uint32_t)hash & 0xffff) * TABLE_WAYS >> 16,
        .stride = range->stride,
    };
}

// The tags of a word that are `tag`: bit 7 of their bytes.
static inline uint64_t table_matches(uint64_t tags, uint32_t tag)
{
    const uint64_t ones = UINT64_C(0x010101010101), sevens = ones * 0x7f;
    uint64_t other = tags ^ ones * tag;
    return ~(((other & sevens) + sevens) | other | sevens) & ones << 7;
}
static inline uint32_t table_first_match(uint64_t matches)
{
    return (uint32_t)__builtin_ctzll(matches) / 8;
}

void table_search(const struct table_key *key, uint64_t live_from, struct table_place *ret_place);
int table_claim_anew(const struct table_key *key, uint64_t live_from, struct table_place *place);
bool table_stands_shared(const struct table_key *key);

// Finds the key without changing anything: its cell, else its overflow cell if that may be live,
// else NULL (a newcomer without any count). Here and below the usual case is code in place.
static inline void table_find(const struct table_key *key, uint64_t live_from,
                              struct table_place *ret_place)
{
    uint32_t word = key->home / TABLE_TAGS_A_WORD;
    uint64_t matches = table_matches(atomic_load(&key->set->tags[word]), key->tag);
    if (__builtin_expect(matches != 0, 1)) {
        uint32_t way = word * TABLE_TAGS_A_WORD + table_first_match(matches);
        struct cell_head *cell = table_way(key->set, key->stride, way);
        uint64_t owner = atomic_load(&cell->owner);
        if (__builtin_expect(owner_is(owner, key->print) && (owner & OWNER_CONFIRMED), 1)) {
            *ret_place = (struct table_place){.cell = cell, .owner = owner};
            return;
        }
    }
    table_search(key, live_from, ret_place);
}
// Has the processor fetch the tags and, while they are on the way, the cell that is the likeliest.
static inline void table_prefetch(const struct table_key *key)
{
    __builtin_prefetch(key->set);
    __builtin_prefetch(table_way(key->set, key->stride, key->home), 1);
}
// The same in two steps, the second when the tags should be here: no more lines than are needed.
static inline void table_prefetch_tags(const struct table_key *key)
{
    __builtin_prefetch(key->set);
}
static inline void table_prefetch_cell(const struct table_key *key)
{
    uint32_t word = key->home / TABLE_TAGS_A_WORD;
    uint64_t tags = atomic_load_explicit(&key->set->tags[word], memory_order_relaxed);
    uint64_t matches = table_matches(tags, key->tag);
    if (matches != 0) {
        uint32_t way = word * TABLE_TAGS_A_WORD + table_first_match(matches);
        __builtin_prefetch(table_way(key->set, key->stride, way), 1);
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
// The key's overflow cell has been raised with counts of the key's.
void table_note_shared(const struct table_key *key);
// Frees a cell if its counts are dead. For the owner's sweep.
bool table_free_dead(struct table_set *set, uint32_t stride, uint32_t way, uint64_t live_from);

#endif
