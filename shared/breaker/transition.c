#include "base/clock.h"
#include "breaker/cell.h"
#include "breaker/state.h"
#include "breaker/view.h"

#define LEASE_MAX_NS                                                                               \
    (3600 * NS_PER_S) // CB_PROBE_LEASE; what is further ahead was never written by us

bool transition_make(struct breaker_view *view, uint32_t index, uint64_t old, uint64_t next,
                     const struct cell_evidence *evidence, uint64_t now_ns)
{
    struct breaker_cell *cell = &view->state->cells[index];
    bool is_new = state_generation(old) != state_generation(next);
    if (is_new)
        cell_note(cell, old, now_ns);
    if (!atomic_compare_exchange_strong(&cell->state, &old, next))
        return false;
    if (evidence != NULL)
        cell_note_evidence(cell, next, evidence);
    if (is_new)
        cell_note(cell, next, now_ns);
    return true;
}

static uint64_t settled(struct breaker_view *view, uint32_t index, uint64_t word, uint64_t now_ns,
                        struct cell_evidence *evidence)
{
    const struct breaker_definition *definition = &view->table.items[index];
    struct breaker_cell *cell = &view->state->cells[index];
    uint32_t generation = state_generation(word);
    *evidence = (struct cell_evidence){.rule = BREAKER_RULE_NONE};
    if (state_kind(word) == BREAKER_CLOSED || state_kind(word) == BREAKER_OPEN)
        return word;
    if (state_is_damaged(word))
        return state_reset(word);
    if (state_kind(word) == STATE_FORCED)
        return state_is_forced_over(word, now_ns) ? state_unforce(word) : word;
    evidence->counts.n[BREAKER_SUCCESS] = state_probes_succeeded(word);
    evidence->counts.n[BREAKER_FAILURE] = state_probes_failed(word);
    evidence->rule = BREAKER_RULE_PROBES;
    if (state_probes_out(word) == 0)
        return state_settle(word, definition, view->seed, now_ns);
    uint64_t until_ns = 0;
    if (!cell_has_lease(cell, generation, &until_ns)) // its giver died: it begins now
        cell_extend_lease(cell, generation, now_ns + definition->probe_lease_ns);
    else if (now_ns >= until_ns || until_ns - now_ns > LEASE_MAX_NS + NS_PER_S) {
        evidence->rule = BREAKER_RULE_EXPIRED;
        evidence->counts.n[BREAKER_TIMEOUT] = state_probes_out(word);
        return state_expire_probes(word, definition, view->seed, now_ns);
    }
    return word;
}

uint64_t transition_settle(struct breaker_view *view, uint32_t index, uint64_t now_ns)
{
    struct breaker_cell *cell = &view->state->cells[index];
    for (;;) {
        uint64_t word = atomic_load(&cell->state);
        struct cell_evidence evidence;
        uint64_t next = settled(view, index, word, now_ns, &evidence);
        if (next == word)
            return word;
        transition_make(view, index, word, next, &evidence, now_ns);
    }
}

struct rolling_counts view_sum(struct breaker_view *view, uint32_t index, uint32_t generation,
                               uint64_t now_ns)
{
    struct rolling_counts counts = {0};
    uint32_t n_slots = view_slots(view);
    for (uint32_t slot = 0; slot < n_slots; slot++)
        rolling_sum(&view->window->lines[slot][index], &view->shapes[index], generation, now_ns,
                    &counts);
    return counts;
}

// How long it has been closed; a maker who died before the note is taken for long ago.
static uint64_t held_ns(const struct breaker_cell *cell, uint64_t word, uint64_t now_ns)
{
    struct cell_entry entry;
    if (!cell_entry_at(cell, state_generation(word), &entry))
        return UINT64_MAX;
    return now_ns > entry.at_ns ? now_ns - entry.at_ns : 0;
}

// The evidence comes first: who sees the mark, sees it.
static void note_would_open(struct breaker_cell *cell, uint64_t word,
                            const struct cell_evidence *evidence)
{
    cell_note_evidence(cell, word, evidence);
    while (state_shown(word) == BREAKER_OBSERVE && !state_would_open(word)) {
        uint64_t seen = word;
        if (atomic_compare_exchange_strong(&cell->state, &seen, state_with_would_open(word)) ||
            state_generation(seen) != state_generation(word))
            return;
        word = seen;
    }
}

// The waiting mark is set or cleared first and the sum taken again, so that of an outcome and a
// mark that cross, one sees the other.
bool transition_judge(struct breaker_view *view, uint32_t index, uint32_t generation,
                      uint64_t now_ns)
{
    const struct breaker_definition *definition = &view->table.items[index];
    struct breaker_cell *cell = &view->state->cells[index];
    for (;;) {
        uint64_t word = atomic_load(&cell->state);
        bool is_observed = state_shown(word) == BREAKER_OBSERVE && !state_would_open(word);
        if (state_generation(word) != generation ||
            (state_kind(word) != BREAKER_CLOSED && !is_observed))
            return false;
        struct cell_evidence evidence = {.streak = cell_streak(cell, generation),
                                         .counts = view_sum(view, index, generation, now_ns)};
        enum rolling_verdict verdict =
            rolling_judge(&evidence.counts, evidence.streak, definition, &evidence.rule);
        if (is_observed) {
            if (verdict == ROLLING_TRIP)
                note_would_open(cell, word, &evidence);
            return false;
        }
        if (verdict == ROLLING_TRIP) {
            uint64_t held = state_reopened(word) > 0 ? held_ns(cell, word, now_ns) : 0;
            uint64_t next = state_trip(word, definition, view->seed, held, now_ns);
            if (transition_make(view, index, word, next, &evidence, now_ns))
                return true;
            continue;
        }
        uint64_t next = state_with_waiting(word, verdict == ROLLING_WAIT);
        if (next == word)
            return false;
        atomic_compare_exchange_strong(&cell->state, &word, next);
    }
}
