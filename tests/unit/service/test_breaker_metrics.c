// What /metrics shows of the breakers: computed from the segment, by whoever is asked.
#include <criterion/criterion.h>

#include "../breaker/breaker_fixture.h"
#include "service/suite_metrics.h"

#define T0 (1000 * S)

static struct process owner, front;

static void setup(void)
{
    fixture_setup();
    owner = process_start("owner");
    front = process_start("1");
    struct breaker_definition definition = definition_named("database");
    publish_one(&owner, &definition);
}

static void teardown(void)
{
    process_stop(&front);
    process_stop(&owner);
    fixture_teardown();
}

TestSuite(breaker_metrics, .init = setup, .fini = teardown);

// How often the line stands there: with its value once, else never.
static int lines(struct process *process, const char *line)
{
    struct strbuf out = STRBUF_INIT;
    char whole[256];
    int n = 0;
    snprintf(whole, sizeof(whole), "\nvalvechain_circuit_breaker_%s\n", line);
    cr_assert_eq(suite_metrics_write(process->segment, process->view, EXPOSITION_TEXT, T0, &out),
                 0);
    for (const char *at = strbuf_text(&out); (at = strstr(at, whole)) != NULL; at++)
        n++;
    strbuf_fini(&out);
    return n;
}

#define EXPECT(process, line) cr_assert_eq(lines(process, line), 1, "%s", line)

Test(breaker_metrics, say_state_and_totals)
{
    EXPECT(&front, "failures_total{breaker=\"database\"} 0");
    calls(&front, 3, BREAKER_FAILURE, T0);
    call(&front, BREAKER_TIMEOUT, T0);
    calls(&front, 2, BREAKER_SUCCESS, T0); // refused
    EXPECT(&front, "failures_total{breaker=\"database\"} 4");
    EXPECT(&front, "calls_total{breaker=\"database\",outcome=\"failure\"} 3");
    EXPECT(&front, "calls_total{breaker=\"database\",outcome=\"timeout\"} 1");
    EXPECT(&front, "calls_total{breaker=\"database\",outcome=\"success\"} 0");
    EXPECT(&front, "refusals_total{breaker=\"database\",reason=\"open\"} 2");
    EXPECT(&front, "refusals_total{breaker=\"database\",reason=\"capacity\"} 0");
    EXPECT(&front, "opens_total{breaker=\"database\"} 1");
    EXPECT(&front, "state{breaker=\"database\",state=\"OPEN\"} 1");
    EXPECT(&front, "state{breaker=\"database\",state=\"CLOSED\"} 0");
    EXPECT(&front, "capacity{breaker=\"database\"} 10");
    EXPECT(&front, "in_flight{breaker=\"database\"} 0");
}

Test(breaker_metrics, are_the_same_for_everyone_and_outlive_their_callers)
{
    calls(&front, 3, BREAKER_FAILURE, T0);
    process_kill(&front);
    EXPECT(&owner, "failures_total{breaker=\"database\"} 3");
    front = process_start("2");
    EXPECT(&front, "failures_total{breaker=\"database\"} 3");
}

Test(breaker_metrics, take_the_place_of_what_an_older_process_published)
{
    static const struct metric_def old = {.kind = METRIC_COUNTER,
                                          .name = "valvechain_circuit_breaker_failures_total",
                                          .unit = "",
                                          .labels = "breaker",
                                          .help = "Failed calls"};
    const char *const labels[] = {"database"};
    struct metric_set *set;
    cr_assert_eq(metric_set_open(owner.slot, &set), 0);
    metric_add(set, metric_register(set, &old, labels), 7);
    calls(&front, 2, BREAKER_FAILURE, T0);
    EXPECT(&front, "failures_total{breaker=\"database\"} 2");
    cr_assert_eq(lines(&front, "failures_total{breaker=\"database\"} 7"), 0);
    metric_set_close(&set);
}

Test(breaker_metrics, of_a_retired_name_keep_its_counts_and_no_state)
{
    calls(&front, 3, BREAKER_FAILURE, T0);
    struct breaker_definition definition = definition_named("other");
    publish_one(&owner, &definition);
    EXPECT(&front, "failures_total{breaker=\"database\"} 3");
    EXPECT(&front, "state{breaker=\"database\",state=\"CLOSED\"} 0");
    EXPECT(&front, "capacity{breaker=\"database\"} 0");
    EXPECT(&front, "state{breaker=\"other\",state=\"CLOSED\"} 1");
}
