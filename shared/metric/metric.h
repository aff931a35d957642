// Metrics that describe themselves in the segment: each process registers its series at start into
// its slot's catalogue; readers (metrics-agent, api-front, valvectl) know no names at compile time.
// One writer per series (the slot's holder), relaxed atomics, no locks.
//
// A metric is one row in a service's metrics.def:
//   COUNTER | GAUGE | GAUGE_MAX | HISTOGRAM | HISTOGRAM_TRACED (field, "valvechain_name_total",
//   "unit", "label,names",
//   ..., "help")
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

#include "base/buckets.h"
#include "shm/slot.h"

enum metric_kind {
    METRIC_COUNTER = 1, // u64, never goes down, survives its process (adopted slot)
    METRIC_GAUGE,       // double bits, restarts at 0 with its process; several processes: the sum
    METRIC_HISTOGRAM,   // n bounds + 1 bucket counts (not cumulative), sum (u64, in `scale` units),
                        // then, with `exemplars`, METRIC_EXEMPLAR_WORDS for each bucket
    METRIC_GAUGE_MAX,   // a gauge of which several processes show the largest
    METRIC_KIND_LAST = METRIC_GAUGE_MAX
};
static inline bool metric_is_gauge(enum metric_kind kind)
{
    return kind == METRIC_GAUGE || kind == METRIC_GAUGE_MAX;
}

struct metric_def {
    enum metric_kind kind;
    const char *name;
    const char *unit;   // "", "seconds", "bytes", "ratio"
    const char *labels; // comma-separated label names, "" for none
    const char *help;
    const double
        *bounds; // histograms: ascending upper bounds in the unit, without +Inf, at most 64
    uint32_t n_bounds;
    double scale; // counters and histogram sums: one stored unit in the metric's unit (1e-9: ns as
                  // s); 0 = 1
    bool exemplars; // histograms: each bucket remembers the trace seen in it last
};

struct metric_set; // the registry of one held slot

// A trace's id, as of traceparent (W3C Trace Context): 16 bytes, big-endian in two words, not both
// 0.
struct metric_trace {
    uint64_t high, low;
};
#define METRIC_EXEMPLAR_WORDS 4

extern const struct metric_def *const metric_damaged_def; // a row of own_metrics.def

// A registered series: index of its first value word. 0 is "not registered": writes go to a scratch
// word that nobody reads, so a full catalogue costs figures and never a request (it is counted in
// valvechain_metric_series_dropped_total, which the set registers by itself).
typedef uint32_t metric_id;

// One set a slot. A catalogue that does not parse (somebody wrote into it) begins anew.
int metric_set_open(struct slot *slot, struct metric_set **ret_set);
void metric_set_close(struct metric_set **set);
// Bounds of the latency histograms registered from now on; without it they are latency_bounds.
void metric_set_latency_buckets(struct metric_set *set, const struct buckets *buckets);
// Registers one series; registering it again gives the same id. `label_values`: as many as the
// definition has label names (NULL when none). An adopted slot finds its old series by name,
// labels, scale and bounds and goes on from its counts; with other bounds it begins anew. 0 when
// the catalogue is full or the definition is not fit for exposition. The strings are copied.
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
// The same, and the bucket remembers the trace when its definition has `exemplars`: four more
// words.
void metric_observe_traced(struct metric_set *set, metric_id id, uint64_t value,
                           const struct metric_trace *trace);

// ---- reading ------------------------------------------------------------------------------------

// Readers see counters and histograms of all slots in use, also of processes that are gone
// (counters stand), and gauges only where a live process has registered them. Everything handed out
// is a private, checked copy: what lies in the segment may be anything.
struct metric_series {
    enum metric_kind kind;
    const char *name, *unit, *help;
    const char *labels; // rendered: code="200",route="app"   ("" for none), escaped for exposition
    const double *bounds;
    uint32_t n_bounds;
    double scale;
    bool current;       // registered by the slot's present, live holder
    bool exemplars;     // histograms: metric_series_exemplar() may find some
    uint32_t created_s; // CLOCK_MONOTONIC: since when this slot counts it, from 0
    const _Atomic uint64_t
        *words; // counter, gauge: 1; histogram: n_bounds + 2 (buckets, +Inf, sum)
};
// The trace seen last in a bucket. False when there is none, or when its words were just being
// written: they carry a check sum, so that half an exemplar is none.
struct metric_exemplar {
    struct metric_trace trace;
    uint64_t value;  // in stored units
    uint32_t wall_s; // when, seconds since 1970
};
bool metric_series_exemplar(const struct metric_series *series, uint32_t bucket,
                            struct metric_exemplar *ret_exemplar);
double metric_series_value(const struct metric_series *series); // counter or gauge, in the unit
// Stored units in the metric's unit, correctly rounded where the scale is one part of a whole
// (21000000 ns are 0.021 s and not 0.021000000000000001).
double metric_scaled(uint64_t stored, double scale);

typedef void metric_each_fn(void *arg, const struct slot_info *slot,
                            const struct metric_series *series);

// All slots as they were at one moment (each by itself). For several questions at once: a reading
// costs about as much as one metric_walk.
struct metric_reading;
int metric_reading_create(const struct segment *segment, struct metric_reading **ret_reading);
void metric_reading_destroy(struct metric_reading **reading);
// Pointers live as long as the reading. Returns how many slots had a catalogue that does not parse;
// their series before the damage are handed out.
size_t metric_reading_walk(const struct metric_reading *reading, metric_each_fn *each, void *arg);
// Sum over all slots, of a METRIC_GAUGE_MAX the largest. `labels` as rendered, NULL: every series
// of the name. False when there is none (or it is a histogram).
bool metric_reading_lookup(const struct metric_reading *reading, const char *name,
                           const char *labels, double *ret_value);

// The same, of a reading made for this one question. Pointers live during the call. -EPROTO: a
// catalogue does not parse; the rest was handed out nevertheless.
int metric_walk_slot(const struct slot_info *slot, metric_each_fn *each, void *arg);
int metric_walk(const struct segment *segment, metric_each_fn *each, void *arg);
bool metric_lookup(const struct segment *segment, const char *name, const char *labels,
                   double *ret_value);

#endif
