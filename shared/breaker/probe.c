// Calls through a breaker that is not closed: the first asker after the deadline and the probes.
#include "base/clock.h"
#include "breaker/cell.h"
#include "breaker/state.h"
#include "breaker/view.h"

enum breaker_grant refuse_open(struct breaker_view *view, uint32_t index, uint64_t word,
                               uint64_t now_ns, uint64_t *ret_retry_ns)
{
    uint64_t until_ns = state_deadline_ns(word, now_ns);
    if (state_kind(word) == BREAKER_HALF_OPEN) {
        // The probes that are out decide soon: they have begun to answer in the call's timeout.
        const struct breaker_definition *definition = &view->table.items[index];
        uint64_t decided_ns = now_ns + definition->timeout_ns;
        if (!cell_has_lease(&view->state->cells[index], state_generation(word), &until_ns) ||
            until_ns > decided_ns)
            until_ns = decided_ns;
    }
    uint64_t retry_ns = until_ns > now_ns ? until_ns - now_ns : 1;
    return refuse(view, index, BREAKER_REFUSED_OPEN, retry_ns, ret_retry_ns);
}

static enum breaker_grant refuse_forced(struct breaker_view *view, uint32_t index, uint64_t word,
                                        uint64_t now_ns, uint64_t *ret_retry_ns)
{
    uint64_t end_ns = state_deadline_ns(word, now_ns);
    uint64_t retry_ns =
        end_ns > now_ns ? end_ns - now_ns : view->table.items[index].reset_timeout_ns;
    return refuse(view, index, BREAKER_REFUSED_FORCED, retry_ns, ret_retry_ns);
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
    line_count(&view_line(view, index)->probe_grants);
    permit->generation = generation;
    permit->probe = permit->held = true;
    return true;
}

static enum breaker_grant grant_call(struct breaker_permit *permit, uint64_t word)
{
    permit->generation = state_generation(word);
    permit->held = true;
    return BREAKER_GRANTED;
}

// Grants or refuses by `word`, or says that it changed meanwhile (false). Capacity comes before a
// probe and behind the ramp: who finds none is refused and nothing has changed.
static bool acquire_by(struct breaker_view *view, uint32_t index, uint64_t word, uint64_t now_ns,
                       struct breaker_permit *permit, uint64_t *ret_retry_ns,
                       enum breaker_grant *ret_grant)
{
    enum breaker_state state = state_shown(word);
    *ret_grant = BREAKER_GRANTED;
    if (state == BREAKER_DISABLED)
        return true;
    if (state == BREAKER_FORCED_OPEN) {
        *ret_grant = refuse_forced(view, index, word, now_ns, ret_retry_ns);
        return true;
    }
    bool is_closed = state == BREAKER_CLOSED || state == BREAKER_FORCED_CLOSED;
    if (!breaker_is_forced(state) && !is_closed && !may_probe(view, index, word, now_ns)) {
        *ret_grant = refuse_open(view, index, word, now_ns, ret_retry_ns);
        return true;
    }
    if (state_is_ramping(word) && !ramp_admits(view, index, word, now_ns)) {
        *ret_grant = refuse(view, index, BREAKER_REFUSED_RAMP, CAPACITY_RETRY_NS, ret_retry_ns);
        return true;
    }
    if (!capacity_take(view, index, now_ns, permit)) {
        *ret_grant = refuse(view, index, BREAKER_REFUSED_CAPACITY, CAPACITY_RETRY_NS, ret_retry_ns);
        if (state == BREAKER_OBSERVE) // it would have been refused
            *ret_grant = grant_call(permit, word);
        return true;
    }
    if (is_closed || state == BREAKER_OBSERVE) {
        *ret_grant = grant_call(permit, word);
        return true;
    }
    *ret_grant = BREAKER_GRANTED_PROBE;
    return grant_probe(view, index, word, now_ns, permit);
}

enum breaker_grant acquire_not_closed(struct breaker_view *view, uint32_t index, uint64_t now_ns,
                                      struct breaker_permit *permit, uint64_t *ret_retry_ns)
{
    enum breaker_grant grant;
    uint64_t word;
    do
        word = transition_settle(view, index, now_ns);
    while (!acquire_by(view, index, word, now_ns, permit, ret_retry_ns, &grant));
    if (!permit->held)
        capacity_give_back(view, permit);
    return grant;
}

// One CAS of a half-open word of that generation; false when that generation is over.
bool probe_report(struct breaker_view *view, const struct breaker_permit *permit,
                  enum breaker_outcome outcome, bool slow, uint64_t now_ns)
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
        bool success = outcome == BREAKER_SUCCESS;
        uint64_t next = state_probe_result(word, success, slow, definition, view->seed, now_ns);
        struct cell_evidence evidence = {.rule = BREAKER_RULE_PROBES,
                                         .counts.n = {state_probes_succeeded(word) + success,
                                                      state_probes_failed(word) + !success, 0,
                                                      state_probes_slow(word) + slow}};
        bool is_decided = state_generation(next) != permit->generation;
        if (transition_make(view, permit->breaker, word, next, is_decided ? &evidence : NULL,
                            now_ns))
            return is_decided;
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
