#include "front_metrics.h"

// From 1 ms, where a gateway on the same host is, to the 10 s of the slowest default timeout.
static const double latency_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                        0.25,  0.5,    1,     2.5,  5,     10};

const struct metric_def front_metric_defs[FRONT_METRICS] = {
#define METRIC_ROWS "metrics.def"
#include "metric/metric_table.inc"
#undef METRIC_ROWS
};
