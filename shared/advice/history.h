// What an advisor remembers, as one plain struct without pointers: saved and loaded as bytes
// (advice_state_encode/decode), it outlives the process. Times: ns of the clock of the samples.
// Thread: one per state.
#ifndef VALVECHAIN_ADVICE_HISTORY_H
#define VALVECHAIN_ADVICE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "advice/policy.h"

#define ADVICE_SLOTS       300 // of a window: 1 s each up to 300 s, then longer
#define ADVICE_RUNS        512
#define ADVICE_EVENTS      128
#define ADVICE_ARRIVALS    32
#define ADVICE_FLIPS       16
#define ADVICE_BURST_SLOTS 64  // seconds; more than the longest stable window
#define ADVICE_COVERAGE    0.9 // of a window must have been measured for its average to be known

// An average over a trailing period, in slots of the same length.
struct advice_window {
    uint64_t slot_ns, period_ns; // 0: not used
    uint64_t newest;             // slot number (time / slot_ns) of the newest
    double sum[ADVICE_SLOTS];    // of value x seconds
    double seconds[ADVICE_SLOTS];
};
struct advice_average {
    bool known; // enough of the period is covered
    double value, covered_s;
};

// Recommendations as what holds them left them (panic, rolling_update, dependency, blindness),
// equal ones in a row as one run: what was held is no low number to shrink to later. When more runs
// than fit lie in the longest window, the two oldest become one that holds the range of both:
// stricter, never looser.
struct advice_run {
    uint64_t first_ns, last_ns;
    uint32_t low, high;
};
struct advice_event { // a change of the number of instances
    uint64_t time_ns;
    uint32_t added, removed;
};

// All hold totals of the target (CPU and memory: in instances' worth), so that an average over a
// time in which instances came or went still says what the load needs; latency by itself.
enum advice_window_of {
    ADVICE_WINDOW_CPU_PERIOD, // the specification's evaluation periods
    ADVICE_WINDOW_RPS_PERIOD,
    ADVICE_WINDOW_QUOTA_PERIOD, // tenants' own refusals/s, over the same period as RPS
    ADVICE_WINDOW_QUOTA,        // the same over target_window_s
    ADVICE_WINDOW_CAPACITY,     // our refusals/s, over target_window_s
    ADVICE_WINDOW_TARGETS,      // one for each metric, over target_window_s
    ADVICE_WINDOWS = ADVICE_WINDOW_TARGETS + ADVICE_METRICS
};

struct advice_seen_usage { // of the newest sample
    uint32_t known, measured, missing, unready;
    double total, capacity, missing_capacity, unready_capacity;
};

struct advice_state {
    uint64_t sequence; // decisions
    uint64_t rejected; // samples that were not believed
    // The newest good sample.
    uint64_t sample_ns;
    uint32_t current, ready, replacing, dependency_open;
    struct advice_seen_usage usage[ADVICE_METRICS];
    // What was advised.
    uint32_t advised;  // 0: never
    int32_t direction; // of the last change: 1, -1; 0: none yet
    uint64_t changed_ns;
    // Burst.
    uint64_t panic_ns; // last crossing of the threshold; 0: no panic
    uint32_t panic_peak, settled;
    uint64_t burst_newest;                   // second of the newest slot
    double burst_sum[2][ADVICE_BURST_SLOTS]; // RPS, in flight: total x seconds
    double burst_seconds[2][ADVICE_BURST_SLOTS];
    // Since when as many instances serve as do (`settled`: ready and warmed up); 0: since the first
    // sample. What was refused before says nothing about them.
    uint64_t settled_ns;
    // Rolling update.
    uint64_t update_ns;      // last seen; 0: none
    uint32_t update_current; // instances before it began
    uint32_t n_runs, n_events, n_arrivals, n_flips;
    uint64_t flips[ADVICE_FLIPS];                  // times of changes of direction, oldest first
    struct advice_run runs[ADVICE_RUNS];           // oldest first
    struct advice_event events[ADVICE_EVENTS];     // changes of the advised number, oldest first
    struct advice_event arrivals[ADVICE_ARRIVALS]; // instances seen to come, oldest first
    struct advice_window windows[ADVICE_WINDOWS];
};

void advice_window_init(struct advice_window *window, uint32_t period_s);
void advice_window_add(struct advice_window *window, uint64_t time_ns, double value,
                       double seconds);
struct advice_average advice_window_read(const struct advice_window *window, uint64_t now_ns);
// Only of slots that begin after `since_ns`; covered_s tells how much that was.
struct advice_average advice_window_read_since(const struct advice_window *window, uint64_t now_ns,
                                               uint64_t since_ns);

void advice_runs_add(struct advice_state *state, uint64_t now_ns, uint32_t recommendation);
// Appends a change; of a full list the two oldest become one with the later one's time (stricter).
void advice_events_add(struct advice_event *events, uint32_t *n, uint32_t cap, uint64_t now_ns,
                       uint32_t from, uint32_t to);
// Sums of the events later than now - period.
struct advice_event advice_events_sum(const struct advice_event *events, uint32_t n,
                                      uint64_t now_ns, uint32_t period_s);

// The state as bytes with a version and a checksum. `now_mono_ns` and `now_wall_ns` at saving let
// the times be moved to another clock at loading (a reboot starts the monotonic one anew).
#define ADVICE_STATE_BYTES (sizeof(struct advice_state) + 64)
void advice_state_encode(const struct advice_state *state, uint64_t now_mono_ns,
                         uint64_t now_wall_ns, void *ret_bytes);
// 0; -EBADMSG: not such a file, cut or damaged; -EPROTO: of another version; *ret_why says it in
// words. *ret_state then is untouched.
int advice_state_decode(const void *bytes, size_t len, uint64_t now_mono_ns, uint64_t now_wall_ns,
                        struct advice_state *ret_state, const char **ret_why);

#endif
