// What goes into the history each second: rates from the growth of the counters that the processes
// publish, gauges as they are. A counter that went down (its slot was given away) makes that one
// second unknown, not negative. No clock is read here. Thread: one.
#ifndef VALVECHAIN_METRICS_AGENT_FEED_H
#define VALVECHAIN_METRICS_AGENT_FEED_H

#include "breaker/breaker.h"
#include "history/history.h"
#include "metric/metric.h"

struct feed;

int feed_create(struct feed **ret_feed); // -ENOMEM
void feed_destroy(struct feed **feed);

struct feed_given { // what the caller has measured anyway; NaN: not known
    double cpu_percent, memory_percent, resident_bytes, connections, instances;
    bool counts; // METRICS_COLLECTION: do the counters of requests say anything?
};

// Values of the time since the last call, for history_write; keys get their places. All are NaN
// that need two calls, when this is the first one. Returns how many keys found no place.
uint32_t feed_read(struct feed *feed, const struct segment *segment,
                   const struct metric_reading *reading, struct breaker_view *breakers,
                   const struct feed_given *given, uint64_t now_ns, uint64_t now_s,
                   struct history *history, float ret_values[HISTORY_PLACES]);

// Pure: the quantile of observations counted in buckets between ascending bounds (the last bucket
// has none), linear within a bucket; NaN of none. Beyond the last bound: the last bound.
double feed_quantile(const double *bounds, const uint64_t *counts, uint32_t n_bounds, double q);

#endif
