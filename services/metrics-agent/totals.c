#include "totals.h"

#include <string.h>

// The duration histogram and the request counter both carry the route as their first label.
static bool is_system(const struct metric_series *series)
{
    return strstr(series->labels, "route=\"system\"") != NULL;
}

static uint64_t word(const struct metric_series *series, uint32_t index)
{
    return atomic_load_explicit(&series->words[index], memory_order_relaxed);
}

static void add_series(void *arg, const struct slot_info *slot, const struct metric_series *series)
{
    struct totals *totals = arg;
    const char *name = series->name;
    if (strcmp(name, "valvechain_http_requests_total") == 0) {
        totals->requests_all += word(series, 0);
        if (!is_system(series))
            totals->requests += word(series, 0);
    } else if (strcmp(name, "valvechain_http_request_duration_seconds") == 0 &&
               series->kind == METRIC_HISTOGRAM) {
        if (!is_system(series))
            totals->durations_ns += word(series, series->n_bounds + 1);
    } else if (strcmp(name, "valvechain_rate_limit_hits_total") == 0) {
        totals->refusals += word(series, 0);
    } else if (strcmp(name, "valvechain_active_connections") == 0 && slot->alive) {
        totals->active_connections += metric_series_value(series);
    } else if (strcmp(name, "valvechain_process_resident_memory_bytes") == 0 && slot->alive) {
        totals->resident_bytes += metric_series_value(series);
    }
}

static void count_process(struct totals *totals, const char *name)
{
    totals->fronts += strcmp(name, "api-front") == 0;
    totals->limiters += strcmp(name, "limiter") == 0;
    totals->breakers += strcmp(name, "breaker") == 0;
    totals->agents += strcmp(name, "metrics-agent") == 0;
    totals->advisors += strcmp(name, "scaler-advisor") == 0;
}

void totals_read(const struct segment *segment, const struct metric_reading *reading,
                 struct totals *ret_totals)
{
    struct slot_info slot;
    *ret_totals = (struct totals){0};
    metric_reading_walk(reading, add_series, ret_totals);
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        if (slot_read(segment, i, &slot) && slot.alive)
            count_process(ret_totals, slot.name);
    }
}
