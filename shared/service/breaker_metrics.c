#include "service/breaker_metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
#define METRIC_ROWS "service/breaker_metrics.def"
#include "metric/metric_enum.inc"
    N_METRICS
};
static const struct metric_def defs[N_METRICS] = {
#include "metric/metric_table.inc"
#undef METRIC_ROWS
};

// Each series of one breaker: its metric, the second label, and where its value stands. The states
// are the first ones: 1 for the state it is in.
static const struct {
    int def;
    const char *label, *value;
    size_t offset, n_bytes;
} rows[BREAKER_METRICS_OF_EACH] = {
    {METRIC_INDEX_state, "state", "CLOSED", 0, 0},
    {METRIC_INDEX_state, "state", "OPEN", 0, 0},
    {METRIC_INDEX_state, "state", "HALF-OPEN", 0, 0},
    {METRIC_INDEX_state, "state", "FORCED-OPEN", 0, 0},
    {METRIC_INDEX_state, "state", "FORCED-CLOSED", 0, 0},
    {METRIC_INDEX_state, "state", "DISABLED", 0, 0},
    {METRIC_INDEX_state, "state", "OBSERVE-ONLY", 0, 0},
#define SERIES(field_, label_, value_, member_)                                                    \
    {                                                                                              \
        METRIC_INDEX_##field_, label_, value_, offsetof(struct breaker_status, member_),           \
            sizeof(((struct breaker_status *)NULL)->member_)                                       \
    }
    SERIES(in_flight, NULL, NULL, in_flight),
    SERIES(probes_out, NULL, NULL, probes_out),
    SERIES(capacity, NULL, NULL, capacity),
    SERIES(failures, NULL, NULL, total_failures), // and the timeouts
    SERIES(calls, "outcome", "success", total_successes),
    SERIES(calls, "outcome", "failure", total_failures),
    SERIES(calls, "outcome", "timeout", total_timeouts),
    SERIES(calls, "outcome", "ignored", total_ignored),
    SERIES(slow, NULL, NULL, total_slow),
    SERIES(probes, NULL, NULL, total_probes),
    SERIES(refusals, "reason", "open", total_refused_open),
    SERIES(refusals, "reason", "capacity", total_refused_capacity),
    SERIES(refusals, "reason", "ramp", total_refused_ramp),
    SERIES(refusals, "reason", "forced", total_refused_forced),
    SERIES(opens, NULL, NULL, total_opens),
#undef SERIES
};

static uint64_t value_of(const struct breaker_status *status, int i)
{
    uint32_t small = 0;
    uint64_t value = 0;
    if (i < BREAKER_STATES)
        return !status->retired && (int)status->state == i;
    if (status->retired && metric_is_gauge(defs[rows[i].def].kind))
        return 0;
    if (rows[i].n_bytes == sizeof(small)) {
        memcpy(&small, (const char *)status + rows[i].offset, sizeof(small));
        return small;
    }
    memcpy(&value, (const char *)status + rows[i].offset, sizeof(value));
    return rows[i].def == METRIC_INDEX_failures ? value + status->total_timeouts : value;
}

static void render(const struct breaker_status *status, int i, struct exposition_series *ret_series)
{
    ret_series->def = &defs[rows[i].def];
    ret_series->value = value_of(status, i);
    if (rows[i].label != NULL)
        snprintf(ret_series->labels, sizeof(ret_series->labels), "breaker=\"%s\",%s=\"%s\"",
                 status->name, rows[i].label, rows[i].value);
    else
        snprintf(ret_series->labels, sizeof(ret_series->labels), "breaker=\"%s\"", status->name);
}

int breaker_metrics_read(const struct segment *segment, struct breaker_view *view, uint64_t now_ns,
                         struct exposition_series *series, size_t *ret_n)
{
    struct breaker_status *statuses = calloc(BREAKER_MAX, sizeof(*statuses));
    uint32_t n = 0;
    if (statuses == NULL)
        return -ENOMEM;
    while (n < BREAKER_MAX && breaker_status_of_any(view, n, now_ns, &statuses[n]) == 0)
        n++;
    size_t n_all = 0;
    for (int i = 0; i < BREAKER_METRICS_OF_EACH; i++) // those of one metric together
        for (uint32_t at = 0; at < n; at++) {
            series[n_all] = (struct exposition_series){0};
            series[n_all].created_wall_ns = segment_created_wall_ns(segment);
            render(&statuses[at], i, &series[n_all++]);
        }
    free(statuses);
    *ret_n = n_all;
    return 0;
}
