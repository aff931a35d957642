// What /metrics shows: the series of all processes, and the breakers' figures from the segment
// (breaker_metrics.def), which belong to no process. Thread: the view's.
#ifndef VALVECHAIN_SERVICE_BREAKER_METRICS_H
#define VALVECHAIN_SERVICE_BREAKER_METRICS_H

#include "breaker/breaker.h"
#include "metric/exposition.h"

// Appends to `out`, in the text format 0.0.4. -ENOMEM (then `out` holds a part).
int breaker_metrics_write(const struct segment *segment, struct breaker_view *view, uint64_t now_ns,
                          struct strbuf *out);

#endif
