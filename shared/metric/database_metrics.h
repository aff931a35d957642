// The database's two metrics, which more than one process has a part in. Thread: the set's.
#ifndef VALVECHAIN_METRIC_DATABASE_METRICS_H
#define VALVECHAIN_METRIC_DATABASE_METRICS_H

#include "metric/metric.h"

#define DATABASE_BREAKER "database" // the breaker and the upstream that are the database's

struct database_metrics {
    struct metric_set *set;
    metric_id connections, latency;
};

struct database_metrics database_metrics_open(struct metric_set *set);
void database_metrics_connections(const struct database_metrics *metrics, uint64_t n);
void database_metrics_observe(const struct database_metrics *metrics, uint64_t duration_ns);

#endif
