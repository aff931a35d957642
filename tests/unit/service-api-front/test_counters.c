// The counters and the figures read back from them, on a segment of this test's own.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "counters.h"
#include "figures.h"
#include "service/service.h"
#include "valves.h"

static struct segment *segment;
static struct slot *slot;
static struct metric_set *metrics;
static struct valves valves;

static void open_all(bool collect)
{
    char name[32];
    (void)snprintf(name, sizeof(name), "vcunit-%d", (int)getpid());
    const struct segment_section_spec sections[] = {slot_section_spec(),
                                                    slot_values_section_spec()};
    struct segment_options options = {
        .dir = "/dev/shm", .name = name, .sections = sections, .n_sections = 2};
    char reason[SEGMENT_REASON_MAX];
    cr_assert_eq(segment_open(&options, reason, &segment), 0, "%s", reason);
    cr_assert_eq(slot_acquire(segment, "api-front", "1", &slot), 0);
    cr_assert_eq(metric_set_open(slot, &metrics), 0);
    cr_assert_eq(counters_create(metrics, collect, &valves.counters), 0);
}

static void close_all(void)
{
    char name[32];
    (void)snprintf(name, sizeof(name), "vcunit-%d", (int)getpid());
    counters_destroy(&valves.counters);
    metric_set_close(&metrics);
    slot_release(&slot);
    segment_close(&segment);
    cr_expect_eq(segment_unlink("/dev/shm", name), 0);
}

TestSuite(counters, .fini = close_all);

static double value(const char *name, const char *labels)
{
    double found = -1;
    return metric_lookup(segment, name, labels, &found) ? found : -1;
}

static void record(struct route_counters *route, unsigned method, unsigned status)
{
    struct request request = {.valves = &valves,
                              .route_counters = route,
                              .method_bit = method,
                              .status = status,
                              .bytes_in = 3,
                              .bytes_out = 5};
    counters_record(&request);
}

Test(counters, a_request_is_counted_once_by_route_method_and_class)
{
    open_all(true);
    struct config_route routes[] = {
        {.name = (char[]){"app"}, .methods = HTTP_ANY},
    };
    struct config_model model = {.routes = routes, .n_routes = 1};
    counters_add_model(valves.counters, &model);
    struct route_counters *app = counters_route(valves.counters, "app");
    record(app, HTTP_GET, 200);
    record(app, HTTP_GET, 204);
    record(app, HTTP_PATCH, 503);
    record(NULL, HTTP_GET, 404);
    record(app, HTTP_GET, 0); // the client went away
    const char *const total = "valvechain_http_requests_total";
    cr_expect_eq(value(total, "route=\"app\",method=\"GET\",code=\"2xx\""), 2);
    cr_expect_eq(value(total, "route=\"app\",method=\"PATCH\",code=\"5xx\""), 1);
    cr_expect_eq(value(total, "route=\"app\",method=\"POST\",code=\"2xx\""), 0, "registered");
    cr_expect_eq(value(total, "route=\"none\",method=\"GET\",code=\"4xx\""), 1);
    cr_expect_eq(value(total, NULL), 4);
    cr_expect_eq(value("valvechain_requests_aborted_total", ""), 1);
    cr_expect_eq(value("valvechain_request_body_bytes_total", ""), 15);
    cr_expect_eq(value("valvechain_response_body_bytes_total", ""), 25);
}

Test(counters, a_large_configuration_shares_other)
{
    open_all(true);
    enum { MANY = COUNTERS_ROUTES_MAX + 10 };
    struct config_route routes[MANY];
    char names[MANY][16];
    memset(routes, 0, sizeof(routes));
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "route-%zu", i);
        routes[i].name = names[i];
        routes[i].methods = HTTP_ANY;
    }
    struct config_model model = {.routes = routes, .n_routes = MANY};
    counters_add_model(valves.counters, &model);
    counters_add_model(valves.counters, &model); // a reload adds nothing twice
    struct route_counters *other = counters_route(valves.counters, "no such route");
    cr_expect_neq(counters_route(valves.counters, "route-0"), other);
    cr_expect_neq(counters_route(valves.counters, names[COUNTERS_ROUTES_MAX - 1]), other);
    cr_expect_eq(counters_route(valves.counters, names[COUNTERS_ROUTES_MAX]), other);
    for (unsigned bit = 0; bit < 8; bit++) // every method of every route still fits the slot
        for (size_t i = 0; i < MANY; i++)
            record(counters_route(valves.counters, names[i]), 1u << bit, 200);
    cr_expect_eq(value("valvechain_http_requests_total", NULL), 8 * MANY);
    cr_expect_eq(value("valvechain_metric_series_dropped_total", ""), 0);
}

Test(counters, switched_off_they_stand_still)
{
    open_all(false);
    record(NULL, HTTP_GET, 200);
    counters_add(&valves, METRIC_INDEX_slow, 1);
    cr_expect_eq(value("valvechain_http_requests_total", NULL), 0);
    cr_expect_eq(value("valvechain_slow_requests_total", ""), 0);
}

Test(counters, figures_leave_system_requests_out_and_know_nothing_without_an_agent)
{
    open_all(true);
    record(NULL, HTTP_GET, 200);
    record(counters_route(valves.counters, COUNTERS_ROUTE_SYSTEM), HTTP_GET, 200);
    counters_connections(&valves, 7, 100, 3);
    struct figures figures;
    figures_read(segment, &figures);
    cr_expect_eq(figures.requests, 1);
    cr_expect_eq(figures.active_connections, 7);
    cr_expect_not(figures.agent_alive);
    cr_expect_not(figures.cpu_percent.known);
    cr_expect_not(figures.requests_per_second.known);
    cr_expect_not(figures.memory_used_bytes.known);
}

Test(counters, figures_believe_an_agent_only_what_it_measured)
{
    open_all(true);
    struct slot *agent_slot = NULL;
    struct metric_set *agent = NULL;
    cr_assert_eq(slot_acquire(segment, "metrics-agent", "1", &agent_slot), 0);
    cr_assert_eq(metric_set_open(agent_slot, &agent), 0);
    const struct metric_def cpu = {.kind = METRIC_GAUGE,
                                   .name = "valvechain_host_cpu_usage_percent",
                                   .unit = "",
                                   .labels = "",
                                   .help = "h"};
    const struct metric_def rate = {.kind = METRIC_GAUGE,
                                    .name = "valvechain_requests_per_second",
                                    .unit = "",
                                    .labels = "",
                                    .help = "h"};
    const struct metric_def measured = {.kind = METRIC_GAUGE,
                                        .name = "valvechain_measured",
                                        .unit = "",
                                        .labels = "figure",
                                        .help = "h"};
    metric_gauge(agent, metric_register(agent, &cpu, NULL), 42.5);
    metric_gauge(agent, metric_register(agent, &rate, NULL), 9);
    metric_id cpu_measured = metric_register(agent, &measured, (const char *const[]){"cpu"});
    (void)metric_register(agent, &measured, (const char *const[]){"rate"});
    struct figures figures;
    figures_read(segment, &figures);
    cr_expect(figures.agent_alive);
    cr_expect_not(figures.cpu_percent.known, "registered is not measured");
    metric_gauge(agent, cpu_measured, 1);
    figures_read(segment, &figures);
    cr_expect(figures.cpu_percent.known);
    cr_expect_eq(figures.cpu_percent.value, 42.5);
    cr_expect_not(figures.requests_per_second.known);
    metric_set_close(&agent);
    slot_release(&agent_slot);
    figures_read(segment, &figures);
    cr_expect_not(figures.agent_alive);
    cr_expect_not(figures.cpu_percent.known, "figures go with their agent");
}
