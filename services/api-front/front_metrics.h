// The metrics of api-front (metrics.def): METRIC_INDEX_x indexes front_metric_defs.
#ifndef VALVECHAIN_API_FRONT_FRONT_METRICS_H
#define VALVECHAIN_API_FRONT_FRONT_METRICS_H

#include "metric/metric.h"

enum front_metric {
#define METRIC_ROWS "metrics.def"
#include "metric/metric_enum.inc"
#undef METRIC_ROWS
    FRONT_METRICS,
};

extern const struct metric_def front_metric_defs[FRONT_METRICS];

#endif
