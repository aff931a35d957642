// What /metrics shows: the series of all processes, and what belongs to none of them: the breakers'
// figures (breaker_metrics.def) and those of segment and processes (suite_metrics.def).
// Thread: the view's.
#ifndef VALVECHAIN_SERVICE_SUITE_METRICS_H
#define VALVECHAIN_SERVICE_SUITE_METRICS_H

#include "breaker/breaker.h"
#include "metric/exposition.h"

// Appends to `out`. -ENOMEM (then `out` holds a part).
int suite_metrics_write(const struct segment *segment, struct breaker_view *view,
                        enum exposition_form form, uint64_t now_ns, struct strbuf *out);

#endif
