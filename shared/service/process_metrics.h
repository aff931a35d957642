// The metrics that every process has, by shared/service/metrics.def.
#ifndef VALVECHAIN_SERVICE_PROCESS_METRICS_H
#define VALVECHAIN_SERVICE_PROCESS_METRICS_H

#include "service/service.h"

struct process_metrics;

// The rows, for --describe and for tools.
const struct metric_def *process_metric_defs(size_t *ret_n);
int process_metrics_open(const struct service *service, struct process_metrics **ret_metrics);
void process_metrics_close(struct process_metrics **metrics);
// Reads the process's figures (/proc/self, bus, log) anew; once a second.
void process_metrics_refresh(struct process_metrics *metrics, const struct service *service);
void process_metrics_reloaded(struct process_metrics *metrics, const struct service *service,
                              bool ok);

#endif
