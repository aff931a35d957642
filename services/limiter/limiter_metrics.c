#include "limiter_metrics.h"

#define METRIC_ROWS "metrics.def"
const struct metric_def limiter_metric_defs[LIMITER_METRICS] = {
#include "metric/metric_table.inc"
};
#undef METRIC_ROWS
