#include "service/process_metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum {
#define METRIC_ROWS "service/metrics.def"
#include "metric/metric_enum.inc"
    N_METRICS
};
static const struct metric_def defs[] = {
#include "metric/metric_table.inc"
};

struct process_metrics {
    metric_id ids[N_METRICS];
    metric_id reloads_refused;
    uint64_t last[N_METRICS]; // absolute readings of this process; its counters grow by differences
};

const struct metric_def *process_metric_defs(size_t *ret_n)
{
    *ret_n = N_METRICS;
    return defs;
}

int process_metrics_open(const struct service *service, struct process_metrics **ret_metrics)
{
    struct process_metrics *metrics = calloc(1, sizeof(*metrics));
    const char *instance = service->suite->instance;
    const char *labels[] = {service->name, instance, NULL};

    if (!metrics)
        return -ENOMEM;
    for (int i = 0; i < N_METRICS; i++) {
        labels[2] = i == METRIC_INDEX_build_info ? VALVECHAIN_VERSION : "ok";
        metrics->ids[i] = metric_register(service->metrics, &defs[i], labels);
    }
    labels[2] = "refused";
    metrics->reloads_refused =
        metric_register(service->metrics, &defs[METRIC_INDEX_reloads], labels);
    metric_gauge(service->metrics, metrics->ids[METRIC_INDEX_build_info], 1);
    metric_gauge(service->metrics, metrics->ids[METRIC_INDEX_start_time],
                 (double)clock_wall_ns() / (double)NS_PER_S);
    if (slot_was_adopted(service->slot))
        metric_add(service->metrics, metrics->ids[METRIC_INDEX_restarts], 1);
    *ret_metrics = metrics;
    return 0;
}

void process_metrics_close(struct process_metrics **metrics)
{
    free(*metrics);
    *metrics = NULL;
}

// proc(5): the second number of statm is the resident set in pages.
static uint64_t resident_bytes(void)
{
    unsigned long pages = 0;
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    if (sscanf(text, "%*u %lu", &pages) != 1)
        return 0;
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void advance(struct process_metrics *metrics, const struct service *service, int index,
                    uint64_t reading)
{
    metric_add(service->metrics, metrics->ids[index], reading - metrics->last[index]);
    metrics->last[index] = reading;
}

void process_metrics_refresh(struct process_metrics *metrics, const struct service *service)
{
    const struct bus_counters *bus = bus_counters(service->bus);

    advance(metrics, service, METRIC_INDEX_cpu, clock_read_ns(CLOCK_PROCESS_CPUTIME_ID));
    metric_gauge(service->metrics, metrics->ids[METRIC_INDEX_memory], (double)resident_bytes());
    advance(metrics, service, METRIC_INDEX_published, bus->published);
    advance(metrics, service, METRIC_INDEX_dropped, bus->dropped);
    advance(metrics, service, METRIC_INDEX_received, bus->received);
    advance(metrics, service, METRIC_INDEX_malformed, bus->malformed);
    advance(metrics, service, METRIC_INDEX_served, bus->requests_served);
    advance(metrics, service, METRIC_INDEX_log_lost, log_lost_lines());
}

void process_metrics_reloaded(struct process_metrics *metrics, const struct service *service,
                              bool ok)
{
    metric_add(service->metrics, ok ? metrics->ids[METRIC_INDEX_reloads] : metrics->reloads_refused,
               1);
}
