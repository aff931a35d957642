#include "breaker_metrics.h"

const struct metric_def breaker_metric_defs[BREAKER_METRICS] = {
#define METRIC_ROWS "metrics.def"
#include "metric/metric_table.inc"
#undef METRIC_ROWS
};
