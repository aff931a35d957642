#include "front_metrics.h"

#include "metric/latency.h"

const struct metric_def front_metric_defs[FRONT_METRICS] = {
#define METRIC_ROWS "metrics.def"
#include "metric/metric_table.inc"
#undef METRIC_ROWS
};
