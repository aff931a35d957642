// Capacity and probes as each process holds them, so that what a dead one held comes back.
//
// Capacity: each process owns a share of the breaker's capacity and uses it without looking at
// anyone; the shares of all never add up to more than the capacity, hence neither do the calls. The
// rest that nobody owns is not stored anywhere: it is the capacity minus the sum, so nothing can
// leak from it. Who needs more raises his own share, sums all, and keeps what fits; when nothing is
// left he first takes unused share from others, one CAS on theirs. Two who raise in the same moment
// may both give back and try again: never one too many, at worst a refusal too many while another
// was asking. docs/decisions/004-breaker-capacity.md has the proof and the figures.
//
//   share word:  0-15 used, 16-31 share, 32-63 generation of the slot that holds it
//   probes word: 0-19 generation of the breaker, 20-27 probes out, 32-63 generation of the slot
// Thread: a line's holder; others only take unused share, and what a dead holder left (reclaim.c).
#ifndef VALVECHAIN_BREAKER_PERMIT_H
#define VALVECHAIN_BREAKER_PERMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "breaker/layout.h"

// One breaker's lines of all processes, as one of them sees them.
struct permit_pool {
    struct breaker_window_section *window;
    uint32_t breaker;
    uint32_t slot, slot_generation;     // of the asking process
    const _Atomic uint64_t *slots_seen; // lines from here on were never used
};

static inline uint32_t share_used(uint64_t word)
{
    return (uint32_t)word & 0xffff;
}
static inline uint32_t share_share(uint64_t word)
{
    return (uint32_t)word >> 16;
}
static inline uint32_t share_slot_generation(uint64_t word)
{
    return (uint32_t)(word >> 32);
}
static inline uint64_t share_pack(uint32_t slot_generation, uint32_t share, uint32_t used)
{
    return (uint64_t)slot_generation << 32 | (uint64_t)share << 16 | used;
}
static inline uint32_t probes_generation(uint64_t word)
{
    return (uint32_t)word & 0xfffff;
}
static inline uint32_t probes_out(uint64_t word)
{
    return (uint32_t)(word >> 20) & 0xff;
}
static inline uint32_t probes_slot_generation(uint64_t word)
{
    return (uint32_t)(word >> 32);
}
static inline uint64_t probes_pack(uint32_t slot_generation, uint32_t generation, uint32_t out)
{
    return (uint64_t)slot_generation << 32 | (uint64_t)out << 20 | generation;
}

// One call more, if that keeps all processes together within `capacity`.
bool permit_take(const struct permit_pool *pool, uint32_t capacity);
void permit_give_back(const struct permit_pool *pool);
// Lets go of all share that is not in use, for instance after the capacity was lowered.
void permit_trim(const struct permit_pool *pool);
uint32_t permit_in_flight(const struct permit_pool *pool); // of all processes

// The holder's note of probes it has out in this generation. Noted after the state word granted,
// struck before the state word is told: a death in between costs the lease, never a probe too many.
void permit_note_probe(const struct permit_pool *pool, uint32_t generation);
void permit_strike_probe(const struct permit_pool *pool, uint32_t generation);

#endif
