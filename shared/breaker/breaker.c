#include "breaker/breaker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "breaker/cell.h"
#include "breaker/state.h"
#include "breaker/view.h"

#define RECLAIM_INTERVAL_NS (100 * NS_PER_MS)
#define CAPACITY_RETRY_NS   NS_PER_S // the smallest Retry-After; when a call ends, nobody knows

static uint64_t layout_hash(void)
{
    const size_t numbers[] = {sizeof(struct breaker_definition),
                              sizeof(struct breaker_cell),
                              sizeof(struct breaker_line),
                              sizeof(struct breaker_state_section),
                              offsetof(struct breaker_state_section, tables),
                              BREAKER_MAX,
                              BREAKER_HISTORY,
                              BREAKER_BUCKETS_MAX,
                              SLOT_COUNT};
    return segment_layout_hash(numbers, sizeof(numbers) / sizeof(numbers[0]));
}

struct segment_section_spec breaker_state_section_spec(void)
{
    return (struct segment_section_spec){.name = BREAKER_STATE_SECTION,
                                         .bytes = sizeof(struct breaker_state_section),
                                         .layout_hash = layout_hash()};
}

struct segment_section_spec breaker_window_section_spec(void)
{
    return (struct segment_section_spec){.name = BREAKER_WINDOW_SECTION,
                                         .bytes = sizeof(struct breaker_window_section),
                                         .layout_hash = layout_hash()};
}

// Takes the slot's lines over: what a predecessor held comes back now.
static void claim_lines(struct breaker_view *view)
{
    uint64_t seen = atomic_load(&view->state->slots_seen);
    while (seen <= view->slot_index &&
           !atomic_compare_exchange_weak(&view->state->slots_seen, &seen, view->slot_index + 1))
        continue;
    for (uint32_t i = 0; i < BREAKER_MAX; i++) {
        struct breaker_line *line = view_line(view, i);
        atomic_store(&line->share, share_pack(view->slot_generation, 0, 0));
        uint64_t probes = atomic_exchange(&line->probes, 0);
        if (probes_out(probes) > 0)
            probe_give_back(view, i, probes_generation(probes), probes_out(probes));
    }
}

int breaker_attach(struct segment *segment, struct slot *slot, struct breaker_view **ret_view)
{
    struct breaker_state_section *state = segment_section(segment, BREAKER_STATE_SECTION, NULL);
    struct breaker_window_section *window = segment_section(segment, BREAKER_WINDOW_SECTION, NULL);
    if (state == NULL || window == NULL)
        return -ENXIO;
    struct breaker_view *view = calloc(1, sizeof(*view));
    if (view == NULL)
        return -ENOMEM;
    view->segment = segment;
    view->slot = slot;
    view->state = state;
    view->window = window;
    view->created_ns = segment_created_wall_ns(segment) - (uint64_t)segment_wall_offset_ns(segment);
    memcpy(&view->seed, segment_hash_key(segment), sizeof(view->seed));
    if (slot != NULL) {
        view->slot_index = slot_index(slot);
        view->slot_generation = slot_generation(slot);
        claim_lines(view);
    }
    view_refresh(view);
    *ret_view = view;
    return 0;
}

void breaker_detach(struct breaker_view **view)
{
    if (*view == NULL)
        return;
    if ((*view)->slot != NULL)
        claim_lines(*view);
    free(*view);
    *view = NULL;
}

static void add_one(_Atomic uint64_t *word) // own line: one writer
{
    uint64_t n = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, n + 1, memory_order_relaxed);
}

// The owner may be gone, and with it who reclaims: whoever is short of capacity looks himself.
bool capacity_take(struct breaker_view *view, uint32_t index, uint64_t now_ns)
{
    struct permit_pool pool = view_pool(view, index);
    uint32_t capacity = view->table.items[index].capacity;
    if (permit_take(&pool, capacity))
        return true;
    if (now_ns < view->reclaim_not_before_ns)
        return false;
    view->reclaim_not_before_ns = now_ns + RECLAIM_INTERVAL_NS;
    reclaim_dead(view, index);
    return permit_take(&pool, capacity);
}

enum breaker_grant refuse_capacity(struct breaker_view *view, uint32_t index,
                                   uint64_t *ret_retry_ns)
{
    add_one(&view_line(view, index)->refused_capacity);
    if (ret_retry_ns != NULL)
        *ret_retry_ns = CAPACITY_RETRY_NS;
    return BREAKER_REFUSED_CAPACITY;
}

enum breaker_grant breaker_acquire(struct breaker_view *view, uint32_t index, uint64_t now_ns,
                                   struct breaker_permit *ret_permit, uint64_t *ret_retry_ns)
{
    ASSERT(view->slot != NULL && index < BREAKER_MAX);
    view_refresh_if_new(view);
    const struct breaker_definition *definition = &view->table.items[index];
    *ret_permit = (struct breaker_permit){.breaker = index, .start_ns = now_ns};
    if (index >= view->table.n || definition->retired || !definition->enabled)
        return BREAKER_GRANTED;
    uint64_t word = atomic_load_explicit(&view->state->cells[index].state, memory_order_acquire);
    if (state_kind(word) == BREAKER_OPEN && !state_is_due(word, now_ns))
        return refuse_open(view, index, word, now_ns, ret_retry_ns);
    if (state_kind(word) != BREAKER_CLOSED)
        return probe_acquire(view, index, now_ns, ret_permit, ret_retry_ns);
    if (!capacity_take(view, index, now_ns))
        return refuse_capacity(view, index, ret_retry_ns);
    ret_permit->generation = state_generation(word);
    ret_permit->held = true;
    return BREAKER_GRANTED;
}

static bool counts_in_window(const struct breaker_permit *permit, uint64_t word)
{
    return !permit->probe && state_kind(word) == BREAKER_CLOSED &&
           state_generation(word) == permit->generation;
}

bool breaker_judge(struct breaker_view *view, struct breaker_permit *permit,
                   enum breaker_outcome outcome, uint64_t now_ns)
{
    if (!permit->held || !permit->probe || permit->judged)
        return false;
    ASSERT(view->slot != NULL && permit->breaker < BREAKER_MAX);
    permit->judged = true;
    view_refresh_if_new(view);
    bool is_counted = outcome != BREAKER_IGNORED && view->table.items[permit->breaker].enabled;
    if (is_counted)
        add_one(&view_line(view, permit->breaker)->outcomes[outcome]);
    return probe_report(view, permit, is_counted ? outcome : BREAKER_IGNORED, now_ns);
}

// Order: count, then let go of the capacity (a full barrier), then look at the state again. So a
// judge who misses this outcome has set the mark before we look, and we judge ourselves.
bool breaker_report(struct breaker_view *view, struct breaker_permit *permit,
                    enum breaker_outcome outcome, uint64_t now_ns)
{
    if (!permit->held)
        return false;
    ASSERT(view->slot != NULL && permit->breaker < BREAKER_MAX);
    permit->held = false;
    view_refresh_if_new(view);
    uint32_t index = permit->breaker;
    struct breaker_line *line = view_line(view, index);
    struct permit_pool pool = view_pool(view, index);
    if (permit->judged) {
        permit_give_back(&pool);
        return false;
    }
    _Atomic uint64_t *state = &view->state->cells[index].state;
    bool is_counted = outcome != BREAKER_IGNORED && view->table.items[index].enabled;
    bool is_judged = is_counted && counts_in_window(permit, atomic_load(state));
    if (is_counted)
        add_one(&line->outcomes[outcome]);
    if (is_judged)
        rolling_add(line, &view->cursors[index], &view->shapes[index], permit->generation, outcome,
                    now_ns);
    permit_give_back(&pool);
    if (permit->probe)
        return probe_report(view, permit, is_counted ? outcome : BREAKER_IGNORED, now_ns);
    if (!is_judged || (outcome == BREAKER_SUCCESS && !state_is_waiting(atomic_load(state))))
        return false;
    return transition_judge(view, index, permit->generation, now_ns);
}
