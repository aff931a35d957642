// The breaker process's own metrics (metrics.def).
#ifndef VALVECHAIN_BREAKER_BREAKER_METRICS_H
#define VALVECHAIN_BREAKER_BREAKER_METRICS_H

#include "metric/metric.h"

enum {
#define METRIC_ROWS "metrics.def"
#include "metric/metric_enum.inc"
#undef METRIC_ROWS
    BREAKER_METRICS
};
extern const struct metric_def breaker_metric_defs[BREAKER_METRICS];

#endif
