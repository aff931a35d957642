#include "breaker/cell.h"

#include "base/clock.h"
#include "breaker/state.h"
#include "breaker/tag.h"

#define ENTRY_MS_MASK ((UINT64_C(1) << 40) - 1)

// Moves the word to a younger generation; an older or equal one changes nothing.
static void advance(_Atomic uint64_t *word, uint32_t generation, uint64_t value)
{
    uint64_t old = atomic_load(word);
    while (generation_is_after(generation, tag_generation(old)))
        if (atomic_compare_exchange_weak(word, &old, tag_pack(generation, value)))
            return;
}

void cell_note(struct breaker_cell *cell, uint64_t word, uint64_t now_ns)
{
    uint32_t generation = state_generation(word), kind = state_kind(word);
    uint64_t entry = (uint64_t)state_came_from(word) << 42 | (uint64_t)kind << 40 |
                     (now_ns / NS_PER_MS & ENTRY_MS_MASK);
    advance(&cell->history[generation % BREAKER_HISTORY], generation, entry);
    if (kind != BREAKER_OPEN)
        return;
    uint64_t opens = atomic_load(&cell->opens);
    advance(&cell->opens, generation, tag_value(opens) + 1);
}

void cell_note_evidence(struct breaker_cell *cell, uint64_t word,
                        const struct rolling_counts *counts)
{
    for (int kind = 0; kind < BREAKER_KINDS; kind++)
        advance(&cell->evidence[kind], state_generation(word), counts->n[kind]);
}

void cell_extend_lease(struct breaker_cell *cell, uint32_t generation, uint64_t until_ns)
{
    uint64_t wanted = tag_pack(generation, (until_ns + NS_PER_MS - 1) / NS_PER_MS);
    uint64_t old = atomic_load(&cell->lease);
    while (generation_is_after(generation, tag_generation(old)) ||
           (generation == tag_generation(old) && tag_value(wanted) > tag_value(old)))
        if (atomic_compare_exchange_weak(&cell->lease, &old, wanted))
            return;
}

bool cell_has_lease(const struct breaker_cell *cell, uint32_t generation, uint64_t *ret_until_ns)
{
    uint64_t lease = atomic_load(&cell->lease);
    if (tag_generation(lease) != generation)
        return false;
    *ret_until_ns = tag_value(lease) * NS_PER_MS;
    return true;
}

bool cell_entry_at(const struct breaker_cell *cell, uint32_t generation,
                   struct cell_entry *ret_entry)
{
    uint64_t entry = atomic_load(&cell->history[generation % BREAKER_HISTORY]);
    if (tag_generation(entry) != generation || generation == 0)
        return false;
    uint64_t value = tag_value(entry);
    ret_entry->from = (enum breaker_state)(value >> 42 & 3);
    ret_entry->to = (enum breaker_state)(value >> 40 & 3);
    ret_entry->at_ns = (value & ENTRY_MS_MASK) * NS_PER_MS;
    return true;
}

uint64_t cell_opens(const struct breaker_cell *cell, uint64_t word)
{
    uint64_t opens = atomic_load(&cell->opens);
    bool is_counted = state_kind(word) != BREAKER_OPEN ||
                      !generation_is_after(state_generation(word), tag_generation(opens));
    return tag_value(opens) + (is_counted ? 0 : 1);
}
