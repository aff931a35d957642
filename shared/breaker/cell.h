// What is written around the state word: history, count of opens, evidence, lease of the probes.
// Every word is tagged with the generation it is about and only ever moves to a younger one, so
// that a writer who slept through some transitions cannot undo what others noted. Thread: any.
#ifndef VALVECHAIN_BREAKER_CELL_H
#define VALVECHAIN_BREAKER_CELL_H

#include "breaker/layout.h"
#include "breaker/rolling.h"

// Notes that the generation of `word` has begun, unless it is noted. Called by who made the
// transition, and before every further one by who makes that: none is missing in the history.
void cell_note(struct breaker_cell *cell, uint64_t word, uint64_t now_ns);
void cell_note_evidence(struct breaker_cell *cell, uint64_t word,
                        const struct rolling_counts *counts);
// The probes of the half-open generation have a result by then, or count as failed.
void cell_extend_lease(struct breaker_cell *cell, uint32_t generation, uint64_t until_ns);
bool cell_has_lease(const struct breaker_cell *cell, uint32_t generation, uint64_t *ret_until_ns);

struct cell_entry {
    enum breaker_state from, to;
    uint64_t at_ns; // whole ms
};
bool cell_entry_at(const struct breaker_cell *cell, uint32_t generation,
                   struct cell_entry *ret_entry);
uint64_t cell_opens(const struct breaker_cell *cell, uint64_t word);

#endif
