#include <errno.h>
#include <string.h>

#include "breaker/cell.h"
#include "breaker/state.h"
#include "breaker/tag.h"
#include "breaker/view.h"

const char *const breaker_state_names[BREAKER_STATES] = {
    "CLOSED", "OPEN", "HALF-OPEN", "FORCED-OPEN", "FORCED-CLOSED", "DISABLED", "OBSERVE-ONLY"};
const char *const breaker_rule_names[BREAKER_RULES] = {
    "", "error-rate", "slow-rate", "consecutive", "probes", "probes-expired", "command"};

bool breaker_outcome_of(const char *word, enum breaker_outcome *ret_outcome)
{
    static const char *const names[] = {"success", "failure", "timeout", "ignored"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(names[i], word) == 0) {
            *ret_outcome = (enum breaker_outcome)i;
            return true;
        }
    }
    return false;
}

static void add_totals(const struct breaker_line *line, struct breaker_status *status)
{
    const struct {
        uint64_t *total;
        const _Atomic uint64_t *word;
    } parts[] = {
        {&status->total_successes, &line->outcomes[BREAKER_SUCCESS]},
        {&status->total_failures, &line->outcomes[BREAKER_FAILURE]},
        {&status->total_timeouts, &line->outcomes[BREAKER_TIMEOUT]},
        {&status->total_slow, &line->outcomes[BREAKER_SLOW]},
        {&status->total_ignored, &line->ignored},
        {&status->total_probes, &line->probe_grants},
        {&status->total_refused_open, &line->refused[0]},
        {&status->total_refused_capacity, &line->refused[1]},
        {&status->total_refused_ramp, &line->refused[2]},
        {&status->total_refused_forced, &line->refused[3]},
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        *parts[i].total += atomic_load_explicit(parts[i].word, memory_order_relaxed);
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
    struct permit_pool pool = view_pool(view, index);
    struct rolling_counts counts = view_sum(view, index, state_generation(word), now_ns);
    struct breaker_status status = {
        .state = state_shown(word),
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
        .window_slow = counts.n[BREAKER_SLOW],
        .would_open = state_would_open(word),
        .consecutive = (uint32_t)cell_streak(cell, state_generation(word)),
        .total_opens = cell_opens(cell, word),
        .retired = definition->retired,
    };
    memcpy(status.name, definition->name, sizeof(status.name));
    cell_read_text(cell, state_generation(word), status.author, status.reason);
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
    struct cell_evidence evidence;
    if (!cell_has_evidence(cell, transition->generation, &evidence))
        return;
    transition->rule = evidence.rule;
    transition->successes = evidence.counts.n[BREAKER_SUCCESS];
    transition->failures = evidence.counts.n[BREAKER_FAILURE];
    transition->timeouts = evidence.counts.n[BREAKER_TIMEOUT];
    transition->slow = evidence.counts.n[BREAKER_SLOW];
    transition->consecutive = evidence.streak;
    transition->open_for_ns = evidence.for_ns;
    if (evidence.rule == BREAKER_RULE_COMMAND)
        cell_read_text(cell, transition->generation, transition->author, transition->reason);
}

bool breaker_would_open(struct breaker_view *view, uint32_t index,
                        struct breaker_transition *ret_transition)
{
    view_refresh_if_new(view);
    if (index >= view->table.n)
        return false;
    const struct breaker_cell *cell = &view->state->cells[index];
    uint64_t word = atomic_load(&cell->state);
    if (!state_would_open(word))
        return false;
    struct breaker_transition transition = {
        .generation = state_generation(word), .from = BREAKER_OBSERVE, .to = BREAKER_OBSERVE};
    add_evidence(cell, &transition);
    *ret_transition = transition;
    return true;
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
        // Half-open that went on after lost probes is no change to anyone.
        if (!cell_entry_at(cell, generation, &entry) ||
            (entry.to == BREAKER_HALF_OPEN && entry.from == BREAKER_HALF_OPEN))
            continue;
        struct breaker_transition *transition = &ret_list[n++];
        *transition = (struct breaker_transition){
            .generation = generation, .from = entry.from, .to = entry.to, .at_ns = entry.at_ns};
        add_evidence(cell, transition);
        uint64_t deadline_ns = state_deadline_ns(word, entry.at_ns);
        if (generation == newest && deadline_ns > entry.at_ns && transition->open_for_ns == 0)
            transition->open_for_ns = deadline_ns - entry.at_ns;
    }
    return n;
}
