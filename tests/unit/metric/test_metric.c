#include <errno.h>
#include <stdio.h>

#include "metric_fixture.h"

TestSuite(metric, .init = fixture_setup, .fini = fixture_teardown);

static const struct metric_def requests = {.kind = METRIC_COUNTER,
                                           .name = "valvechain_requests_total",
                                           .unit = "",
                                           .labels = "route,code",
                                           .help = "Requests"};
static const struct metric_def connections = {.kind = METRIC_GAUGE,
                                              .name = "valvechain_connections",
                                              .unit = "",
                                              .labels = "",
                                              .help = "Connections"};
static const double seconds[] = {0.005, 0.1, 1};
static const struct metric_def latency = {.kind = METRIC_HISTOGRAM,
                                          .name = "valvechain_latency_seconds",
                                          .unit = "seconds",
                                          .labels = "route",
                                          .help = "Latency",
                                          .bounds = seconds,
                                          .n_bounds = 3,
                                          .scale = 1e-9};

static const char *const app_200[] = {"app", "200"};
static const char *const app_500[] = {"app", "500"};
static const char *const app[] = {"app"};

struct seen {
    char text[4096];
    size_t n;
};

static void note(void *arg, const struct slot_info *slot, const struct metric_series *series)
{
    struct seen *seen = arg;
    size_t len = strlen(seen->text);
    (void)slot;
    snprintf(seen->text + len, sizeof(seen->text) - len, "%s{%s};", series->name, series->labels);
    seen->n++;
}

Test(metric, describes_itself)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    metric_id ok = metric_register(set, &requests, app_200);
    metric_id failed = metric_register(set, &requests, app_500);
    metric_id open = metric_register(set, &connections, NULL);
    cr_assert_neq(ok, 0);
    cr_assert_neq(ok, failed);
    metric_add(set, ok, 3);
    metric_add(set, failed, 4);
    metric_gauge(set, open, 2.5);

    struct seen seen = {0};
    cr_assert_eq(metric_walk(segment, note, &seen), 0);
    cr_assert_str_eq(seen.text, "valvechain_metric_series_dropped_total{};"
                                "valvechain_requests_total{route=\"app\",code=\"200\"};"
                                "valvechain_requests_total{route=\"app\",code=\"500\"};"
                                "valvechain_connections{};");
    cr_assert_eq(lookup("valvechain_requests_total", "route=\"app\",code=\"500\""), 4);
    cr_assert_eq(lookup("valvechain_requests_total", NULL), 7);
    cr_assert_eq(lookup("valvechain_connections", NULL), 2.5);
    double value;
    cr_assert_not(metric_lookup(segment, "valvechain_absent", NULL, &value));
    cr_assert_not(metric_lookup(segment, "valvechain_requests_total", "route=\"x\"", &value));
    stop(&set, &slot);
}

Test(metric, registering_twice_is_the_same_series)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    metric_id id = metric_register(set, &requests, app_200);
    metric_id gauge = metric_register(set, &connections, NULL);
    metric_gauge(set, gauge, 7);
    cr_assert_eq(metric_register(set, &requests, app_200), id);
    cr_assert_eq(metric_register(set, &connections, NULL), gauge);
    cr_assert_eq(lookup("valvechain_connections", NULL), 7, "a reload does not reset it");
    stop(&set, &slot);
}

Test(metric, successor_goes_on_with_counters_and_resets_gauges)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    metric_id other = metric_register(set, &requests, app_500);
    metric_id id = metric_register(set, &requests, app_200);
    metric_id gauge = metric_register(set, &connections, NULL);
    metric_id histogram = metric_register(set, &latency, app);
    metric_add(set, id, 3);
    metric_add(set, other, 1);
    metric_gauge(set, gauge, 9);
    metric_observe(set, histogram, 1);
    stop(&set, &slot);

    double value;
    cr_assert_eq(lookup("valvechain_requests_total", NULL), 4, "counters of the dead stand");
    cr_assert_not(metric_lookup(segment, "valvechain_connections", NULL, &value));

    set = start("api-front", "1", &slot);
    cr_assert(slot_was_adopted(slot));
    cr_assert_not(metric_lookup(segment, "valvechain_connections", NULL, &value),
                  "not yet registered by the successor");
    cr_assert_eq(metric_register(set, &connections, NULL), gauge);
    cr_assert_eq(lookup("valvechain_connections", NULL), 0);
    cr_assert_eq(metric_register(set, &requests, app_200), id);
    cr_assert_eq(metric_register(set, &latency, app), histogram);
    metric_add(set, id, 2);
    cr_assert_eq(lookup("valvechain_requests_total", "route=\"app\",code=\"200\""), 5);
    cr_assert_eq(lookup("valvechain_requests_total", NULL), 6);
    metric_observe(set, histogram, 1);
    cr_assert_eq(atomic_load(&metric_words(set)[histogram]), 2);
    stop(&set, &slot);
}

Test(metric, two_instances_add_up)
{
    struct slot *slots[2];
    struct metric_set *sets[2] = {start("api-front", "1", &slots[0]),
                                  start("api-front", "2", &slots[1])};
    static const struct metric_def worst = {.kind = METRIC_GAUGE_MAX,
                                            .name = "valvechain_worst",
                                            .unit = "",
                                            .labels = "",
                                            .help = "Worst"};
    for (int i = 0; i < 2; i++) {
        metric_add(sets[i], metric_register(sets[i], &requests, app_200), 10);
        metric_gauge(sets[i], metric_register(sets[i], &connections, NULL), 5);
        metric_gauge(sets[i], metric_register(sets[i], &worst, NULL), -3 - i);
    }
    cr_assert_eq(lookup("valvechain_requests_total", NULL), 20);
    cr_assert_eq(lookup("valvechain_connections", NULL), 10);
    cr_assert_eq(lookup("valvechain_worst", NULL), -3);
    stop(&sets[0], &slots[0]);
    cr_assert_eq(lookup("valvechain_requests_total", NULL), 20);
    cr_assert_eq(lookup("valvechain_connections", NULL), 5);
    cr_assert_eq(lookup("valvechain_worst", NULL), -4);
    stop(&sets[1], &slots[1]);
}

Test(metric, histogram_finds_its_bucket)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    metric_id id = metric_register(set, &latency, app);
    const _Atomic uint64_t *words = metric_words(set) + id;
    metric_observe(set, id, 5000000); // bounds are inclusive
    metric_observe(set, id, 5000001);
    metric_observe(set, id, 1000000000);
    metric_observe(set, id, 1000000001);
    metric_observe(set, id, 2000000000);
    cr_assert_eq(words[0], 1);
    cr_assert_eq(words[1], 1);
    cr_assert_eq(words[2], 1);
    cr_assert_eq(words[3], 2);
    cr_assert_eq(words[4], 4010000002);
    stop(&set, &slot);
}

Test(metric, other_bounds_begin_anew)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    metric_id old = metric_register(set, &latency, app);
    metric_observe(set, old, 1);
    stop(&set, &slot);

    static const double other[] = {0.5, 1};
    struct metric_def changed = latency;
    changed.bounds = other;
    changed.n_bounds = 2;
    set = start("api-front", "1", &slot);
    metric_id id = metric_register(set, &changed, app);
    cr_assert_neq(id, old);
    cr_assert_eq(atomic_load(&metric_words(set)[id]), 0);
    metric_observe(set, id, 600000000);
    cr_assert_eq(atomic_load(&metric_words(set)[id + 1]), 1);
    stop(&set, &slot);
}

static void find_help(void *arg, const struct slot_info *slot, const struct metric_series *series)
{
    const char **ret_help = arg;
    (void)slot;
    if (strcmp(series->name, "valvechain_requests_total") == 0)
        cr_assert_str_eq(series->help, *ret_help);
}

Test(metric, other_help_keeps_the_count)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    metric_add(set, metric_register(set, &requests, app_200), 3);
    stop(&set, &slot);
    struct metric_def changed = requests;
    changed.help = "Requests, said better";
    set = start("api-front", "1", &slot);
    metric_register(set, &changed, app_200);
    cr_assert_eq(lookup("valvechain_requests_total", NULL), 3);
    cr_assert_eq(metric_walk(segment, find_help, &changed.help), 0);
    stop(&set, &slot);
}

Test(metric, counter_is_shown_in_its_unit)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    const struct metric_def cpu = {.kind = METRIC_COUNTER,
                                   .name = "valvechain_cpu_seconds_total",
                                   .unit = "seconds",
                                   .labels = "",
                                   .help = "CPU",
                                   .scale = 1e-6};
    metric_add(set, metric_register(set, &cpu, NULL), 1500000);
    cr_assert_float_eq(lookup("valvechain_cpu_seconds_total", NULL), 1.5, 1e-12);
    stop(&set, &slot);
}

Test(metric, full_catalogue_costs_figures_and_counts_them)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    char code[16];
    const char *const labels[] = {"app", code};
    metric_id id = 1, last = 0;
    int n = 0;
    for (; id != 0 && n < 10000; n++) {
        snprintf(code, sizeof(code), "%d", n);
        id = metric_register(set, &requests, labels);
        last = id ? id : last;
    }
    cr_assert_eq(id, 0);
    cr_assert_gt(n, 1000, "only %d series fit", n);
    metric_add(set, id, 1); // costs nobody anything
    metric_observe(set, id, 1);
    cr_assert_eq(lookup("valvechain_metric_series_dropped_total", NULL), 1);
    metric_add(set, last, 5);
    cr_assert_eq(lookup("valvechain_requests_total", NULL), 5);
    struct seen seen = {0};
    cr_assert_eq(metric_walk(segment, note, &seen), 0);
    cr_assert_eq(seen.n, (size_t)n);
    stop(&set, &slot);
}

Test(metric, full_values_are_dropped_too)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    double bounds[64];
    char route[16];
    const char *const labels[] = {route};
    for (int i = 0; i < 64; i++)
        bounds[i] = i;
    struct metric_def wide = latency;
    wide.bounds = bounds;
    wide.n_bounds = 64;
    for (int i = 0; i < 93; i++) {
        snprintf(route, sizeof(route), "%d", i);
        metric_id id = metric_register(set, &wide, labels);
        cr_assert_eq(id != 0, 2 + (i + 1) * 66 <= SLOT_VALUES, "%d", i);
    }
    strcpy(route, "more");
    cr_assert_eq(metric_register(set, &wide, labels), 0);
    stop(&set, &slot);
}

Test(metric, unfit_definitions_are_dropped)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    static const double falling[] = {2, 1};
    struct metric_def bad[] = {requests, requests, requests, requests, latency, latency, latency};
    bad[0].name = "bad name";
    bad[1].help = "bell\a";
    bad[2].labels = "a-b,code";
    bad[3].scale = -1;
    bad[4].bounds = falling;
    bad[4].n_bounds = 2;
    bad[5].n_bounds = 65;
    bad[6].unit = "m/s";
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(metric_register(set, &bad[i], app_200), 0, "%zu", i);
    cr_assert_eq(lookup("valvechain_metric_series_dropped_total", NULL), 7);
    cr_assert_neq(metric_register(set, &requests, app_200), 0, "the next good one is fine");
    stop(&set, &slot);
}

Test(metric, label_values_are_escaped)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    const char *const odd[] = {"a\"b\\c\nd", "\xc3\xa4\xff\x01"};
    metric_add(set, metric_register(set, &requests, odd), 1);
    cr_assert_eq(
        lookup("valvechain_requests_total", "route=\"a\\\"b\\\\c\\nd\",code=\"\xc3\xa4??\""), 1);
    stop(&set, &slot);
}

Test(metric, damaged_catalogue_is_reported_and_begun_anew)
{
    struct slot *slot, *other;
    struct metric_set *set = start("api-front", "1", &slot);
    struct metric_set *sound = start("limiter", "", &other);
    metric_add(sound, metric_register(sound, &connections, NULL), 1);
    metric_add(set, metric_register(set, &requests, app_200), 3);
    memset(slot_catalogue(slot) + 8, 0xee, 64);
    struct seen seen = {0};
    cr_assert_eq(metric_walk(segment, note, &seen), -EPROTO);
    cr_assert_not_null(strstr(seen.text, "valvechain_connections"), "others are still shown");
    uint32_t sequence = atomic_load(slot_catalogue_sequence(slot));
    stop(&set, &slot);

    set = start("api-front", "1", &slot);
    cr_assert_neq(atomic_load(slot_catalogue_sequence(slot)), sequence);
    cr_assert_neq(metric_register(set, &requests, app_200), 0);
    cr_assert_eq(lookup("valvechain_requests_total", NULL), 0);
    cr_assert_eq(metric_walk(segment, note, &seen), 0);
    stop(&set, &slot);
    stop(&sound, &other);
}

Test(metric, absurd_length_is_reported)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    struct seen seen = {0};
    *(uint64_t *)(void *)slot_catalogue(slot) = UINT64_MAX;
    cr_assert_eq(metric_walk(segment, note, &seen), -EPROTO);
    *(uint64_t *)(void *)slot_catalogue(slot) = 12;
    cr_assert_eq(metric_walk(segment, note, &seen), -EPROTO);
    cr_assert_eq(seen.n, 0);
    stop(&set, &slot);
}

Test(metric, slot_read_before_it_changed_hands_is_empty)
{
    struct slot *slot;
    struct metric_set *set = start("api-front", "1", &slot);
    struct slot_info info;
    struct seen seen = {0};
    cr_assert(slot_read(segment, slot_index(slot), &info));
    atomic_fetch_add(slot_catalogue_sequence(slot), 2);
    cr_assert_eq(metric_walk_slot(&info, note, &seen), 0);
    cr_assert_eq(seen.n, 0);
    stop(&set, &slot);
}
