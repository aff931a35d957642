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
enum { N_SERIES = BREAKER_STATES + 15 };
static const struct {
    int def;
    const char *label, *value;
    size_t offset, n_bytes;
} series[N_SERIES] = {
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
    if (status->retired && metric_is_gauge(defs[series[i].def].kind))
        return 0;
    if (series[i].n_bytes == sizeof(small)) {
        memcpy(&small, (const char *)status + series[i].offset, sizeof(small));
        return small;
    }
    memcpy(&value, (const char *)status + series[i].offset, sizeof(value));
    return series[i].def == METRIC_INDEX_failures ? value + status->total_timeouts : value;
}

static void render(const struct breaker_status *status, int i, struct exposition_series *ret_series)
{
    ret_series->def = &defs[series[i].def];
    ret_series->value = value_of(status, i);
    if (series[i].label != NULL)
        snprintf(ret_series->labels, sizeof(ret_series->labels), "breaker=\"%s\",%s=\"%s\"",
                 status->name, series[i].label, series[i].value);
    else
        snprintf(ret_series->labels, sizeof(ret_series->labels), "breaker=\"%s\"", status->name);
}

int breaker_metrics_write(const struct segment *segment, struct breaker_view *view, uint64_t now_ns,
                          struct strbuf *out)
{
    struct breaker_status *statuses = calloc(BREAKER_MAX, sizeof(*statuses));
    struct exposition_series *all = calloc((size_t)BREAKER_MAX * N_SERIES, sizeof(*all));
    uint32_t n = 0;
    size_t n_all = 0;
    int rc = statuses != NULL && all != NULL ? 0 : -ENOMEM;
    if (rc == 0) {
        while (n < BREAKER_MAX && breaker_status_of_any(view, n, now_ns, &statuses[n]) == 0)
            n++;
        for (int i = 0; i < N_SERIES; i++) // those of one metric together
            for (uint32_t at = 0; at < n; at++)
                render(&statuses[at], i, &all[n_all++]);
        rc = exposition_write(segment, all, n_all, out);
    }
    free(statuses);
    free(all);
    return rc;
}
