#include <float.h>
#include <math.h>
#include <stdio.h>

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
    cr_assert_eq(exposition_write(segment, NULL, 0, &out), 0);
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
    expect_text("# HELP valvechain_metric_series_dropped_total Series that found no room in their "
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
                "valvechain_latency_seconds_bucket{route=\"app\",le=\"1\"} 2\n"
                "valvechain_latency_seconds_bucket{route=\"app\",le=\"+Inf\"} 4\n"
                "valvechain_latency_seconds_sum{route=\"app\"} 4.008\n"
                "valvechain_latency_seconds_count{route=\"app\"} 4\n");
    slot_release(&one);
    slot_release(&two);
}

Test(exposition, openmetrics_names_families_and_ends)
{
    struct slot *one = count_one("1");
    struct strbuf out = STRBUF_INIT;
    cr_assert_eq(exposition_write_openmetrics(segment, NULL, 0, &out), 0);
    const char *text = strbuf_text(&out);
    cr_assert_not_null(strstr(text, "# TYPE valvechain_requests counter\n"
                                    "valvechain_requests_total{code=\"200\"} 2\n"));
    cr_assert_not_null(strstr(text, "and \\\"quotes\\\"\n"));
    cr_assert_not_null(strstr(text, "# UNIT valvechain_latency_seconds seconds\n"));
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
    cr_assert_eq(exposition_write(segment, NULL, 0, &out), 0);
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
    cr_assert_eq(exposition_write(segment, NULL, 0, &out), 0);
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

Test(exposition, nobody_there_is_empty)
{
    expect_text("");
}
