// The state word of a breaker: all that decides whether a call may go, in 64 bits, so that every
// transition is one CAS. Pure functions old -> new; the edge (breaker.c) loads and swaps.
//
//   bits 0-1 state, 2-21 generation, 22-27 failed recoveries that have not decayed (saturates), and
//   CLOSED     28     waiting: a rate was high enough but its volume too small; successes look too
//              29     ramping: not all calls are admitted yet
//              30-32  the state before
//   OPEN       28     came from half-open
//              29-63  deadline in ms of CLOCK_MONOTONIC, low bits (it is at most a day ahead)
//   HALF_OPEN  28-35  probes out, 36-43 succeeded, 44-51 failed, 52-59 slow ones of both
//              60-62  the state before; half-open itself: goes on from one whose probes expired
//                     undecided
//   3: forced  28-30  which one (enum breaker_state)
//              31     without an end
//              32-34  the state before
//              35     would have opened (observe-only)
//              36-63  its end in units of 256 ms, low bits (it is at most a year ahead)
// The zero word is closed, generation 0. Every transition begins a new generation. Any 64-bit value
// unpacks to something that finds its way to closed or is a state that a person can set and reset:
// a damaged word cannot wedge a breaker.
#ifndef VALVECHAIN_BREAKER_STATE_H
#define VALVECHAIN_BREAKER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "breaker/breaker.h"

#define STATE_REOPENED_MAX  63
#define STATE_DEADLINE_BITS 35
#define STATE_DEADLINE_MASK ((UINT64_C(1) << STATE_DEADLINE_BITS) - 1)
// No open time is longer than a day (CB_RESET_TIMEOUT_MAX); what seems further ahead is past.
#define STATE_DEADLINE_AHEAD_MAX_MS (UINT64_C(86400000) + 1)

#define STATE_FORCED 3
static inline uint32_t state_kind(uint64_t word) // closed, open, half-open, or STATE_FORCED
{
    return (uint32_t)word & 3;
}
static inline uint32_t state_generation(uint64_t word)
{
    return (uint32_t)(word >> 2) & 0xfffff;
}
static inline uint32_t state_reopened(uint64_t word)
{
    return (uint32_t)(word >> 22) & 0x3f;
}
static inline bool state_is_waiting(uint64_t word)
{
    return state_kind(word) == BREAKER_CLOSED && (word >> 28 & 1) != 0;
}
static inline bool state_is_ramping(uint64_t word)
{
    return state_kind(word) == BREAKER_CLOSED && (word >> 29 & 1) != 0;
}
// A forced word that names no forced state.
static inline bool state_is_damaged(uint64_t word)
{
    uint32_t which = (uint32_t)(word >> 28) & 7;
    return state_kind(word) == STATE_FORCED &&
           (which < BREAKER_FORCED_OPEN || which >= BREAKER_STATES);
}
static inline enum breaker_state state_shown(uint64_t word) // damaged: closed
{
    if (state_kind(word) != STATE_FORCED)
        return (enum breaker_state)state_kind(word);
    return state_is_damaged(word) ? BREAKER_CLOSED : (enum breaker_state)((word >> 28) & 7);
}
static inline bool state_would_open(uint64_t word)
{
    return state_shown(word) == BREAKER_OBSERVE && (word >> 35 & 1) != 0;
}
// A success is looked at: it may be the one that brings the volume, or nothing was noted so far.
static inline bool state_judges_successes(uint64_t word)
{
    if (state_kind(word) == BREAKER_CLOSED)
        return state_is_waiting(word);
    return state_shown(word) == BREAKER_OBSERVE && !state_would_open(word);
}
static inline uint32_t state_probes_out(uint64_t word)
{
    return state_kind(word) == BREAKER_HALF_OPEN ? (uint32_t)(word >> 28) & 0xff : 0;
}
static inline uint32_t state_probes_succeeded(uint64_t word)
{
    return state_kind(word) == BREAKER_HALF_OPEN ? (uint32_t)(word >> 36) & 0xff : 0;
}
static inline uint32_t state_probes_failed(uint64_t word)
{
    return state_kind(word) == BREAKER_HALF_OPEN ? (uint32_t)(word >> 44) & 0xff : 0;
}
static inline uint32_t state_probes_slow(uint64_t word)
{
    return state_kind(word) == BREAKER_HALF_OPEN ? (uint32_t)(word >> 52) & 0xff : 0;
}
// Of an open word, or of a forced one with an end; 0 else.
uint64_t state_deadline_ns(uint64_t word, uint64_t now_ns);
// Of an open word: how far its deadline is ahead; 0: it is reached.
static inline uint64_t state_ahead_ms(uint64_t word, uint64_t now_ms)
{
    uint64_t ahead_ms = ((word >> 29) - now_ms) & STATE_DEADLINE_MASK;
    return ahead_ms <= STATE_DEADLINE_AHEAD_MAX_MS ? ahead_ms : 0;
}
// open, and the deadline is reached
static inline bool state_is_due(uint64_t word, uint64_t now_ns)
{
    return state_kind(word) == BREAKER_OPEN && state_ahead_ms(word, now_ns / NS_PER_MS) == 0;
}

// open, same generation, at least until then (at most a day ahead)
uint64_t state_open_longer(uint64_t word, uint64_t until_ns, uint64_t now_ns);
// closed, same generation, with or without the waiting mark
uint64_t state_with_waiting(uint64_t word, bool waiting);
// closed -> open. `held_ns`: how long it was closed; each open time that it held takes one failed
// recovery off, so that who relapses soon goes on where he was.
uint64_t state_trip(uint64_t word, const struct breaker_definition *definition, uint64_t seed,
                    uint64_t held_ns, uint64_t now_ns);
// closed: the ramp is over, same generation
uint64_t state_without_ramp(uint64_t word);
// any -> forced, and back: to closed by a person's word, by its end to half-open (forced open) or
// closed (the others)
uint64_t state_force(uint64_t word, enum breaker_state state, uint64_t until_ns);
bool state_is_forced_over(uint64_t word, uint64_t now_ns);
uint64_t state_unforce(uint64_t word);
uint64_t state_reset(uint64_t word);
// observe-only: it would have opened, same generation
uint64_t state_with_would_open(uint64_t word);
// open -> half-open with one probe out
uint64_t state_first_probe(uint64_t word);
// half-open: is a permit free, and the word with one more out
bool state_has_permit(uint64_t word, const struct breaker_definition *definition);
uint64_t state_next_probe(uint64_t word);
// half-open: `n` permits come back without a result (ignored outcome, dead holder)
uint64_t state_probes_back(uint64_t word, uint32_t n);
// half-open: one result; and the transition that follows from it, if any
uint64_t state_probe_result(uint64_t word, bool success, bool slow,
                            const struct breaker_definition *definition, uint64_t seed,
                            uint64_t now_ns);
// half-open: whatever is out counts as failed; a new generation, so that late results drop
uint64_t state_expire_probes(uint64_t word, const struct breaker_definition *definition,
                             uint64_t seed, uint64_t now_ns);
// half-open: closes or re-opens if enough results are there for the definition (which a reload may
// have changed), else the same word
uint64_t state_settle(uint64_t word, const struct breaker_definition *definition, uint64_t seed,
                      uint64_t now_ns);
// the state before this generation began
enum breaker_state state_came_from(uint64_t word);
// Whether `bad` of `all` is a share that opens.
bool state_share_opens(uint64_t bad, uint64_t all, uint32_t threshold_percent,
                       const struct breaker_definition *definition);

// How long it stays open: reset_timeout the first time, then times reset_backoff for every failed
// recovery with up to a tenth more (so that breakers of many hosts do not probe in step), never
// more than reset_timeout_max.
uint64_t state_open_for_ns(const struct breaker_definition *definition, uint32_t reopened,
                           uint64_t random);

#endif
