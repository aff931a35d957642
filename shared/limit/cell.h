// The cells of the limit table. A slim cell has two words, four of them in a cache line:
//
//   word 0  owner: 44 bits of the keyed fingerprint, 2 bits of state, 18 bits claim number
//   word 1  last: grows with time; below a meter's `live_from` everything in the cell is dead
//
// gcra.h and fixed.h need no more. A wide cell is a cache line: the same two words, `last` being
// the latest epoch in which anyone charged here (full width, never goes back), and
//
//   2 to 7  the counts, as window.h, ring.h or hold.h lay them out
//
// Every claim (a newcomer's takeover of a dead cell, or the same key's return after its counts
// died) changes the claim number, so that whoever judged the cell by an older owner word fails his
// CAS. Thread: any process; all words are atomics, a death between two steps leaves a valid cell.
#ifndef VALVECHAIN_LIMIT_CELL_H
#define VALVECHAIN_LIMIT_CELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CELL_WORDS       8
#define CELL_COUNT_WORDS 6

struct cell_head { // a slim cell, or what a wide one begins with
    _Alignas(16) _Atomic uint64_t owner;
    _Atomic uint64_t last;
};
struct cell {
    _Alignas(64) union {
        struct cell_head head;
        struct {
            _Atomic uint64_t owner;
            _Atomic uint64_t last;
        };
    };
    _Atomic uint64_t counts[CELL_COUNT_WORDS];
};
#define CELL_HEADS (sizeof(struct cell) / sizeof(struct cell_head)) // slim cells in its place
_Static_assert(sizeof(struct cell_head) == 16, "four slim cells are a cache line");
_Static_assert(sizeof(struct cell) == 64, "a cell is one cache line");
_Static_assert(sizeof(_Atomic uint64_t) == 8 && ATOMIC_LLONG_LOCK_FREE == 2, "words are lock-free");

#define OWNER_CONFIRMED   (UINT64_C(1) << 19)
#define OWNER_RETURNING   (UINT64_C(1) << 18) // tentative, and was confirmed for the same key before
#define OWNER_CONDEMNED   (OWNER_CONFIRMED | OWNER_RETURNING) // confirmed; somebody would take it
#define OWNER_CLAIM_MASK  (OWNER_RETURNING - 1)
#define OWNER_PRINT_SHIFT 20 // everything below is not the fingerprint

// The owner word that follows `previous`; `state` is one of the above, or 0. Never
// 0, which means "never used".
static inline uint64_t owner_next(uint64_t print, uint64_t previous, uint64_t state)
{
    uint64_t claim = (previous + 1) & OWNER_CLAIM_MASK;
    return print << OWNER_PRINT_SHIFT | state | (claim ? claim : 1);
}
static inline bool owner_is(uint64_t owner, uint64_t print)
{
    return owner >> OWNER_PRINT_SHIFT == print;
}

// For a cell that nobody uses.
static inline void cell_clear(struct cell *cell)
{
    atomic_store_explicit(&cell->owner, 0, memory_order_relaxed);
    atomic_store_explicit(&cell->last, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < CELL_COUNT_WORDS; i++) {
        atomic_store_explicit(&cell->counts[i], 0, memory_order_relaxed);
    }
}

// What was seen in a cell at one moment, as far as it is still live.
struct cell_reading {
    uint64_t used;
    uint64_t words[CELL_COUNT_WORDS]; // live counts by word, for figures
};

#endif
