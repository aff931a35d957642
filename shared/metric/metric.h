// Metrics that describe themselves in the segment: each process registers its series at start into
// its slot's catalogue; readers (metrics-agent, api-front, valvectl) know no names at compile time.
// One writer per series (the slot's holder), relaxed atomics, no locks.
//
// A metric is one row in a service's metrics.def:
//   COUNTER | GAUGE | HISTOGRAM (field, "valvechain_name_total", "unit", "label,names", ..., "help")
// (metric_table.inc says how it becomes a table).
// Names follow Prometheus: `valvechain_` prefix, base units, `_total` for counters.
// Thread: registration and writing by the slot's holder; reading from anywhere.
#ifndef VALVECHAIN_METRIC_METRIC_H
#define VALVECHAIN_METRIC_METRIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "shm/slot.h"

enum metric_kind {
    METRIC_COUNTER = 1, // u64, never goes down, survives its process (adopted slot)
    METRIC_GAUGE,       // double bits, restarts at 0 with its process
    METRIC_HISTOGRAM,   // n bounds + 1 bucket counts (not cumulative), sum (u64, in `scale` units)
};

struct metric_def {
    enum metric_kind kind;
    const char *name;
    const char *unit;   // "", "seconds", "bytes", "ratio"
    const char *labels; // comma-separated label names, "" for none
    const char *help;
    const double *bounds; // histograms: ascending upper bounds in the unit, without +Inf
    uint32_t n_bounds;
    double scale; // counters and histogram sums: one stored unit in the metric's unit (1e-9: ns as
                  // s); 0 = 1
};

struct metric_set; // the registry of one held slot

// A registered series: index of its first value word. 0 is "not registered": writes go to a scratch
// word that nobody reads, so a full catalogue costs figures and never a request (it is counted in
// valvechain_metric_series_dropped_total, which the set registers by itself).
typedef uint32_t metric_id;

int metric_set_open(struct slot *slot, struct metric_set **ret_set);
void metric_set_close(struct metric_set **set);
// Registers one series. `label_values`: as many as the definition has label names. An adopted slot
// finds its old series by name and labels and goes on from its counts.
metric_id metric_register(struct metric_set *set, const struct metric_def *def,
                          const char *const *label_values);
_Atomic uint64_t *metric_words(const struct metric_set *set);

static inline void metric_add_at(_Atomic uint64_t *words, metric_id id, uint64_t n)
{
    // One writer: a plain load and store, not a locked instruction.
    atomic_store_explicit(&words[id], atomic_load_explicit(&words[id], memory_order_relaxed) + n,
                          memory_order_relaxed);
}
static inline void metric_set_at(_Atomic uint64_t *words, metric_id id, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    atomic_store_explicit(&words[id], bits, memory_order_relaxed);
}
void metric_add(struct metric_set *set, metric_id id, uint64_t n);
void metric_gauge(struct metric_set *set, metric_id id, double value);
// `value` in stored units (see scale); finds the bucket by the definition's bounds.
void metric_observe(struct metric_set *set, metric_id id, uint64_t value);

// ---- reading ------------------------------------------------------------------------------------

struct metric_series {
    enum metric_kind kind;
    const char *name, *unit, *help;
    const char *labels; // rendered: code="200",route="app"   ("" for none), escaped for exposition
    const double *bounds;
    uint32_t n_bounds;
    double scale;
    const _Atomic uint64_t
        *words; // counter, gauge: 1; histogram: n_bounds + 2 (buckets, +Inf, sum)
};
double metric_series_value(const struct metric_series *series); // counter or gauge, in the unit

// Calls back for every series of one slot, in registration order. Pointers live during the call.
// A catalogue that does not parse (foreign memory) is skipped: -EPROTO.
int metric_walk_slot(const struct slot_info *slot,
                     void (*each)(void *arg, const struct slot_info *slot,
                                  const struct metric_series *series),
                     void *arg);
// All slots that are in use (also of processes that are gone: their counters stand).
int metric_walk(const struct segment *segment,
                void (*each)(void *arg, const struct slot_info *slot,
                             const struct metric_series *series),
                void *arg);
// Sum over all slots (counters) or value of the last live slot (gauges) of a name; `labels` as
// rendered, NULL: every series of the name added up. False when there is no such series.
bool metric_lookup(const struct segment *segment, const char *name, const char *labels,
                   double *ret_value);

#endif
