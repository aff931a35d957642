#include "metric/database_metrics.h"

#include "metric/latency.h"

enum {
#define METRIC_ROWS "metric/database_metrics.def"
#include "metric/metric_enum.inc"
    N_METRICS
};
static const struct metric_def defs[N_METRICS] = {
#include "metric/metric_table.inc"
#undef METRIC_ROWS
};

struct database_metrics database_metrics_open(struct metric_set *set)
{
    return (struct database_metrics){
        .set = set,
        .connections = metric_register(set, &defs[METRIC_INDEX_connections], NULL),
        .latency = metric_register(set, &defs[METRIC_INDEX_latency], NULL)};
}

void database_metrics_connections(const struct database_metrics *metrics, uint64_t n)
{
    metric_gauge(metrics->set, metrics->connections, (double)n);
}

void database_metrics_observe(const struct database_metrics *metrics, uint64_t duration_ns)
{
    metric_observe(metrics->set, metrics->latency, duration_ns);
}
