// A word that belongs to a generation of a breaker: 20 bits of generation, 44 bits of value.
// Generations wrap; which of two is younger is told by their distance, as in serial numbers
// (RFC 1982), and a stale one would have to be half a million transitions old to be mistaken.
#ifndef VALVECHAIN_BREAKER_TAG_H
#define VALVECHAIN_BREAKER_TAG_H

#include <stdbool.h>
#include <stdint.h>

#define GENERATION_BITS  20
#define GENERATION_COUNT (1u << GENERATION_BITS)
#define GENERATION_MASK  (GENERATION_COUNT - 1)
#define TAG_VALUE_MASK   ((UINT64_C(1) << 44) - 1)

static inline uint64_t tag_pack(uint32_t generation, uint64_t value)
{
    return (uint64_t)(generation & GENERATION_MASK) << 44 | (value & TAG_VALUE_MASK);
}
static inline uint32_t tag_generation(uint64_t word)
{
    return (uint32_t)(word >> 44);
}
static inline uint64_t tag_value(uint64_t word)
{
    return word & TAG_VALUE_MASK;
}
static inline uint32_t generation_next(uint32_t generation)
{
    return (generation + 1) & GENERATION_MASK;
}
// How many transitions `to` is ahead of `from`.
static inline uint32_t generation_distance(uint32_t from, uint32_t to)
{
    return (to - from) & GENERATION_MASK;
}
static inline bool generation_is_after(uint32_t a, uint32_t b)
{
    uint32_t ahead = generation_distance(b, a);
    return ahead != 0 && ahead < GENERATION_COUNT / 2;
}

#endif
