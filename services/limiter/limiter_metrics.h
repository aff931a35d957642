// The metrics of limiter (metrics.def): METRIC_INDEX_x indexes limiter_metric_defs.
#ifndef VALVECHAIN_LIMITER_METRICS_H
#define VALVECHAIN_LIMITER_METRICS_H

#include "metric/metric.h"

enum limiter_metric {
#define METRIC_ROWS "metrics.def"
#include "metric/metric_enum.inc"
#undef METRIC_ROWS
    LIMITER_METRICS,
};

extern const struct metric_def limiter_metric_defs[LIMITER_METRICS];

#endif
