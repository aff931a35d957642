// Circuit breakers on the shared segment: one truth for all processes, at memory speed.
// State, generation, probe permits and deadline are one 64-bit word, changed by CAS; rolling
// windows lie in per-process padded lines that carry the generation; a success costs one add
// on an own line. Times are CLOCK_MONOTONIC nanoseconds, given by the caller (virtual clock in
// tests). Thread: one per process; kill -9 at any instruction leaves a valid state, and what a dead
// process held comes back (its slot's death) at the latest with the lease.
#ifndef VALVECHAIN_BREAKER_BREAKER_H
#define VALVECHAIN_BREAKER_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/problems.h"
#include "breaker/breaker_status.h"
#include "config/model.h"
#include "config/params.h"
#include "shm/segment.h"
#include "shm/slot.h"

#define BREAKER_MAX            64
#define BREAKER_STATE_SECTION  "breaker-state"
#define BREAKER_WINDOW_SECTION "breaker-window"

enum breaker_outcome {
    BREAKER_SUCCESS,
    BREAKER_FAILURE,
    BREAKER_TIMEOUT,
    BREAKER_IGNORED, // not counted; a probe's permit goes back and another call may probe
};
// "success", "failure", "timeout", "ignored". False: none of these.
bool breaker_outcome_of(const char *word, enum breaker_outcome *ret_outcome);

enum breaker_grant {
    BREAKER_GRANTED,
    BREAKER_GRANTED_PROBE,
    BREAKER_REFUSED_OPEN,     // open, or half-open with all probe permits out
    BREAKER_REFUSED_CAPACITY, // this and all refusals: never counted against the dependency
    BREAKER_REFUSED_RAMP,     // just closed: not all calls are admitted yet
    BREAKER_REFUSED_FORCED,   // forced open
};
static inline bool breaker_is_refusal(enum breaker_grant grant)
{
    return grant > BREAKER_GRANTED_PROBE;
}

// A definition as it lies in the segment (plain data).
struct breaker_definition {
    char name[BREAKER_NAME_MAX];
    uint64_t timeout_ns; // connecting and first byte: used by the caller
    uint64_t reset_timeout_ns, reset_timeout_max_ns;
    uint64_t rolling_timeout_ns;
    uint64_t probe_lease_ns;
    uint64_t permit_lease_ns; // what a process holds that shows no sign of life for so long is lost
    uint64_t slow_duration_ns; // a longer call is slow
    uint64_t ramp_ns; // after a recovery the share of calls grows over this time; 0: at once
    uint32_t rolling_buckets;
    uint32_t error_threshold_percent;
    uint32_t slow_threshold_percent; // 0: slow calls do not open
    uint32_t consecutive;            // so many failures in a row open, whatever the volume; 0: off
    uint32_t trip_exceeds; // 0: a share that reaches its threshold opens; 1: only one above it
    uint32_t volume_threshold;
    uint32_t reset_backoff_percent;
    uint32_t probes;
    uint32_t capacity;
    uint32_t enabled; // 0: grants always, counts nothing
    uint32_t retired; // published by none any more; the name keeps its index and figures
    uint32_t reserved;
};
struct breaker_definition_set {
    uint32_t n;
    uint32_t reserved;
    struct breaker_definition items[BREAKER_MAX];
};
// The specification's three (database 5 s/30 %, blockchain 10 s/60 %, email 8 s/40 %) and one for
// every other upstream of the model from CB_*; a model's `breaker` fields override. The upstream of
// a route "/" takes CB_APP_CAPACITY. -EINVAL with one problem for each bad value.
int breaker_compile(const struct breakers_params *params, const struct config_model *model,
                    struct problems *problems, struct breaker_definition_set *ret_set);

struct segment_section_spec breaker_state_section_spec(void);
struct segment_section_spec breaker_window_section_spec(void);

struct breaker_view;
// `slot` NULL: a reader, who may find, look at definitions and ask for status, nothing else.
// -ENXIO: the segment has no breaker sections (a program's own list of sections lacks them).
int breaker_attach(struct segment *segment, struct slot *slot, struct breaker_view **ret_view);
void breaker_detach(struct breaker_view **view); // gives back what this process holds

// IF_ABSENT adds the names that are not there and leaves the others as they are (fronts at start);
// REPLACE puts the set in force and retires the names that are not in it (the owner). A breaker
// keeps its index and state by name for the segment's life. -ENOSPC: more than BREAKER_MAX names.
enum breaker_publish_rule { BREAKER_PUBLISH_IF_ABSENT, BREAKER_PUBLISH_REPLACE };
int breaker_publish(struct breaker_view *view, const struct breaker_definition_set *set,
                    enum breaker_publish_rule rule);
uint64_t breaker_generation(const struct breaker_view *view);  // of the definitions; 0: none
int breaker_find(struct breaker_view *view, const char *name); // index or -ENOENT
// NULL past the end; valid until the next call with this view (a reload may change it).
const struct breaker_definition *breaker_definition_at(struct breaker_view *view, uint32_t index);

struct breaker_permit {
    uint32_t breaker;
    uint32_t generation; // results of an older generation are dropped
    bool probe, held;
    bool judged;    // the outcome is told; what is held is capacity alone
    bool has_share; // one of the capacity is held
    uint32_t share_tag;
    uint64_t start_ns;
    uint64_t answered_ns; // when the call answered, if that was told (breaker_answered); else 0
};
// Grants or refuses. Refused: `ret_retry_ns` (may be NULL) says in how many nanoseconds from now
// asking again makes sense. A name that was retired by a reload is not guarded: granted.
enum breaker_grant breaker_acquire(struct breaker_view *view, uint32_t index, uint64_t now_ns,
                                   struct breaker_permit *ret_permit, uint64_t *ret_retry_ns);
// Ends the call: counts the outcome, gives the permit back, trips or closes as the rules say.
// Returns true when this call changed the state.
bool breaker_report(struct breaker_view *view, struct breaker_permit *permit,
                    enum breaker_outcome outcome, uint64_t now_ns);

// Counts the outcome of one attempt of a call that is made once more: the permit stays, and the
// time of the next attempt begins. Only for a permit that is held and no probe. Returns false when
// the breaker is not closed (any more): the call must end, and breaker_report() then counts no
// more.
bool breaker_attempt(struct breaker_view *view, struct breaker_permit *permit,
                     enum breaker_outcome outcome, uint64_t now_ns);
// Is a call with this permit, which is no probe, still one of a closed breaker?
bool breaker_is_closed_for(struct breaker_view *view, const struct breaker_permit *permit);

// After its report or judgement: the dependency asks to be left alone for so long. The breaker that
// this call, or one that began beside it, has opened stays open at least that long, and at most for
// the longest open time of its definition. Nothing happens to one in another state or a later
// generation. Returns true when it stays open longer now.
bool breaker_keep_open(struct breaker_view *view, const struct breaker_permit *permit,
                       uint64_t for_ns, uint64_t now_ns);

// The call has begun to answer: whether it is slow is judged by this moment, not by its end.
static inline void breaker_answered(struct breaker_permit *permit, uint64_t now_ns)
{
    permit->answered_ns = now_ns;
}

// Tells a probe's outcome before its call ends, so that a long transfer neither keeps the breaker
// half-open nor outlives its lease: breaker_report() then only gives the capacity back. IGNORED:
// another call may probe. Of a probe of an older generation nothing is judged, as in
// breaker_report(). A permit that is no probe or was judged already: nothing happens. Returns true
// when this call changed the state.
bool breaker_judge(struct breaker_view *view, struct breaker_permit *permit,
                   enum breaker_outcome outcome, uint64_t now_ns);

// Any reader (also read-only ones without a slot: `slot` NULL at attach). -ENOENT past the end,
// -ENODATA for a retired name.
int breaker_status(struct breaker_view *view, uint32_t index, uint64_t now_ns,
                   struct breaker_status *ret_status);
// The same, of a retired name too: its totals stand, and it is in no state.
int breaker_status_of_any(struct breaker_view *view, uint32_t index, uint64_t now_ns,
                          struct breaker_status *ret_status);
// Walks all breakers but the retired: for (i = 0; breaker_next(view, &i, now_ns, &status); i++)
bool breaker_next(struct breaker_view *view, uint32_t *index, uint64_t now_ns,
                  struct breaker_status *ret_status);

// Those younger than `since_generation`, oldest first; their number. Any reader.
size_t breaker_transitions(struct breaker_view *view, uint32_t index, uint32_t since_generation,
                           struct breaker_transition ret_list[BREAKER_HISTORY]);
// Owner's housekeeping: gives back what dead slots held, and of slots without a heartbeat for the
// permit lease their share of the capacity; expires probe leases, ends forced states. Call every
// 100 ms.
void breaker_reclaim(struct breaker_view *view, uint64_t now_ns);
// What a rule would have opened while it observes: as a transition to itself with its evidence.
// False: nothing. Any reader.
bool breaker_would_open(struct breaker_view *view, uint32_t index,
                        struct breaker_transition *ret_transition);

// A person's word: one of the forced states until `until_ns` (0: until breaker_reset), at most
// BREAKER_FORCE_MAX_NS ahead. Calls under way end as they are; their outcomes no longer count.
// At its end a forced-open breaker is half-open, any other closed with an empty window.
// -EINVAL for another state, an end that is past or too far; -ENOENT: no such breaker.
// One process at a time may call these two (the owner), lest two texts mix.
#define BREAKER_FORCE_MAX_NS (UINT64_C(366) * 86400 * 1000000000)
int breaker_force(struct breaker_view *view, uint32_t index, enum breaker_state state,
                  uint64_t until_ns, const char *author, const char *reason, uint64_t now_ns);
// Closed with an empty window, from any state.
int breaker_reset(struct breaker_view *view, uint32_t index, const char *author, const char *reason,
                  uint64_t now_ns);

#endif
