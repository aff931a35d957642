// What measuring costs: nanoseconds of one count, of one observation, and of one scrape of 1 000
// series over four processes' slots. Prints name, value and unit, a line each.
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "metric/exposition.h"
#include "metric/metric.h"

#define N_SLOTS   4
#define N_SERIES  250 // of each slot, all different: 1 000 to read and to show
#define N_ADDS    20000000ULL
#define N_SCRAPES 200

static const double bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5};
static const struct metric_def requests = {.kind = METRIC_COUNTER,
                                           .name = "valvechain_bench_requests_total",
                                           .unit = "",
                                           .labels = "route,code",
                                           .help = "Requests by route and class of the status"};
static const struct metric_def latency = {.kind = METRIC_HISTOGRAM,
                                          .name = "valvechain_bench_latency_seconds",
                                          .unit = "seconds",
                                          .labels = "",
                                          .help = "Latency",
                                          .bounds = bounds,
                                          .n_bounds = 12,
                                          .scale = 1e-9};

static void require(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "bench_exposition: %s\n", what);
        exit(1);
    }
}

static struct segment *make_segment(void)
{
    char reason[SEGMENT_REASON_MAX] = "";
    const struct segment_section_spec specs[] = {slot_section_spec(), slot_values_section_spec()};
    const struct segment_options options = {.dir = "/nonexistent",
                                            .name = "bench",
                                            .sections = specs,
                                            .n_sections = 2,
                                            .allow_private = true};
    struct segment *segment = NULL;
    require(segment_open(&options, reason, &segment) == 0, reason);
    return segment;
}

static struct metric_set *fill_slot(struct segment *segment, unsigned instance,
                                    struct slot **ret_slot)
{
    char text[8], code[8];
    const char *const labels[] = {"application", code};
    struct slot *slot = NULL;
    struct metric_set *set = NULL;
    snprintf(text, sizeof(text), "%u", instance);
    require(slot_acquire(segment, "bench", text, &slot) == 0, "no slot");
    require(metric_set_open(slot, &set) == 0, "no metric set");
    for (unsigned i = 0; i < N_SERIES; i++) {
        snprintf(code, sizeof(code), "%u", instance * N_SERIES + i);
        metric_id id = metric_register(set, &requests, labels);
        require(id != 0, "no room for the series");
        metric_add(set, id, i * 1000003ULL);
    }
    *ret_slot = slot;
    return set;
}

static void bench_writes(struct metric_set *set)
{
    const char *const labels[] = {"application", "0"};
    metric_id counter = metric_register(set, &requests, labels);
    metric_id histogram = metric_register(set, &latency, NULL);
    require(counter && histogram, "no room");
    uint64_t begin_ns = clock_mono_ns();
    for (uint64_t i = 0; i < N_ADDS; i++)
        metric_add(set, counter, 1);
    uint64_t added_ns = clock_mono_ns();
    for (uint64_t i = 0; i < N_ADDS; i++)
        metric_observe(set, histogram, (i * 7919) & 0xffffff);
    uint64_t end_ns = clock_mono_ns();
    printf("metric_add %.2f ns\n", (double)(added_ns - begin_ns) / (double)N_ADDS);
    printf("metric_observe_12_bounds %.2f ns\n", (double)(end_ns - added_ns) / (double)N_ADDS);
}

static void bench_scrapes(const struct segment *segment)
{
    struct strbuf out = STRBUF_INIT;
    uint64_t best_ns = UINT64_MAX, begin_ns = clock_mono_ns();
    for (int i = 0; i < N_SCRAPES; i++) {
        uint64_t one_ns = clock_mono_ns();
        strbuf_clear(&out);
        require(exposition_write(segment, EXPOSITION_TEXT, NULL, 0, &out) == 0, "no memory");
        one_ns = clock_mono_ns() - one_ns;
        best_ns = one_ns < best_ns ? one_ns : best_ns;
    }
    printf("scrape_1000_series_mean %.0f ns\n", (double)(clock_mono_ns() - begin_ns) / N_SCRAPES);
    printf("scrape_1000_series_best %.0f ns\n", (double)best_ns);
    printf("scrape_bytes %zu B\n", out.len);
    strbuf_fini(&out);
}

int main(void)
{
    struct segment *segment = make_segment();
    struct metric_set *sets[N_SLOTS];
    struct slot *slots[N_SLOTS];
    for (unsigned i = 0; i < N_SLOTS; i++)
        sets[i] = fill_slot(segment, i, &slots[i]);
    bench_scrapes(segment);
    bench_writes(sets[0]);
    for (unsigned i = 0; i < N_SLOTS; i++) {
        metric_set_close(&sets[i]);
        slot_release(&slots[i]);
    }
    segment_close(&segment);
    return 0;
}
