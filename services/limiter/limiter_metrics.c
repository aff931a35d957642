#include "limiter_metrics.h"

// From a loopback round trip to the longest REDIS_TIMEOUT that makes sense.
static const double redis_bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                      0.025,  0.05,    0.1,    0.25,  0.5,    1};

#define METRIC_ROWS "metrics.def"
const struct metric_def limiter_metric_defs[LIMITER_METRICS] = {
#include "metric/metric_table.inc"
};
#undef METRIC_ROWS
