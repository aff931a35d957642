#include <errno.h>
#include <string.h>

#include "breaker/cell.h"
#include "breaker/state.h"
#include "breaker/tag.h"
#include "breaker/view.h"

const char *const breaker_state_names[3] = {"CLOSED", "OPEN", "HALF-OPEN"};

static void add_totals(const struct breaker_line *line, struct breaker_status *status)
{
    status->total_successes += atomic_load_explicit(&line->outcomes[0], memory_order_relaxed);
    status->total_failures += atomic_load_explicit(&line->outcomes[1], memory_order_relaxed);
    status->total_timeouts += atomic_load_explicit(&line->outcomes[2], memory_order_relaxed);
    status->total_refused_open += atomic_load_explicit(&line->refused_open, memory_order_relaxed);
    status->total_refused_capacity +=
        atomic_load_explicit(&line->refused_capacity, memory_order_relaxed);
}

static uint64_t since_ns(const struct breaker_view *view, const struct breaker_cell *cell,
                         uint64_t word, uint64_t now_ns)
{
    struct cell_entry entry;
    if (state_generation(word) == 0)
        return view->created_ns;
    // Not noted yet: it began just now, or its maker died and the next one will note it.
    return cell_entry_at(cell, state_generation(word), &entry) ? entry.at_ns : now_ns;
}

int breaker_status_of_any(struct breaker_view *view, uint32_t index, uint64_t now_ns,
                          struct breaker_status *ret_status)
{
    view_refresh_if_new(view);
    if (index >= view->table.n)
        return -ENOENT;
    const struct breaker_definition *definition = &view->table.items[index];
    struct breaker_cell *cell = &view->state->cells[index];
    uint64_t word = atomic_load(&cell->state);
    uint32_t kind = state_kind(word);
    struct permit_pool pool = view_pool(view, index);
    struct rolling_counts counts = view_sum(view, index, state_generation(word), now_ns);
    struct breaker_status status = {
        .state = kind <= BREAKER_HALF_OPEN ? (enum breaker_state)kind : BREAKER_CLOSED,
        .generation = state_generation(word),
        .reopened = state_reopened(word),
        .since_ns = since_ns(view, cell, word, now_ns),
        .deadline_ns = state_deadline_ns(word, now_ns),
        .in_flight = permit_in_flight(&pool),
        .capacity = definition->capacity,
        .probes_out = state_probes_out(word),
        .window_successes = counts.n[BREAKER_SUCCESS],
        .window_failures = counts.n[BREAKER_FAILURE],
        .window_timeouts = counts.n[BREAKER_TIMEOUT],
        .total_opens = cell_opens(cell, word),
        .retired = definition->retired,
    };
    memcpy(status.name, definition->name, sizeof(status.name));
    uint32_t n_slots = view_slots(view);
    for (uint32_t slot = 0; slot < n_slots; slot++)
        add_totals(&view->window->lines[slot][index], &status);
    *ret_status = status;
    return 0;
}

int breaker_status(struct breaker_view *view, uint32_t index, uint64_t now_ns,
                   struct breaker_status *ret_status)
{
    view_refresh_if_new(view);
    if (index < view->table.n && view->table.items[index].retired)
        return -ENODATA;
    return breaker_status_of_any(view, index, now_ns, ret_status);
}

bool breaker_next(struct breaker_view *view, uint32_t *index, uint64_t now_ns,
                  struct breaker_status *ret_status)
{
    int rc;
    while ((rc = breaker_status(view, *index, now_ns, ret_status)) == -ENODATA)
        ++*index;
    return rc == 0;
}

static void add_evidence(const struct breaker_cell *cell, struct breaker_transition *transition)
{
    uint64_t seen[BREAKER_KINDS];
    for (int kind = 0; kind < BREAKER_KINDS; kind++) {
        uint64_t word = atomic_load(&cell->evidence[kind]);
        seen[kind] = tag_generation(word) == transition->generation ? tag_value(word) : 0;
    }
    transition->successes = seen[BREAKER_SUCCESS];
    transition->failures = seen[BREAKER_FAILURE];
    transition->timeouts = seen[BREAKER_TIMEOUT];
}

size_t breaker_transitions(struct breaker_view *view, uint32_t index, uint32_t since_generation,
                           struct breaker_transition ret_list[BREAKER_HISTORY])
{
    view_refresh_if_new(view);
    if (index >= view->table.n)
        return 0;
    const struct breaker_cell *cell = &view->state->cells[index];
    uint64_t word = atomic_load(&cell->state);
    uint32_t newest = state_generation(word);
    uint32_t missed = generation_distance(since_generation, newest);
    size_t n = 0;
    for (uint32_t ago = missed < BREAKER_HISTORY ? missed : BREAKER_HISTORY; ago-- > 0;) {
        uint32_t generation = (newest - ago) & GENERATION_MASK;
        struct cell_entry entry;
        if (!cell_entry_at(cell, generation, &entry) || entry.from == entry.to)
            continue;
        struct breaker_transition *transition = &ret_list[n++];
        *transition = (struct breaker_transition){
            .generation = generation, .from = entry.from, .to = entry.to, .at_ns = entry.at_ns};
        if (entry.to == BREAKER_OPEN)
            add_evidence(cell, transition);
        uint64_t deadline_ns = state_deadline_ns(word, entry.at_ns);
        if (generation == newest && deadline_ns > entry.at_ns)
            transition->open_for_ns = deadline_ns - entry.at_ns;
    }
    return n;
}
