// Watch of the breaker process over a real segment.
#include <criterion/criterion.h>

#include "../breaker/breaker_fixture.h"
#include "watch.h"

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

TestSuite(watch, .init = setup, .fini = teardown);

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
