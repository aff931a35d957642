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
// Why a generation began: the rule, what it judged, and of a command who gave it and why.
struct cell_evidence {
    enum breaker_rule rule;
    uint64_t streak;
    struct rolling_counts counts;
    const char *author, *reason; // NULL: no command
    uint64_t for_ns;             // of a command: for how long it was given, whole ms; 0: no end
};
// Of one of the last generations; false when it has none or is too old.
bool cell_has_evidence(const struct breaker_cell *cell, uint32_t generation,
                       struct cell_evidence *ret_evidence);
// The words of the command that began the generation, or "" and "".
void cell_read_text(const struct breaker_cell *cell, uint32_t generation,
                    char ret_author[BREAKER_AUTHOR_MAX], char ret_reason[BREAKER_REASON_MAX]);
void cell_note_evidence(struct breaker_cell *cell, uint64_t word,
                        const struct cell_evidence *evidence);
// The probes of the half-open generation have a result by then, or count as failed.
void cell_extend_lease(struct breaker_cell *cell, uint32_t generation, uint64_t until_ns);
// Failures in a row in this generation: one more, or none.
void cell_count_streak(struct breaker_cell *cell, uint32_t generation);
void cell_end_streak(struct breaker_cell *cell, uint32_t generation);
uint64_t cell_streak(const struct breaker_cell *cell, uint32_t generation);
bool cell_has_lease(const struct breaker_cell *cell, uint32_t generation, uint64_t *ret_until_ns);

struct cell_entry {
    enum breaker_state from, to;
    uint64_t at_ns; // whole ms
};
bool cell_entry_at(const struct breaker_cell *cell, uint32_t generation,
                   struct cell_entry *ret_entry);
uint64_t cell_opens(const struct breaker_cell *cell, uint64_t word);

#endif
