#include "base/clock.h"
#include "breaker/cell.h"
#include "breaker/state.h"
#include "breaker/view.h"

#define LEASE_MAX_NS                                                                               \
    (3600 * NS_PER_S) // CB_PROBE_LEASE; what is further ahead was never written by us

bool transition_make(struct breaker_view *view, uint32_t index, uint64_t old, uint64_t next,
                     const struct rolling_counts *evidence, uint64_t now_ns)
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

static uint64_t settled(struct breaker_view *view, uint32_t index, uint64_t word, uint64_t now_ns)
{
    const struct breaker_definition *definition = &view->table.items[index];
    struct breaker_cell *cell = &view->state->cells[index];
    uint32_t generation = state_generation(word);
    if (state_kind(word) == BREAKER_CLOSED || state_kind(word) == BREAKER_OPEN)
        return word;
    if (state_kind(word) != BREAKER_HALF_OPEN)
        return state_repair(word);
    if (state_probes_out(word) == 0)
        return state_settle(word, definition, view->seed, now_ns);
    uint64_t until_ns = 0;
    if (!cell_has_lease(cell, generation, &until_ns)) // its giver died: it begins now
        cell_extend_lease(cell, generation, now_ns + definition->probe_lease_ns);
    else if (now_ns >= until_ns || until_ns - now_ns > LEASE_MAX_NS + NS_PER_S)
        return state_expire_probes(word, definition, view->seed, now_ns);
    return word;
}

uint64_t transition_settle(struct breaker_view *view, uint32_t index, uint64_t now_ns)
{
    struct breaker_cell *cell = &view->state->cells[index];
    for (;;) {
        uint64_t word = atomic_load(&cell->state);
        uint64_t next = settled(view, index, word, now_ns);
        if (next == word)
            return word;
        transition_make(view, index, word, next, NULL, now_ns);
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

// The waiting mark is set or cleared first and the sum taken again, so that of an outcome and a
// mark that cross, one sees the other.
bool transition_judge(struct breaker_view *view, uint32_t index, uint32_t generation,
                      uint64_t now_ns)
{
    const struct breaker_definition *definition = &view->table.items[index];
    struct breaker_cell *cell = &view->state->cells[index];
    for (;;) {
        uint64_t word = atomic_load(&cell->state);
        if (state_kind(word) != BREAKER_CLOSED || state_generation(word) != generation)
            return false;
        struct rolling_counts counts = view_sum(view, index, generation, now_ns);
        enum rolling_verdict verdict = rolling_judge(&counts, definition);
        if (verdict == ROLLING_TRIP) {
            uint64_t next = state_trip(word, definition, view->seed, now_ns);
            if (transition_make(view, index, word, next, &counts, now_ns))
                return true;
            continue;
        }
        uint64_t next = state_with_waiting(word, verdict == ROLLING_WAIT);
        if (next == word)
            return false;
        atomic_compare_exchange_strong(&cell->state, &word, next);
    }
}
