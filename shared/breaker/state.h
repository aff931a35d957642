// The state word of a breaker: all that decides whether a call may go, in 64 bits, so that every
// transition is one CAS. Pure functions old -> new; the edge (breaker.c) loads and swaps.
//
//   bits 0-1 state, 2-21 generation, 22-27 failed recoveries in a row (saturates), and
//   CLOSED     28     waiting: a rate was high enough but its volume too small; successes look too
//   OPEN       28-63  deadline in ms of CLOCK_MONOTONIC, low bits (it is at most a day ahead)
//   HALF_OPEN  28-35  probes out, 36-43 succeeded, 44-51 failed, 52 goes on from a generation
//                    whose probes expired undecided
// The zero word is closed, generation 0. Every transition begins a new generation. Any 64-bit value
// unpacks to something that finds its way to closed: a damaged word cannot wedge a breaker.
#ifndef VALVECHAIN_BREAKER_STATE_H
#define VALVECHAIN_BREAKER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "breaker/breaker.h"

#define STATE_REOPENED_MAX  63
#define STATE_DEADLINE_BITS 36
#define STATE_DEADLINE_MASK ((UINT64_C(1) << STATE_DEADLINE_BITS) - 1)
// No open time is longer than a day (CB_RESET_TIMEOUT_MAX); what seems further ahead is past.
#define STATE_DEADLINE_AHEAD_MAX_MS (UINT64_C(86400000) + 1)

static inline uint32_t state_kind(uint64_t word) // an enum breaker_state, or 3: damaged
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
uint64_t state_deadline_ns(uint64_t word, uint64_t now_ns); // of an open word; 0 else
// open, and the deadline is reached
static inline bool state_is_due(uint64_t word, uint64_t now_ns)
{
    uint64_t ahead_ms = ((word >> 28) - now_ns / NS_PER_MS) & STATE_DEADLINE_MASK;
    return state_kind(word) == BREAKER_OPEN &&
           (ahead_ms == 0 || ahead_ms > STATE_DEADLINE_AHEAD_MAX_MS);
}

// closed, same generation, with or without the waiting mark
uint64_t state_with_waiting(uint64_t word, bool waiting);
// closed -> open for the first open time
uint64_t state_trip(uint64_t word, const struct breaker_definition *definition, uint64_t seed,
                    uint64_t now_ns);
// open -> half-open with one probe out
uint64_t state_first_probe(uint64_t word);
// half-open: is a permit free, and the word with one more out
bool state_has_permit(uint64_t word, const struct breaker_definition *definition);
uint64_t state_next_probe(uint64_t word);
// half-open: `n` permits come back without a result (ignored outcome, dead holder)
uint64_t state_probes_back(uint64_t word, uint32_t n);
// half-open: one result; and the transition that follows from it, if any
uint64_t state_probe_result(uint64_t word, bool success,
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
// a damaged word (kind 3) -> closed, next generation
uint64_t state_repair(uint64_t word);

// How long it stays open: reset_timeout the first time, then times reset_backoff for every failed
// recovery with up to a tenth more (so that breakers of many hosts do not probe in step), never
// more than reset_timeout_max.
uint64_t state_open_for_ns(const struct breaker_definition *definition, uint32_t reopened,
                           uint64_t random);

#endif
