// Calls through a breaker that is not closed: the first asker after the deadline and the probes.
#include "base/clock.h"
#include "breaker/cell.h"
#include "breaker/state.h"
#include "breaker/view.h"

enum breaker_grant refuse_open(struct breaker_view *view, uint32_t index, uint64_t word,
                               uint64_t now_ns, uint64_t *ret_retry_ns)
{
    struct breaker_line *line = view_line(view, index);
    uint64_t n = atomic_load_explicit(&line->refused_open, memory_order_relaxed);
    atomic_store_explicit(&line->refused_open, n + 1, memory_order_relaxed);
    if (ret_retry_ns == NULL)
        return BREAKER_REFUSED_OPEN;
    uint64_t until_ns = state_deadline_ns(word, now_ns);
    if (state_kind(word) == BREAKER_HALF_OPEN) {
        // The probes that are out decide soon: they have begun to answer in the call's timeout.
        const struct breaker_definition *definition = &view->table.items[index];
        uint64_t decided_ns = now_ns + definition->timeout_ns;
        if (!cell_has_lease(&view->state->cells[index], state_generation(word), &until_ns) ||
            until_ns > decided_ns)
            until_ns = decided_ns;
    }
    *ret_retry_ns = until_ns > now_ns ? until_ns - now_ns : 1;
    return BREAKER_REFUSED_OPEN;
}

static bool may_probe(const struct breaker_view *view, uint32_t index, uint64_t word,
                      uint64_t now_ns)
{
    if (state_kind(word) == BREAKER_HALF_OPEN)
        return state_has_permit(word, &view->table.items[index]);
    return state_is_due(word, now_ns);
}

// Grants one more probe of `word`; the lease is longer before the permit is out, so that nobody
// sees one without.
static bool grant_probe(struct breaker_view *view, uint32_t index, uint64_t word, uint64_t now_ns,
                        struct breaker_permit *permit)
{
    struct breaker_cell *cell = &view->state->cells[index];
    struct permit_pool pool = view_pool(view, index);
    uint64_t next =
        state_kind(word) == BREAKER_OPEN ? state_first_probe(word) : state_next_probe(word);
    uint32_t generation = state_generation(next);
    cell_extend_lease(cell, generation, now_ns + view->table.items[index].probe_lease_ns);
    if (!transition_make(view, index, word, next, NULL, now_ns))
        return false;
    permit_note_probe(&pool, generation);
    permit->generation = generation;
    permit->probe = permit->held = true;
    return true;
}

// Capacity comes first: a probe that finds none is refused and nothing has changed.
enum breaker_grant probe_acquire(struct breaker_view *view, uint32_t index, uint64_t now_ns,
                                 struct breaker_permit *permit, uint64_t *ret_retry_ns)
{
    struct permit_pool pool = view_pool(view, index);
    bool has_capacity = false;
    for (;;) {
        uint64_t word = transition_settle(view, index, now_ns);
        bool is_closed = state_kind(word) == BREAKER_CLOSED;
        if (!is_closed && !may_probe(view, index, word, now_ns)) {
            if (has_capacity)
                permit_give_back(&pool);
            return refuse_open(view, index, word, now_ns, ret_retry_ns);
        }
        if (!has_capacity && !capacity_take(view, index, now_ns))
            return refuse_capacity(view, index, ret_retry_ns);
        has_capacity = true;
        if (is_closed) {
            permit->generation = state_generation(word);
            permit->held = true;
            return BREAKER_GRANTED;
        }
        if (grant_probe(view, index, word, now_ns, permit))
            return BREAKER_GRANTED_PROBE;
    }
}

// One CAS of a half-open word of that generation; false when that generation is over.
bool probe_report(struct breaker_view *view, const struct breaker_permit *permit,
                  enum breaker_outcome outcome, uint64_t now_ns)
{
    struct permit_pool pool = view_pool(view, permit->breaker);
    permit_strike_probe(&pool, permit->generation);
    if (outcome == BREAKER_IGNORED) {
        probe_give_back(view, permit->breaker, permit->generation, 1);
        return false;
    }
    struct breaker_cell *cell = &view->state->cells[permit->breaker];
    const struct breaker_definition *definition = &view->table.items[permit->breaker];
    for (;;) {
        uint64_t word = atomic_load(&cell->state);
        if (state_kind(word) != BREAKER_HALF_OPEN || state_generation(word) != permit->generation)
            return false;
        uint64_t next =
            state_probe_result(word, outcome == BREAKER_SUCCESS, definition, view->seed, now_ns);
        if (transition_make(view, permit->breaker, word, next, NULL, now_ns))
            return state_generation(next) != permit->generation;
    }
}

void probe_give_back(struct breaker_view *view, uint32_t index, uint32_t generation, uint32_t n)
{
    _Atomic uint64_t *state = &view->state->cells[index].state;
    uint64_t word = atomic_load(state);
    while (state_kind(word) == BREAKER_HALF_OPEN && state_generation(word) == generation)
        if (atomic_compare_exchange_weak(state, &word, state_probes_back(word, n)))
            return;
}
