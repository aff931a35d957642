// The breakers' figures from the segment (breaker_metrics.def), which belong to no process.
// Thread: the view's.
#ifndef VALVECHAIN_SERVICE_BREAKER_METRICS_H
#define VALVECHAIN_SERVICE_BREAKER_METRICS_H

#include "breaker/breaker.h"
#include "metric/exposition.h"

#define BREAKER_METRICS_OF_EACH (BREAKER_STATES + 15)
#define BREAKER_METRICS_MAX     ((size_t)BREAKER_MAX * BREAKER_METRICS_OF_EACH)

// Fills at most BREAKER_METRICS_MAX series. -ENOMEM.
int breaker_metrics_read(const struct segment *segment, struct breaker_view *view, uint64_t now_ns,
                         struct exposition_series *series, size_t *ret_n);

#endif
