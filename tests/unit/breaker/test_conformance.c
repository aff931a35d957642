// The numbered facts about other breakers (docs/breakers.md has the table), restated against ours
// through a small adapter that speaks their words: a name, options, calls that end well or badly, a
// clock. O is opossum, R resilience4j, X others.
#include <criterion/criterion.h>

#include "breaker_fixture.h"

static struct process home;
static struct breaker_definition options;
static uint64_t clock_ns;

static void setup(void)
{
    fixture_setup();
    home = process_start("1");
    clock_ns = 1000 * S;
    options = definition_named("peer");
    options.volume_threshold = 1;
    options.reset_timeout_ns = 30 * S;
    options.capacity = 1000;
}

static void teardown(void)
{
    process_stop(&home);
    fixture_teardown();
}

TestSuite(conformance, .init = setup, .fini = teardown);

static void create(void)
{
    publish_one(&home, &options);
}
static void wait_ms(uint64_t ms)
{
    clock_ns += ms * MS;
}
static bool fire(enum breaker_outcome outcome)
{
    return call(&home, outcome, clock_ns);
}
static void fire_many(int n, enum breaker_outcome outcome)
{
    calls(&home, n, outcome, clock_ns);
}
static enum breaker_grant begin(struct breaker_permit *permit)
{
    return breaker_acquire(home.view, 0, clock_ns, permit, NULL);
}
static void end(struct breaker_permit *permit, enum breaker_outcome outcome)
{
    breaker_report(home.view, permit, outcome, clock_ns);
}
static void expect(enum breaker_state state)
{
    cr_assert_eq(state_of(&home, clock_ns), state, "%s",
                 breaker_state_names[state_of(&home, clock_ns)]);
}
static struct breaker_status stats(void)
{
    return status_of(&home, 0, clock_ns);
}

Test(conformance, o1_strictly_above_the_threshold)
{
    options.trip_exceeds = 1;
    create();
    fire(BREAKER_SUCCESS);
    fire(BREAKER_FAILURE);
    expect(BREAKER_CLOSED);
    fire(BREAKER_FAILURE);
    expect(BREAKER_OPEN);
}

Test(conformance, o5_the_nth_call_qualifies)
{
    options.volume_threshold = 3;
    create();
    fire_many(2, BREAKER_FAILURE);
    expect(BREAKER_CLOSED);
    fire(BREAKER_FAILURE);
    expect(BREAKER_OPEN);
}

Test(conformance, o6_half_open_needs_no_volume)
{
    options.volume_threshold = 5;
    create();
    fire_many(5, BREAKER_FAILURE);
    wait_ms(30000);
    fire(BREAKER_FAILURE);
    expect(BREAKER_OPEN);
}

Test(conformance, o9_a_first_failure_opens_without_volume)
{
    create();
    fire(BREAKER_FAILURE);
    expect(BREAKER_OPEN);
}

Test(conformance, o10_open_is_not_extended)
{
    create();
    struct breaker_permit late[2];
    begin(&late[0]);
    begin(&late[1]);
    fire(BREAKER_FAILURE);
    uint64_t deadline_ns = stats().deadline_ns;
    wait_ms(1000);
    end(&late[0], BREAKER_FAILURE);
    end(&late[1], BREAKER_FAILURE);
    cr_assert_eq(stats().deadline_ns, deadline_ns);
    cr_assert_eq(stats().total_opens, 1);
}

Test(conformance, o12_o13_buckets_live_between_n_minus_1_and_n_intervals)
{
    options.rolling_timeout_ns = 400 * MS;
    options.rolling_buckets = 4;
    options.volume_threshold = 100;
    create();
    fire(BREAKER_FAILURE); // at the beginning of its bucket
    wait_ms(399);
    cr_assert_eq(stats().window_failures, 1);
    wait_ms(1);
    cr_assert_eq(stats().window_failures, 0);
    wait_ms(99);
    fire(BREAKER_FAILURE); // at the end of it
    wait_ms(300);
    cr_assert_eq(stats().window_failures, 1);
    wait_ms(1);
    cr_assert_eq(stats().window_failures, 0);
}

Test(conformance, o19_o20_capacity_refuses_at_once_and_opens_nothing)
{
    options.capacity = 1;
    create();
    struct breaker_permit first, second;
    cr_assert_eq(begin(&first), BREAKER_GRANTED);
    cr_assert_eq(begin(&second), BREAKER_REFUSED_CAPACITY);
    cr_assert_eq(begin(&second), BREAKER_REFUSED_CAPACITY);
    end(&first, BREAKER_SUCCESS);
    expect(BREAKER_CLOSED);
    cr_assert_eq(stats().total_failures, 0);
    cr_assert_eq(stats().total_refused_capacity, 2);
}

Test(conformance, o21_no_capacity_for_the_probe_does_not_reopen)
{
    options.capacity = 1;
    create();
    struct breaker_permit old, probe;
    begin(&old);
    breaker_reset(home.view, 0, "", "", clock_ns); // `old` still runs
    options.capacity = 2;
    create();
    fire(BREAKER_FAILURE);
    options.capacity = 1;
    create();
    wait_ms(30000);
    cr_assert_eq(begin(&probe), BREAKER_REFUSED_CAPACITY);
    cr_assert_eq(stats().total_opens, 1);
    end(&old, BREAKER_SUCCESS);
    cr_assert_eq(begin(&probe), BREAKER_GRANTED_PROBE);
}

Test(conformance, o22_a_call_that_still_runs_keeps_its_permit)
{
    options.capacity = 2;
    options.volume_threshold = 100;
    create();
    struct breaker_permit running[2], third;
    begin(&running[0]);
    begin(&running[1]);
    wait_ms(60000); // whatever the timeout
    cr_assert_eq(begin(&third), BREAKER_REFUSED_CAPACITY);
    end(&running[0], BREAKER_TIMEOUT);
    cr_assert_eq(begin(&third), BREAKER_GRANTED);
}

Test(conformance, o24_o25_one_probe_decides)
{
    create();
    fire(BREAKER_FAILURE);
    wait_ms(29999);
    cr_assert_not(fire(BREAKER_SUCCESS));
    wait_ms(1);
    struct breaker_permit probe, other;
    cr_assert_eq(begin(&probe), BREAKER_GRANTED_PROBE);
    cr_assert_eq(begin(&other), BREAKER_REFUSED_OPEN);
    end(&probe, BREAKER_SUCCESS);
    expect(BREAKER_CLOSED);
    fire(BREAKER_TIMEOUT);
    wait_ms(30000);
    fire(BREAKER_TIMEOUT);
    expect(BREAKER_OPEN);
}

Test(conformance, o29_r20_a_probe_without_result_does_not_wedge)
{
    create();
    fire(BREAKER_FAILURE);
    wait_ms(30000);
    struct breaker_permit lost;
    begin(&lost);
    wait_ms(15000); // the lease of a probe
    breaker_reclaim(home.view, clock_ns);
    expect(BREAKER_OPEN);
    wait_ms(60000);
    cr_assert(fire(BREAKER_SUCCESS));
    expect(BREAKER_CLOSED);
}

Test(conformance, o32_o17_a_timeout_counts_once)
{
    options.volume_threshold = 100;
    create();
    fire(BREAKER_TIMEOUT);
    cr_assert_eq(stats().total_timeouts, 1);
    cr_assert_eq(stats().total_failures, 0);
    cr_assert_eq(stats().window_timeouts, 1);
}

Test(conformance, o33_r8_open_refuses_and_counts_no_failure)
{
    create();
    fire(BREAKER_FAILURE);
    fire_many(3, BREAKER_FAILURE);
    cr_assert_eq(stats().total_failures, 1);
    cr_assert_eq(stats().total_refused_open, 3);
}

Test(conformance, r1_the_rate_reaches_the_threshold)
{
    options.volume_threshold = 5;
    create();
    fire_many(3, BREAKER_SUCCESS);
    fire_many(2, BREAKER_FAILURE);
    expect(BREAKER_CLOSED);
    fire(BREAKER_FAILURE);
    expect(BREAKER_OPEN);
}

Test(conformance, r2_below_the_minimum_nothing_opens)
{
    options.volume_threshold = 100;
    create();
    fire_many(99, BREAKER_FAILURE);
    expect(BREAKER_CLOSED);
}

static void slow_call(uint64_t ms)
{
    struct breaker_permit permit;
    begin(&permit);
    wait_ms(ms);
    end(&permit, BREAKER_SUCCESS);
}

Test(conformance, r6_r7_slow_is_strictly_longer_and_opens)
{
    options.slow_threshold_percent = 50;
    options.slow_duration_ns = 100 * MS;
    options.volume_threshold = 5;
    create();
    for (int i = 0; i < 3; i++)
        slow_call(100);
    for (int i = 0; i < 2; i++)
        slow_call(101);
    expect(BREAKER_CLOSED); // 2 of 5
    slow_call(101);
    expect(BREAKER_OPEN);
}

Test(conformance, r10_open_time_grows_by_half)
{
    options.reset_timeout_ns = 5 * S;
    create();
    fire(BREAKER_FAILURE);
    cr_assert_eq(stats().deadline_ns, clock_ns + 5 * S);
    wait_ms(5000);
    fire(BREAKER_FAILURE);
    cr_assert(stats().deadline_ns >= clock_ns + 7500 * MS); // and up to a tenth of jitter
    cr_assert(stats().deadline_ns <= clock_ns + 8251 * MS);
}

Test(conformance, r12_r23_forced_open_holds_exactly_and_never_half_opens)
{
    create();
    breaker_force(home.view, 0, BREAKER_FORCED_OPEN, clock_ns + 7200 * S, "a", "b", clock_ns);
    wait_ms(7199000);
    breaker_reclaim(home.view, clock_ns);
    cr_assert_not(fire(BREAKER_SUCCESS));
    expect(BREAKER_FORCED_OPEN);
    wait_ms(1256);
    cr_assert(fire(BREAKER_SUCCESS));
}

Test(conformance, r13_half_open_admits_exactly_its_permits)
{
    options.probes = 3;
    create();
    fire(BREAKER_FAILURE);
    wait_ms(30000);
    struct breaker_permit permits[5];
    for (int i = 0; i < 5; i++)
        cr_assert_eq(begin(&permits[i]), i < 3 ? BREAKER_GRANTED_PROBE : BREAKER_REFUSED_OPEN);
    end(&permits[0], BREAKER_SUCCESS);
    expect(BREAKER_HALF_OPEN);
    end(&permits[1], BREAKER_FAILURE); // 1 of 3
    expect(BREAKER_HALF_OPEN);
    end(&permits[2], BREAKER_SUCCESS);
    expect(BREAKER_CLOSED);
}

Test(conformance, r16_x8_an_ignored_probe_returns_its_permit)
{
    create();
    fire(BREAKER_FAILURE);
    wait_ms(30000);
    cr_assert(fire(BREAKER_IGNORED));
    expect(BREAKER_HALF_OPEN);
    cr_assert(fire(BREAKER_SUCCESS));
    expect(BREAKER_CLOSED);
}

Test(conformance, r22_outcomes_while_open_change_nothing)
{
    create();
    struct breaker_permit late;
    begin(&late);
    fire(BREAKER_FAILURE);
    end(&late, BREAKER_SUCCESS);
    cr_assert_eq(stats().total_successes, 1);
    expect(BREAKER_OPEN);
}

Test(conformance, r24_disabled_permits_all_and_records_nothing)
{
    create();
    breaker_force(home.view, 0, BREAKER_DISABLED, 0, "a", "b", clock_ns);
    fire_many(20, BREAKER_FAILURE);
    expect(BREAKER_DISABLED);
    cr_assert_eq(stats().total_failures, 0);
}

Test(conformance, r25_metrics_only_permits_all_records_and_says_once)
{
    create();
    breaker_force(home.view, 0, BREAKER_OBSERVE, 0, "a", "b", clock_ns);
    fire_many(20, BREAKER_FAILURE);
    expect(BREAKER_OBSERVE);
    cr_assert_eq(stats().window_failures, 20);
    cr_assert(stats().would_open);
}

Test(conformance, r27_r35_reset_closes_and_no_old_deadline_is_left)
{
    create();
    fire(BREAKER_FAILURE);
    wait_ms(15000);
    breaker_reset(home.view, 0, "a", "b", clock_ns);
    expect(BREAKER_CLOSED);
    cr_assert_eq(stats().window_failures, 0);
    wait_ms(10000);
    fire(BREAKER_FAILURE); // a new open time, whole
    wait_ms(29999);
    cr_assert_not(fire(BREAKER_SUCCESS));
    wait_ms(1);
    cr_assert(fire(BREAKER_SUCCESS));
}

Test(conformance, x1_results_of_an_older_generation_are_dropped)
{
    create();
    struct breaker_permit old;
    begin(&old);
    fire(BREAKER_FAILURE);
    wait_ms(30000);
    cr_assert(fire(BREAKER_SUCCESS));
    end(&old, BREAKER_FAILURE); // would open the new one
    expect(BREAKER_CLOSED);
    cr_assert_eq(stats().window_failures, 0);
}

Test(conformance, x9_failures_in_a_row)
{
    options.consecutive = 7;
    options.volume_threshold = 1000;
    create();
    fire_many(6, BREAKER_FAILURE);
    fire(BREAKER_SUCCESS);
    fire_many(6, BREAKER_FAILURE);
    expect(BREAKER_CLOSED);
    fire(BREAKER_FAILURE);
    expect(BREAKER_OPEN);
}

Test(conformance, x12_the_ramp_is_linear)
{
    options.ramp_ns = 10 * S;
    create();
    fire(BREAKER_FAILURE);
    wait_ms(30000);
    fire(BREAKER_SUCCESS);
    int admitted = 0;
    for (int i = 0; i < 1000; i++, wait_ms(10))
        admitted += fire(BREAKER_SUCCESS);
    cr_assert(admitted > 540 && admitted < 560, "%d", admitted); // mean of 10 % and 100 %
}
