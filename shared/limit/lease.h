// Leases of a distributed quota: tokens that the limiter got from the store and put here, where
// every front spends them at local speed.
//
// The limiter alone gives cells to keys and fills them; fronts only take tokens, by one CAS, and
// may put back what they took. A lease is a word of {40 bits of tag, 24 bits of tokens} and the
// instant at which it ends. Each filling has a tag of its own, and a word changes with a new tag
// before its end or the cell's key does, so a CAS that succeeds has judged the right key and end.
// Who dies between taking and answering has used up what he took.
//
// Instants are CLOCK_MONOTONIC nanoseconds. A front reads its clock after it has taken: the
// reading, the instant of admission, must lie before the end, else it puts back. Thread: any
// process; functions of the owner: the limiter's loop.
#ifndef VALVECHAIN_LIMIT_LEASE_H
#define VALVECHAIN_LIMIT_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/segment.h"

#define LEASE_SECTION "limit-lease"
#define LEASE_WAYS    8
#define LEASE_SLOTS   2 // of a cell: one is spent while the next is already here
// A lease may live so much of its window: it counts for that long in addition to the window.
#define LEASE_LIVES_A_WINDOW 200
// Of a key with very many, the store lets those that are over count until the end of so short a
// part of the window.
#define LEASE_GRAINS_A_WINDOW 512
#define LEASE_TOKENS_MAX      ((UINT64_C(1) << 24) - 1)

struct lease {
    _Atomic uint64_t word, end_ns;
};
struct lease_cell {
    _Alignas(64) struct lease leases[LEASE_SLOTS];
    _Atomic uint64_t refused_until_ns; // nobody asks before: the store said no
    _Atomic uint64_t fits_at_ns;       // when it would say yes, if nothing is given back meanwhile
    _Atomic uint64_t asked_until_ns;   // somebody has asked ahead, and nobody else needs to
    _Atomic uint32_t low;              // so few tokens and fewer: ask ahead
    _Atomic uint32_t left;             // in the store after its last word
    // The limiter's own, so that its successor can give back what it finds.
    uint64_t lease_id[LEASE_SLOTS], key_id[2], identity;
    uint64_t granted_ns, granted; // the last grant: when, and how many tokens
    uint64_t reserved;
};
_Static_assert(sizeof(struct lease_cell) == 128, "a front needs the first line only");

struct lease_set {
    _Alignas(64) _Atomic uint64_t prints[LEASE_WAYS];
    struct lease_cell cells[LEASE_WAYS];
};
struct lease_table {
    _Alignas(64) _Atomic uint64_t store_until_ns; // the store answers; 0 or past: it is away
    _Atomic uint64_t owner;                       // slot generation << 32 | slot of the limiter
    _Atomic uint64_t last_tag;
    struct lease_set sets[];
};
_Static_assert(offsetof(struct lease_table, sets) == 64, "the sets begin on a line");

struct segment_section_spec lease_section_spec(uint64_t cells);
struct lease_view { // where the table lies
    struct lease_table *table;
    uint32_t n_sets; // 0: there is none
};
struct lease_view lease_view_over(void *section, uint64_t bytes);

// The key's name in one process's segment. Never 0.
static inline uint64_t lease_print(uint64_t key_hash, uint64_t identity)
{
    uint64_t mixed = (key_hash ^ identity) * UINT64_C(0x9e3779b97f4a7c15);
    mixed ^= mixed >> 32;
    return mixed ? mixed : 1;
}
// NULL: the key has no cell, so no tokens.
struct lease_cell *lease_find(const struct lease_view *view, uint64_t print);
static inline bool lease_store_is_up(const struct lease_view *view, uint64_t now_ns)
{
    return view->n_sets > 0 && atomic_load(&view->table->store_until_ns) > now_ns;
}

struct lease_taken {      // what was taken, for putting it back
    uint64_t tag, end_ns; // end_ns: until when an admission by it is good
    uint32_t slot;
};
// Tokens that can be taken at `now_ns`.
uint64_t lease_tokens(const struct lease_cell *cell, uint64_t now_ns);
// Has one lease so many of them?
bool lease_has(struct lease_cell *cell, uint64_t cost, uint64_t now_ns);
// Takes `cost` (1 or more) from the lease that ends first. -EDQUOT: no lease has so many.
int lease_take(const struct lease_view *view, struct lease_cell *cell, uint64_t print,
               uint64_t cost, uint64_t now_ns, struct lease_taken *ret_taken);
// False: the lease is over, and what it had is with the limiter or spent.
bool lease_put_back(struct lease_cell *cell, const struct lease_taken *taken, uint64_t cost);
// True for one caller when the tokens run low: he asks ahead, and has until `until_ns` for it.
bool lease_should_ask(struct lease_cell *cell, uint64_t now_ns, uint64_t until_ns);

// ---- the owner's
// The key's cell; a new one takes the place of a cell without live tokens and without a refusal
// that still stands. NULL: there is none to be had.
struct lease_cell *lease_claim(const struct lease_view *view, uint64_t print, uint64_t now_ns);
// Into an empty slot (lease_collect first).
void lease_fill(const struct lease_view *view, struct lease_cell *cell, uint32_t slot,
                uint64_t tokens, uint64_t end_ns);
// Ends the lease; returns the tokens nobody has taken.
uint64_t lease_collect(const struct lease_view *view, struct lease_cell *cell, uint32_t slot);

#endif
