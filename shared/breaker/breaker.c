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
        atomic_store(&line->share, share_pack(share_tag_of(view->slot_generation), 0, 0));
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

// The owner may be gone, and with it who reclaims: whoever is short of capacity looks himself.
static bool capacity_find(struct breaker_view *view, uint32_t index, uint64_t now_ns,
                          struct breaker_permit *permit)
{
    struct permit_pool pool = view_pool(view, index);
    uint32_t capacity = view->table.items[index].capacity;
    permit->has_share = permit_take(&pool, capacity, &permit->share_tag);
    if (permit->has_share || now_ns < view->reclaim_not_before_ns)
        return permit->has_share;
    view->reclaim_not_before_ns = now_ns + RECLAIM_INTERVAL_NS;
    reclaim_dead(view, index, now_ns);
    return permit->has_share = permit_take(&pool, capacity, &permit->share_tag);
}

bool capacity_take(struct breaker_view *view, uint32_t index, uint64_t now_ns,
                   struct breaker_permit *permit)
{
    if (permit->has_share)
        return true;
    permit->has_share = permit_use_own(&view_line(view, index)->share, &permit->share_tag);
    return permit->has_share || capacity_find(view, index, now_ns, permit);
}

// A full barrier either way: see breaker_report().
void capacity_give_back(struct breaker_view *view, struct breaker_permit *permit)
{
    if (permit->has_share)
        permit_give_back(&view_line(view, permit->breaker)->share, permit->share_tag);
    else
        atomic_thread_fence(memory_order_seq_cst);
    permit->has_share = false;
}

enum breaker_grant refuse(struct breaker_view *view, uint32_t index, enum breaker_grant grant,
                          uint64_t retry_ns, uint64_t *ret_retry_ns)
{
    line_count(&view_line(view, index)->refused[grant - BREAKER_REFUSED_OPEN]);
    if (ret_retry_ns != NULL)
        *ret_retry_ns = retry_ns;
    return grant;
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
    if (state_kind(word) == BREAKER_OPEN) { // refuse_open() with one division instead of two
        uint64_t now_ms = now_ns / NS_PER_MS, ahead_ms = state_ahead_ms(word, now_ms);
        if (ahead_ms > 0)
            return refuse(view, index, BREAKER_REFUSED_OPEN,
                          (now_ms + ahead_ms) * NS_PER_MS - now_ns, ret_retry_ns);
    }
    if (state_kind(word) != BREAKER_CLOSED || state_is_ramping(word))
        return acquire_not_closed(view, index, now_ns, ret_permit, ret_retry_ns);
    if (!capacity_take(view, index, now_ns, ret_permit))
        return refuse(view, index, BREAKER_REFUSED_CAPACITY, CAPACITY_RETRY_NS, ret_retry_ns);
    ret_permit->generation = state_generation(word);
    ret_permit->held = true;
    return BREAKER_GRANTED;
}

// Of the forced states only forced-closed and observe-only hand out permits that are held.
static inline bool counts_in_window(const struct breaker_permit *permit, uint64_t word)
{
    return !permit->probe && state_generation(word) == permit->generation &&
           (state_kind(word) == BREAKER_CLOSED || state_kind(word) == STATE_FORCED);
}

static bool is_slow(const struct breaker_definition *definition,
                    const struct breaker_permit *permit, uint64_t now_ns)
{
    if (definition->slow_threshold_percent == 0)
        return false;
    uint64_t answered_ns = permit->answered_ns != 0 ? permit->answered_ns : now_ns;
    return answered_ns > permit->start_ns &&
           answered_ns - permit->start_ns > definition->slow_duration_ns;
}

static void count_outcome(struct breaker_line *line, enum breaker_outcome outcome, bool is_counted,
                          bool slow)
{
    line_count(is_counted ? &line->outcomes[outcome] : &line->ignored);
    if (slow)
        line_count(&line->outcomes[BREAKER_SLOW]);
}

bool breaker_judge(struct breaker_view *view, struct breaker_permit *permit,
                   enum breaker_outcome outcome, uint64_t now_ns)
{
    if (!permit->held || !permit->probe || permit->judged)
        return false;
    ASSERT(view->slot != NULL && permit->breaker < BREAKER_MAX);
    permit->judged = true;
    view_refresh_if_new(view);
    const struct breaker_definition *definition = &view->table.items[permit->breaker];
    bool is_counted = outcome != BREAKER_IGNORED && definition->enabled;
    bool slow = is_counted && is_slow(definition, permit, now_ns);
    count_outcome(view_line(view, permit->breaker), outcome, is_counted, slow);
    return probe_report(view, permit, is_counted ? outcome : BREAKER_IGNORED, slow, now_ns);
}

static void count_streak(struct breaker_view *view, const struct breaker_permit *permit,
                         enum breaker_outcome outcome)
{
    struct breaker_cell *cell = &view->state->cells[permit->breaker];
    if (outcome == BREAKER_SUCCESS)
        cell_end_streak(cell, permit->generation);
    else
        cell_count_streak(cell, permit->generation);
}

struct counted {
    bool is_counted, is_judged, slow;
};

static struct counted count_call(struct breaker_view *view, const struct breaker_permit *permit,
                                 enum breaker_outcome outcome, uint64_t now_ns)
{
    uint32_t index = permit->breaker;
    const struct breaker_definition *definition = &view->table.items[index];
    struct breaker_line *line = view_line(view, index);
    struct counted counted = {.is_counted = outcome != BREAKER_IGNORED && definition->enabled};
    uint64_t word = atomic_load(&view->state->cells[index].state);
    counted.is_judged = counted.is_counted && counts_in_window(permit, word);
    counted.slow = counted.is_counted && is_slow(definition, permit, now_ns);
    count_outcome(line, outcome, counted.is_counted, counted.slow);
    if (counted.is_judged)
        rolling_add(line, &view->cursors[index], &view->shapes[index], permit->generation, outcome,
                    counted.slow, now_ns);
    if (counted.is_judged && definition->consecutive > 0)
        count_streak(view, permit, outcome);
    return counted;
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
    if (permit->judged) {
        capacity_give_back(view, permit);
        return false;
    }
    struct counted counted = count_call(view, permit, outcome, now_ns);
    capacity_give_back(view, permit);
    if (permit->probe)
        return probe_report(view, permit, counted.is_counted ? outcome : BREAKER_IGNORED,
                            counted.slow, now_ns);
    bool is_good = outcome == BREAKER_SUCCESS && !counted.slow;
    uint64_t word = atomic_load(&view->state->cells[permit->breaker].state);
    if (!counted.is_judged || (is_good && !state_judges_successes(word)))
        return false;
    return transition_judge(view, permit->breaker, permit->generation, now_ns);
}

bool breaker_is_closed_for(struct breaker_view *view, const struct breaker_permit *permit)
{
    ASSERT(view->slot != NULL && permit->breaker < BREAKER_MAX);
    return permit->held && !permit->judged &&
           counts_in_window(permit, atomic_load(&view->state->cells[permit->breaker].state));
}

bool breaker_attempt(struct breaker_view *view, struct breaker_permit *permit,
                     enum breaker_outcome outcome, uint64_t now_ns)
{
    ASSERT(view->slot != NULL && permit->breaker < BREAKER_MAX && permit->held && !permit->probe);
    view_refresh_if_new(view);
    struct counted counted = count_call(view, permit, outcome, now_ns);
    atomic_thread_fence(memory_order_seq_cst); // as in breaker_report()
    if (counted.is_judged)
        (void)transition_judge(view, permit->breaker, permit->generation, now_ns);
    permit->start_ns = now_ns;
    permit->answered_ns = 0;
    if (breaker_is_closed_for(view, permit))
        return true;
    permit->judged = true;
    return false;
}
