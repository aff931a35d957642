// Bounds of every latency histogram, so that the same metric of several processes adds up. A
// definition names latency_bounds; a set that was given others (metric_set_latency_buckets)
// registers it with those.
#ifndef VALVECHAIN_METRIC_LATENCY_H
#define VALVECHAIN_METRIC_LATENCY_H

#include "base/buckets.h"

#define LATENCY_N_BOUNDS (sizeof((const double[]){BUCKETS_LATENCY_S}) / sizeof(double))
extern const double latency_bounds[LATENCY_N_BOUNDS];

#endif
