// Prints an exposition of every kind of series, from two live processes' slots and a dead one's:
// what test_exposition.py has promtool read. Argument: text or openmetrics.
#include <stdio.h>
#include <string.h>

#include "metric/exposition.h"

static const double bounds[] = {0.005, 0.1, 2.5};
static const struct metric_def defs[] = {
    {.kind = METRIC_COUNTER,
     .name = "valvechain_sample_requests_total",
     .unit = "",
     .labels = "route,code",
     .help = "Requests with a \\ and a\nsecond line in the help"},
    {.kind = METRIC_COUNTER,
     .name = "valvechain_sample_cpu_seconds_total",
     .unit = "seconds",
     .labels = "",
     .help = "CPU time",
     .scale = 1e-9},
    {.kind = METRIC_GAUGE,
     .name = "valvechain_sample_connections",
     .unit = "",
     .labels = "",
     .help = "Open connections"},
    {.kind = METRIC_GAUGE_MAX,
     .name = "valvechain_sample_lag_seconds",
     .unit = "seconds",
     .labels = "",
     .help = "The worst lag"},
    {.kind = METRIC_HISTOGRAM,
     .name = "valvechain_sample_latency_seconds",
     .unit = "seconds",
     .labels = "route",
     .help = "Latency",
     .bounds = bounds,
     .n_bounds = 3,
     .scale = 1e-9,
     .exemplars = true},
};

static int fill(struct segment *segment, const char *instance, struct slot **ret_slot)
{
    static const char *const labels[] = {"/a\"b\\c\n\xc3\xa4", "200"};
    const struct metric_trace trace = {0x0af7651916cd43dd, 0x8448eb211c80319c};
    struct slot *slot = NULL;
    struct metric_set *set = NULL;
    if (slot_acquire(segment, "sample", instance, &slot) < 0 || metric_set_open(slot, &set) < 0)
        return -1;
    for (size_t i = 0; i < sizeof(defs) / sizeof(defs[0]); i++) {
        metric_id id = metric_register(set, &defs[i], labels);
        if (id == 0)
            return -1;
        if (metric_is_gauge(defs[i].kind))
            metric_gauge(set, id, 0.1 * (double)strlen(instance));
        else if (defs[i].kind == METRIC_HISTOGRAM)
            metric_observe_traced(set, id, 7000000, &trace);
        else
            metric_add(set, id, 3);
    }
    metric_set_close(&set);
    *ret_slot = slot; // alive until it is released
    return 0;
}

int main(int argc, char **argv)
{
    char reason[SEGMENT_REASON_MAX];
    const struct segment_section_spec specs[] = {slot_section_spec(), slot_values_section_spec()};
    const struct segment_options options = {.dir = "/nonexistent",
                                            .name = "sample",
                                            .sections = specs,
                                            .n_sections = 2,
                                            .allow_private = true};
    struct segment *segment = NULL;
    struct strbuf out = STRBUF_INIT;
    if (argc != 2 || segment_open(&options, reason, &segment) < 0)
        return 2;
    static const char *const instances[] = {"1", "22", "333"};
    struct slot *slots[3];
    for (int i = 0; i < 3; i++) {
        if (fill(segment, instances[i], &slots[i]) < 0)
            return 2;
    }
    slot_release(&slots[2]);
    enum exposition_form form =
        strcmp(argv[1], "text") == 0 ? EXPOSITION_TEXT : EXPOSITION_OPENMETRICS;
    if (exposition_write(segment, form, NULL, 0, &out) < 0)
        return 2;
    fputs(strbuf_text(&out), stdout);
    strbuf_fini(&out);
    slot_release(&slots[0]);
    slot_release(&slots[1]);
    segment_close(&segment);
    return 0;
}
