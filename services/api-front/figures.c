#include "figures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "metric/metric.h"

struct reading {
    struct figures *figures;
    bool rate, cpu, memory; // valvechain_measured
};

static void take(const struct metric_series *series, const char *name, struct figure *figure)
{
    if (strcmp(series->name, name) != 0)
        return;
    figure->value = metric_series_value(series);
    figure->known = true; // for now: figures_read judges by valvechain_measured
}

static void take_agent_series(struct reading *reading, const struct metric_series *series)
{
    struct figures *figures = reading->figures;
    take(series, "valvechain_requests_per_second", &figures->requests_per_second);
    take(series, "valvechain_average_response_time_ms", &figures->average_response_time_ms);
    take(series, "valvechain_host_cpu_usage_percent", &figures->cpu_percent);
    take(series, "valvechain_host_memory_usage_percent", &figures->memory_percent);
    take(series, "valvechain_memory_used_bytes", &figures->memory_used_bytes);
    take(series, "valvechain_memory_limit_bytes", &figures->memory_limit_bytes);
    if (strcmp(series->name, "valvechain_measured") == 0 && metric_series_value(series) > 0) {
        reading->rate |= strcmp(series->labels, "figure=\"rate\"") == 0;
        reading->cpu |= strcmp(series->labels, "figure=\"cpu\"") == 0;
        reading->memory |= strcmp(series->labels, "figure=\"memory\"") == 0;
    }
}

static void each(void *arg, const struct slot_info *slot, const struct metric_series *series)
{
    struct reading *reading = arg;
    struct figures *figures = reading->figures;
    if (slot->alive && strcmp(slot->name, "metrics-agent") == 0) {
        figures->agent_alive = true;
        take_agent_series(reading, series);
    } else if (strcmp(series->name, "valvechain_http_requests_total") == 0) {
        if (strstr(series->labels, "route=\"system\"") == NULL)
            figures->requests += metric_series_value(series);
    } else if (slot->alive && strcmp(series->name, "valvechain_active_connections") == 0) {
        figures->active_connections += metric_series_value(series);
    }
}

void figures_read(const struct segment *segment, struct figures *ret_figures)
{
    *ret_figures = (struct figures){0};
    struct reading reading = {.figures = ret_figures};
    (void)metric_walk(segment, each, &reading);
    ret_figures->requests_per_second.known &= reading.rate;
    ret_figures->average_response_time_ms.known &=
        reading.rate && !isnan(ret_figures->average_response_time_ms.value); // nothing was answered
    ret_figures->cpu_percent.known &= reading.cpu;
    ret_figures->memory_percent.known &= reading.memory;
    ret_figures->memory_used_bytes.known &= reading.memory;
    ret_figures->memory_limit_bytes.known &=
        reading.memory && ret_figures->memory_limit_bytes.value > 0;
}

struct policy_sums {
    const char *const *policies;
    size_t n;
    double *sums;
};

static void add_hits(void *arg, const struct slot_info *slot, const struct metric_series *series)
{
    (void)slot; // counters of processes that are gone stand
    struct policy_sums *sums = arg;
    if (strcmp(series->name, "valvechain_rate_limit_hits_total") != 0)
        return;
    for (size_t i = 0; i < sums->n; i++) {
        char label[64];
        (void)snprintf(label, sizeof(label), "policy=\"%s\"", sums->policies[i]);
        if (strstr(series->labels, label) != NULL)
            sums->sums[i] += metric_series_value(series);
    }
}

void figures_policy_hits(const struct segment *segment, const char *const *policies, size_t n,
                         double *ret_hits)
{
    struct policy_sums sums = {.policies = policies, .n = n, .sums = ret_hits};
    memset(ret_hits, 0, n * sizeof(*ret_hits));
    (void)metric_walk(segment, add_hits, &sums);
}
