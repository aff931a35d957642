#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "metric/latency.h"
#include "metric_fixture.h"

TestSuite(exposition, .init = fixture_setup, .fini = fixture_teardown);

static const double seconds[] = {0.005, 1};
static const struct metric_def latency = {.kind = METRIC_HISTOGRAM,
                                          .name = "valvechain_latency_seconds",
                                          .unit = "seconds",
                                          .labels = "route",
                                          .help = "Latency",
                                          .bounds = seconds,
                                          .n_bounds = 2,
                                          .scale = 1e-9};
static const struct metric_def requests = {.kind = METRIC_COUNTER,
                                           .name = "valvechain_requests_total",
                                           .unit = "",
                                           .labels = "code",
                                           .help = "Back\\slash\nand \"quotes\""};
static const struct metric_def connections = {.kind = METRIC_GAUGE,
                                              .name = "valvechain_connections",
                                              .unit = "",
                                              .labels = "",
                                              .help = "Connections"};
static const char *const app[] = {"app"};
static const char *const ok[] = {"200"};

static void expect_text(const char *expected)
{
    struct strbuf out = STRBUF_INIT;
    cr_assert_eq(exposition_write(segment, EXPOSITION_TEXT, NULL, 0, &out), 0);
    cr_assert_str_eq(strbuf_text(&out), expected);
    strbuf_fini(&out);
}

static struct slot *count_one(const char *instance)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", instance, &slot);
    metric_add(set, metric_register(set, &requests, ok), 2);
    metric_gauge(set, metric_register(set, &connections, NULL), 1.5);
    metric_id id = metric_register(set, &latency, app);
    metric_observe(set, id, 4000000);
    metric_observe(set, id, 2000000000);
    metric_set_close(&set); // still alive: the slot is held
    return slot;
}

Test(exposition, groups_and_adds_up)
{
    struct slot *one = count_one("1"), *two = count_one("2");
    expect_text(
        "# HELP valvechain_metric_series_dropped_total Series that found no room in their "
        "process's "
        "catalogue or values and are not counted\n"
        "# TYPE valvechain_metric_series_dropped_total counter\n"
        "valvechain_metric_series_dropped_total 0\n"
        "# HELP valvechain_requests_total Back\\\\slash\\nand \"quotes\"\n"
        "# TYPE valvechain_requests_total counter\n"
        "valvechain_requests_total{code=\"200\"} 4\n"
        "# HELP valvechain_connections Connections\n"
        "# TYPE valvechain_connections gauge\n"
        "valvechain_connections 3\n"
        "# HELP valvechain_latency_seconds Latency\n"
        "# TYPE valvechain_latency_seconds histogram\n"
        "valvechain_latency_seconds_bucket{route=\"app\",le=\"0.005\"} 2\n"
        "valvechain_latency_seconds_bucket{route=\"app\",le=\"1.0\"} 2\n"
        "valvechain_latency_seconds_bucket{route=\"app\",le=\"+Inf\"} 4\n"
        "valvechain_latency_seconds_sum{route=\"app\"} 4.008\n"
        "valvechain_latency_seconds_count{route=\"app\"} 4\n"
        "# HELP valvechain_segment_damaged_catalogues Process slots whose description of their "
        "metrics does not parse: somebody else writes into the segment\n"
        "# TYPE valvechain_segment_damaged_catalogues gauge\n"
        "valvechain_segment_damaged_catalogues 0\n");
    slot_release(&one);
    slot_release(&two);
}

Test(exposition, openmetrics_names_families_and_ends)
{
    struct slot *one = count_one("1");
    struct strbuf out = STRBUF_INIT;
    cr_assert_eq(exposition_write(segment, EXPOSITION_OPENMETRICS, NULL, 0, &out), 0);
    const char *text = strbuf_text(&out);
    cr_assert_not_null(strstr(text, "# TYPE valvechain_requests counter\n# HELP "));
    cr_assert_not_null(strstr(text, "and \\\"quotes\\\"\n"));
    cr_assert_not_null(strstr(text, "\nvalvechain_requests_total{code=\"200\"} 2\n"
                                    "valvechain_requests_created{code=\"200\"} "));
    cr_assert_not_null(strstr(text, "# TYPE valvechain_latency_seconds histogram\n"
                                    "# UNIT valvechain_latency_seconds seconds\n"
                                    "# HELP valvechain_latency_seconds "));
    cr_assert_str_eq(text + strlen(text) - 6, "# EOF\n");
    strbuf_fini(&out);
    slot_release(&one);
}

Test(exposition, present_bounds_win_over_the_predecessors)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    metric_observe(set, metric_register(set, &latency, app), 1);
    stop(&set, &slot);
    static const double other[] = {0.5};
    struct metric_def changed = latency;
    changed.bounds = other;
    changed.n_bounds = 1;
    set = start("api-front", "1", &slot);
    metric_observe(set, metric_register(set, &changed, app), 1);
    struct strbuf out = STRBUF_INIT;
    cr_assert_eq(exposition_write(segment, EXPOSITION_TEXT, NULL, 0, &out), 0);
    cr_assert_not_null(strstr(strbuf_text(&out), "histogram\n"
                                                 "valvechain_latency_seconds_bucket{route=\"app\","
                                                 "le=\"0.5\"} 1\n"));
    cr_assert_null(strstr(strbuf_text(&out), "le=\"0.005\""));
    strbuf_fini(&out);
    stop(&set, &slot);
}

Test(exposition, large_counts_are_exact)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    metric_add(set, metric_register(set, &requests, ok), UINT64_MAX);
    struct strbuf out = STRBUF_INIT;
    cr_assert_eq(exposition_write(segment, EXPOSITION_TEXT, NULL, 0, &out), 0);
    cr_assert_not_null(strstr(strbuf_text(&out), "{code=\"200\"} 18446744073709551615\n"));
    strbuf_fini(&out);
    stop(&set, &slot);
}

Test(exposition, numbers_are_short_and_read_back)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-1, "-1"},
                 {0.1, "0.1"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {1e21, "1e+21"},
                 {INFINITY, "+Inf"},
                 {-INFINITY, "-Inf"},
                 {NAN, "NaN"},
                 {DBL_MAX, "1.7976931348623157e+308"},
                 {5e-324, "4.94065645841247e-324"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[EXPOSITION_NUMBER_MAX];
        cr_assert_eq(exposition_format_number(cases[i].value, text), strlen(cases[i].text));
        cr_assert_str_eq(text, cases[i].text);
    }
}

Test(exposition, nobody_there_has_no_series)
{
    expect_text(
        "# HELP valvechain_segment_damaged_catalogues Process slots whose description of their "
        "metrics does not parse: somebody else writes into the segment\n"
        "# TYPE valvechain_segment_damaged_catalogues gauge\n"
        "valvechain_segment_damaged_catalogues 0\n");
}

static uint64_t created(const char *series)
{
    struct strbuf out = STRBUF_INIT;
    cr_assert_eq(exposition_write(segment, EXPOSITION_OPENMETRICS, NULL, 0, &out), 0);
    const char *at = strstr(strbuf_text(&out), series);
    cr_assert_not_null(at, "no %s", series);
    uint64_t created_s = strtoull(at + strlen(series), NULL, 10);
    strbuf_fini(&out);
    return created_s;
}

Test(exposition, created_is_when_counting_began_and_outlasts_a_restart)
{
    static const char *const series = "\nvalvechain_requests_created{code=\"200\"} ";
    uint64_t before_s = clock_wall_ns() / NS_PER_S;
    struct slot *one = count_one("1");
    uint64_t first = created(series);
    cr_assert(first + 2 >= before_s && first <= clock_wall_ns() / NS_PER_S + 1);
    cr_assert_eq(created("\nvalvechain_latency_seconds_created{route=\"app\"} "), first);
    slot_release(&one);
    const struct timespec moment = {.tv_nsec = 1000000};
    for (uint64_t second = clock_mono_ns() / NS_PER_S; clock_mono_ns() / NS_PER_S == second;)
        nanosleep(&moment, NULL); // until the next second: it must not show
    one = count_one("1");
    struct slot *two = count_one("2"); // the first of two parts counts
    cr_assert_eq(created(series), first);
    slot_release(&one);
    slot_release(&two);
}

static const struct metric_def traced = {.kind = METRIC_HISTOGRAM,
                                         .name = "valvechain_latency_seconds",
                                         .unit = "seconds",
                                         .labels = "route",
                                         .help = "Latency",
                                         .bounds = seconds,
                                         .n_bounds = 2,
                                         .scale = 1e-9,
                                         .exemplars = true};
static const struct metric_trace trace = {0x0af7651916cd43dd, 0x8448eb211c80319c};

static int count_text(enum exposition_form form, const char *text)
{
    struct strbuf out = STRBUF_INIT;
    int n = 0;
    cr_assert_eq(exposition_write(segment, form, NULL, 0, &out), 0);
    for (const char *at = strbuf_text(&out); (at = strstr(at, text)) != NULL; at++)
        n++;
    strbuf_fini(&out);
    return n;
}

Test(exposition, exemplars_stand_in_their_bucket_and_in_openmetrics_only)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    metric_id id = metric_register(set, &traced, app);
    metric_observe(set, id, 3000000);
    cr_assert_eq(count_text(EXPOSITION_OPENMETRICS, "trace_id"), 0);
    metric_observe_traced(set, id, 700000000, &trace);
    cr_assert_eq(count_text(EXPOSITION_OPENMETRICS, "le=\"1.0\"} 2 # {trace_id=\"0af7651916cd43dd"
                                                    "8448eb211c80319c\"} 0.7 "),
                 1);
    cr_assert_eq(count_text(EXPOSITION_OPENMETRICS, "trace_id"), 1);
    cr_assert_eq(count_text(EXPOSITION_TEXT, "trace_id"), 0);
    stop(&set, &slot);
}

Test(exposition, of_two_processes_one_exemplar_a_bucket)
{
    struct slot *slots[2];
    for (int i = 0; i < 2; i++) {
        struct metric_set *set = start("api-front", i ? "2" : "1", &slots[i]);
        metric_observe_traced(set, metric_register(set, &traced, app), 5000000000, &trace);
        metric_set_close(&set);
    }
    cr_assert_eq(count_text(EXPOSITION_OPENMETRICS, "le=\"+Inf\"} 2 # {trace_id="), 1);
    cr_assert_eq(count_text(EXPOSITION_OPENMETRICS, "trace_id"), 1);
    slot_release(&slots[0]);
    slot_release(&slots[1]);
}

Test(exposition, half_an_exemplar_is_none)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    metric_id id = metric_register(set, &traced, app);
    metric_observe_traced(set, id, 2000000, &trace);
    cr_assert_eq(count_text(EXPOSITION_OPENMETRICS, "trace_id"), 1);
    for (uint32_t word = 0; word < METRIC_EXEMPLAR_WORDS; word++) {
        _Atomic uint64_t *at = &metric_words(set)[id + 4 + word]; // behind 3 buckets and the sum
        uint64_t was = atomic_fetch_xor(at, 1ULL << (word * 7));
        cr_expect_eq(count_text(EXPOSITION_OPENMETRICS, "trace_id"), 0, "word %u", word);
        atomic_store(at, was);
    }
    cr_assert_eq(count_text(EXPOSITION_OPENMETRICS, "trace_id"), 1);
    stop(&set, &slot);
}

Test(exposition, latency_histograms_have_the_buckets_of_their_set)
{
    struct metric_def def = latency;
    struct buckets buckets;
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    def.bounds = latency_bounds;
    def.n_bounds = LATENCY_N_BOUNDS;
    cr_assert_eq(buckets_parse("0.2, 3", &buckets), 0);
    metric_set_latency_buckets(set, &buckets);
    metric_observe(set, metric_register(set, &def, app), 300000000);
    cr_assert_eq(count_text(EXPOSITION_TEXT, "_bucket{"), 3);
    cr_assert_eq(count_text(EXPOSITION_TEXT, "le=\"0.2\"} 0\n"), 1);
    cr_assert_eq(count_text(EXPOSITION_TEXT, "le=\"3.0\"} 1\n"), 1);
    stop(&set, &slot);
}
