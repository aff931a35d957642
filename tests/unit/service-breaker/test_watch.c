// Watch and figures of the breaker process over a real segment.
#include <criterion/criterion.h>

#include "../breaker/breaker_fixture.h"
#include "figures.h"
#include "watch.h"

#define T0 (1000 * S)

static struct process owner, front;
static struct metric_set *set;

static void setup(void)
{
    fixture_setup();
    owner = process_start("owner");
    front = process_start("1");
    cr_assert_eq(metric_set_open(owner.slot, &set), 0);
    struct breaker_definition definition = definition_named("database");
    publish_one(&owner, &definition);
}

static void teardown(void)
{
    metric_set_close(&set);
    process_stop(&front);
    process_stop(&owner);
    fixture_teardown();
}

TestSuite(watch, .init = setup, .fini = teardown);
TestSuite(figures, .init = setup, .fini = teardown);

struct seen {
    int n;
    struct breaker_transition list[32];
};

static void note(void *arg, uint32_t index, const struct breaker_definition *definition,
                 const struct breaker_transition *transition)
{
    struct seen *seen = arg;
    cr_assert_eq(index, 0);
    cr_assert_str_eq(definition->name, "database");
    seen->list[seen->n++] = *transition;
}

Test(watch, every_change_between_two_looks_is_handed_out_once)
{
    struct watch watch;
    struct seen seen = {0};
    watch_init(&watch, owner.view);
    watch_poll(&watch, owner.view, note, &seen);
    cr_assert_eq(seen.n, 0);
    calls(&front, 4, BREAKER_FAILURE, T0);
    call(&front, BREAKER_SUCCESS, T0 + 5 * S); // open, half-open and closed again
    watch_poll(&watch, owner.view, note, &seen);
    cr_assert_eq(seen.n, 3);
    cr_assert_eq(seen.list[0].to, BREAKER_OPEN);
    cr_assert_eq(seen.list[0].failures, 4);
    cr_assert_eq(seen.list[1].to, BREAKER_HALF_OPEN);
    cr_assert_eq(seen.list[2].to, BREAKER_CLOSED);
    watch_poll(&watch, owner.view, note, &seen);
    cr_assert_eq(seen.n, 3);
}

Test(watch, what_happened_before_is_not_news)
{
    struct watch watch;
    struct seen seen = {0};
    calls(&front, 4, BREAKER_FAILURE, T0);
    watch_init(&watch, owner.view);
    watch_poll(&watch, owner.view, note, &seen);
    cr_assert_eq(seen.n, 0);
    call(&front, BREAKER_SUCCESS, T0 + 5 * S);
    watch_poll(&watch, owner.view, note, &seen);
    cr_assert_eq(seen.n, 2);
}

static double value(const char *name, const char *labels)
{
    double result = -1;
    metric_lookup(owner.segment, name, labels, &result);
    return result;
}

static double failures(void)
{
    return value("valvechain_circuit_breaker_failures_total", "breaker=\"database\"");
}

Test(figures, say_state_and_totals)
{
    static struct figures figures;
    figures_init(&figures, owner.segment, set);
    figures_update(&figures, owner.view, T0);
    cr_assert_eq(failures(), 0);
    calls(&front, 3, BREAKER_FAILURE, T0);
    call(&front, BREAKER_TIMEOUT, T0);
    calls(&front, 2, BREAKER_SUCCESS, T0); // refused
    figures_update(&figures, owner.view, T0);
    figures_update(&figures, owner.view, T0);
    cr_assert_eq(failures(), 4);
    cr_assert_eq(
        value("valvechain_circuit_breaker_calls_total", "breaker=\"database\",outcome=\"timeout\""),
        1);
    cr_assert_eq(
        value("valvechain_circuit_breaker_refusals_total", "breaker=\"database\",reason=\"open\""),
        2);
    cr_assert_eq(value("valvechain_circuit_breaker_opens_total", "breaker=\"database\""), 1);
    cr_assert_eq(value("valvechain_circuit_breaker_state", "breaker=\"database\",state=\"OPEN\""),
                 1);
    cr_assert_eq(value("valvechain_circuit_breaker_state", "breaker=\"database\",state=\"CLOSED\""),
                 0);
    cr_assert_eq(value("valvechain_circuit_breaker_capacity", "breaker=\"database\""), 10);
}

// A successor, of the same slot or of another one, goes on from the sum: nothing counts twice.
Test(figures, survive_a_restart_under_the_same_and_another_name)
{
    static struct figures figures;
    figures_init(&figures, owner.segment, set);
    calls(&front, 3, BREAKER_FAILURE, T0);
    figures_update(&figures, owner.view, T0);
    cr_assert_eq(failures(), 3);
    for (int round = 0; round < 4; round++) {
        metric_set_close(&set);
        process_kill(&owner);
        call(&front, BREAKER_FAILURE, T0 + (uint64_t)round * 20 * S); // nobody publishes it yet
        owner = process_start(round % 2 ? "owner" : "another");
        cr_assert_eq(metric_set_open(owner.slot, &set), 0);
        figures_init(&figures, owner.segment, set);
        figures_update(&figures, owner.view, T0);
        cr_assert_eq(failures(), 4 + round, "round %d: %f", round, failures());
    }
}

Test(figures, a_retired_name_is_in_no_state_and_keeps_its_counts)
{
    static struct figures figures;
    figures_init(&figures, owner.segment, set);
    calls(&front, 3, BREAKER_FAILURE, T0);
    figures_update(&figures, owner.view, T0);
    struct breaker_definition definition = definition_named("other");
    publish_one(&owner, &definition);
    figures_update(&figures, owner.view, T0);
    cr_assert_eq(failures(), 3);
    cr_assert_eq(value("valvechain_circuit_breaker_state", "breaker=\"database\",state=\"CLOSED\""),
                 0);
    cr_assert_eq(value("valvechain_circuit_breaker_state", "breaker=\"other\",state=\"CLOSED\""),
                 1);
}
