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
//   share word:  0-15 used, 16-31 share, 32-63 tag: 8 bits of how often it was taken from a holder
//                who showed no sign of life, then 24 bits of the generation of the holder's slot
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
static inline uint32_t share_tag(uint64_t word)
{
    return (uint32_t)(word >> 32);
}
static inline uint32_t share_tag_of(uint32_t slot_generation)
{
    return slot_generation << 8;
}
// Whose tag it is, however often the share was taken from him.
static inline bool share_tag_is_of(uint32_t tag, uint32_t slot_generation)
{
    return tag >> 8 == (slot_generation & 0xffffff);
}
static inline uint64_t share_pack(uint32_t tag, uint32_t share, uint32_t used)
{
    return (uint64_t)tag << 32 | (uint64_t)share << 16 | used;
}
// What is left to a holder who was given up for dead and may come back: nothing, under a new tag,
// so that what he gives back later is not taken off what he takes anew.
static inline uint64_t share_taken_away(uint64_t word)
{
    uint32_t tag = share_tag(word);
    return share_pack((tag & ~0xffu) | ((tag + 1) & 0xff), 0, 0);
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

// Uses one of the own share; fails when all of it is in use. Others may shrink it meanwhile.
static inline bool permit_use_own(_Atomic uint64_t *own, uint32_t *ret_tag)
{
    uint64_t word = atomic_load_explicit(own, memory_order_relaxed);
    while (share_used(word) < share_share(word))
        if (atomic_compare_exchange_weak(own, &word, word + 1)) {
            *ret_tag = share_tag(word);
            return true;
        }
    return false;
}
// One call more, if that keeps all processes together within `capacity`. The tag goes back with it.
bool permit_take(const struct permit_pool *pool, uint32_t capacity, uint32_t *ret_tag);
static inline void permit_give_back(_Atomic uint64_t *own, uint32_t tag)
{
    uint64_t word = atomic_load_explicit(own, memory_order_relaxed);
    while (share_used(word) > 0 && share_tag(word) == tag)
        if (atomic_compare_exchange_weak(own, &word, word - 1))
            return;
}
// Lets go of all share that is not in use, for instance after the capacity was lowered.
void permit_trim(const struct permit_pool *pool);
uint32_t permit_in_flight(const struct permit_pool *pool); // of all processes

// The holder's note of probes it has out in this generation. Noted after the state word granted,
// struck before the state word is told: a death in between costs the lease, never a probe too many.
void permit_note_probe(const struct permit_pool *pool, uint32_t generation);
void permit_strike_probe(const struct permit_pool *pool, uint32_t generation);

#endif
