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
#include "config/model.h"
#include "config/params.h"
#include "shm/segment.h"
#include "shm/slot.h"

#define BREAKER_MAX            64
#define BREAKER_NAME_MAX       24
#define BREAKER_STATE_SECTION  "breaker-state"
#define BREAKER_WINDOW_SECTION "breaker-window"

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

enum breaker_outcome {
    BREAKER_SUCCESS,
    BREAKER_FAILURE,
    BREAKER_TIMEOUT,
    BREAKER_IGNORED, // not counted; a probe's permit goes back and another call may probe
};

enum breaker_grant {
    BREAKER_GRANTED,
    BREAKER_GRANTED_PROBE,
    BREAKER_REFUSED_OPEN,     // open, or half-open with all probe permits out
    BREAKER_REFUSED_CAPACITY, // never counted against the dependency
};

// A definition as it lies in the segment (plain data).
struct breaker_definition {
    char name[BREAKER_NAME_MAX];
    uint64_t timeout_ns; // connecting and first byte: used by the caller
    uint64_t reset_timeout_ns, reset_timeout_max_ns;
    uint64_t rolling_timeout_ns;
    uint64_t probe_lease_ns;
    uint32_t rolling_buckets;
    uint32_t error_threshold_percent; // this share or more opens
    uint32_t volume_threshold;
    uint32_t reset_backoff_percent;
    uint32_t probes;
    uint32_t capacity;
    uint32_t enabled; // 0: grants always, counts nothing
    uint32_t retired; // published by none any more; the name keeps its index and figures
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
    bool judged; // a probe whose outcome is told; what is held is capacity alone
    uint64_t start_ns;
};
// Grants or refuses. Refused: `ret_retry_ns` (may be NULL) says in how many nanoseconds from now
// asking again makes sense. A name that was retired by a reload is not guarded: granted.
enum breaker_grant breaker_acquire(struct breaker_view *view, uint32_t index, uint64_t now_ns,
                                   struct breaker_permit *ret_permit, uint64_t *ret_retry_ns);
// Ends the call: counts the outcome, gives the permit back, trips or closes as the rules say.
// Returns true when this call changed the state.
bool breaker_report(struct breaker_view *view, struct breaker_permit *permit,
                    enum breaker_outcome outcome, uint64_t now_ns);

// Tells a probe's outcome before its call ends, so that a long transfer neither keeps the breaker
// half-open nor outlives its lease: breaker_report() then only gives the capacity back. IGNORED:
// another call may probe. Of a probe of an older generation nothing is judged, as in
// breaker_report(). A permit that is no probe or was judged already: nothing happens. Returns true
// when this call changed the state.
bool breaker_judge(struct breaker_view *view, struct breaker_permit *permit,
                   enum breaker_outcome outcome, uint64_t now_ns);

struct breaker_status {
    char name[BREAKER_NAME_MAX];
    enum breaker_state state;
    uint32_t generation;
    uint32_t reopened;    // failed recoveries in a row
    uint64_t since_ns;    // of the state
    uint64_t deadline_ns; // open: when a probe may go; else 0
    uint32_t in_flight, capacity, probes_out;
    uint64_t window_successes, window_failures, window_timeouts;
    uint64_t total_opens; // since the segment was made
    uint64_t total_successes, total_failures, total_timeouts, total_refused_open,
        total_refused_capacity;
    bool retired; // configured no more
};
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

// The last changes of state, for the event stream: none is lost between two looks as long as there
// were at most BREAKER_HISTORY of them.
#define BREAKER_HISTORY 8
struct breaker_transition {
    uint32_t generation; // the one that began
    enum breaker_state from, to;
    uint64_t at_ns;
    uint64_t successes, failures, timeouts; // closed -> open: what was judged, if still known
    uint64_t open_for_ns;                   // to open, the newest only: until the deadline
};
// Those younger than `since_generation`, oldest first; their number. Any reader.
size_t breaker_transitions(struct breaker_view *view, uint32_t index, uint32_t since_generation,
                           struct breaker_transition ret_list[BREAKER_HISTORY]);
// Owner's housekeeping: gives back what dead slots held, expires probe leases. Call every 100 ms.
void breaker_reclaim(struct breaker_view *view, uint64_t now_ns);

extern const char *const breaker_state_names[3]; // "CLOSED", "OPEN", "HALF-OPEN"

#endif
