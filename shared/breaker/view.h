// A process's view of all breakers: where they lie, its private copy of the definitions, its place
// in the rolling windows. Private to this library.
#ifndef VALVECHAIN_BREAKER_VIEW_H
#define VALVECHAIN_BREAKER_VIEW_H

#include "breaker/cell.h"
#include "breaker/layout.h"
#include "breaker/permit.h"
#include "breaker/rolling.h"

// How much of a call the ramp of this generation has let through so far, in thousandths.
struct ramp_credit {
    uint32_t generation, thousandths;
};

struct breaker_view {
    struct segment *segment;
    struct slot *slot; // NULL: reader
    uint32_t slot_index, slot_generation;
    struct breaker_state_section *state;
    struct breaker_window_section *window;
    uint64_t seed;                  // of the jitter, one per segment
    uint64_t created_ns;            // of the segment
    uint64_t current;               // word of the definitions copied below
    uint64_t reclaim_not_before_ns; // own look for dead holders when capacity is out
    struct breaker_table table;
    struct rolling_shape shapes[BREAKER_MAX];
    struct rolling_cursor cursors[BREAKER_MAX];
    struct ramp_credit ramps[BREAKER_MAX];
};

// publish.c: copies the definitions in force; what could not be read stays as it was.
void view_refresh(struct breaker_view *view);
static inline void view_refresh_if_new(struct breaker_view *view)
{
    if (atomic_load_explicit(&view->state->current, memory_order_acquire) != view->current)
        view_refresh(view);
}

static inline struct breaker_line *view_line(struct breaker_view *view, uint32_t index)
{
    return &view->window->lines[view->slot_index][index];
}
static inline void line_count(_Atomic uint64_t *word) // of the own line: one writer
{
    uint64_t n = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, n + 1, memory_order_relaxed);
}
static inline struct permit_pool view_pool(struct breaker_view *view, uint32_t index)
{
    return (struct permit_pool){.window = view->window,
                                .breaker = index,
                                .slot = view->slot_index,
                                .slot_generation = view->slot_generation,
                                .slots_seen = &view->state->slots_seen};
}
static inline uint32_t view_slots(const struct breaker_view *view)
{
    uint64_t seen = atomic_load(&view->state->slots_seen);
    return seen < SLOT_COUNT ? (uint32_t)seen : SLOT_COUNT;
}
// transition.c: outcomes of all processes in the window that ends now.
struct rolling_counts view_sum(struct breaker_view *view, uint32_t index, uint32_t generation,
                               uint64_t now_ns);

// transition.c: one CAS from `old`, then the notes about it. False: someone was first.
// `evidence` (may be NULL): why, noted before the transition shows in the history.
bool transition_make(struct breaker_view *view, uint32_t index, uint64_t old, uint64_t next,
                     const struct cell_evidence *evidence, uint64_t now_ns);
// Makes what is due without anyone's call: repairs a damaged word, expires the lease of lost
// probes, settles after a reload, ends what was forced for a time. Returns the word then in force.
uint64_t transition_settle(struct breaker_view *view, uint32_t index, uint64_t now_ns);
// closed and observe-only: judges the window of this generation. True when this opened the breaker.
bool transition_judge(struct breaker_view *view, uint32_t index, uint32_t generation,
                      uint64_t now_ns);

// probe.c: anything but plainly closed at first sight.
enum breaker_grant refuse_open(struct breaker_view *view, uint32_t index, uint64_t word,
                               uint64_t now_ns, uint64_t *ret_retry_ns);
enum breaker_grant acquire_not_closed(struct breaker_view *view, uint32_t index, uint64_t now_ns,
                                      struct breaker_permit *permit, uint64_t *ret_retry_ns);
bool probe_report(struct breaker_view *view, const struct breaker_permit *permit,
                  enum breaker_outcome outcome, bool slow, uint64_t now_ns);
// `n` probe permits of that generation come back without a result.
void probe_give_back(struct breaker_view *view, uint32_t index, uint32_t generation, uint32_t n);

// reclaim.c: gives back what dead slots hold of one breaker, and the share of silent ones.
void reclaim_dead(struct breaker_view *view, uint32_t index, uint64_t now_ns);

// breaker.c: takes one of the capacity for the permit, unless it has one; looks for dead holders
// before it says no.
bool capacity_take(struct breaker_view *view, uint32_t index, uint64_t now_ns,
                   struct breaker_permit *permit);
void capacity_give_back(struct breaker_view *view, struct breaker_permit *permit);
// Counts the refusal. `retry_ns`: how soon to ask again.
enum breaker_grant refuse(struct breaker_view *view, uint32_t index, enum breaker_grant grant,
                          uint64_t retry_ns, uint64_t *ret_retry_ns);
#define CAPACITY_RETRY_NS NS_PER_S // the smallest Retry-After; when a call ends, nobody knows

// ramp.c: closed since a while: is this call within the growing share? Ends the ramp when it is
// time.
bool ramp_admits(struct breaker_view *view, uint32_t index, uint64_t word, uint64_t now_ns);

#endif
