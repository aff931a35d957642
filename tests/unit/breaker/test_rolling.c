#include <criterion/criterion.h>

#include "breaker/rolling.h"
#include "breaker_fixture.h"

static struct breaker_line line;
static struct rolling_cursor cursor;
static struct rolling_shape shape;
static struct breaker_definition definition;

static void setup(void)
{
    memset(&line, 0, sizeof(line));
    cursor = (struct rolling_cursor){0};
    definition = definition_named("x");
    shape = rolling_shape_of(&definition);
}

TestSuite(rolling, .init = setup);

static uint64_t sum(uint32_t generation, enum breaker_outcome outcome, uint64_t now_ns)
{
    struct rolling_counts counts = {0};
    rolling_sum(&line, &shape, generation, now_ns, &counts);
    return counts.n[outcome];
}

static void add(uint32_t generation, enum breaker_outcome outcome, uint64_t now_ns)
{
    rolling_add(&line, &cursor, &shape, generation, outcome, false, now_ns);
}

Test(rolling, a_zeroed_line_counts_nothing)
{
    cr_assert_eq(sum(0, BREAKER_SUCCESS, 0), 0);
    cr_assert_eq(sum(0, BREAKER_FAILURE, 0), 0);
}

Test(rolling, kinds_are_apart)
{
    add(0, BREAKER_SUCCESS, S);
    add(0, BREAKER_SUCCESS, S);
    add(0, BREAKER_FAILURE, S);
    add(0, BREAKER_TIMEOUT, S);
    cr_assert_eq(sum(0, BREAKER_SUCCESS, S), 2);
    cr_assert_eq(sum(0, BREAKER_FAILURE, S), 1);
    cr_assert_eq(sum(0, BREAKER_TIMEOUT, S), 1);
}

// An outcome lives between N-1 and N intervals; no timer is needed.
Test(rolling, outcomes_age_out_by_time_alone)
{
    add(0, BREAKER_FAILURE, 100 * S); // at the beginning of its bucket: lives longest
    add(0, BREAKER_FAILURE, 100 * S + 999 * MS);
    cr_assert_eq(sum(0, BREAKER_FAILURE, 109 * S + 999 * MS), 2);
    cr_assert_eq(sum(0, BREAKER_FAILURE, 110 * S), 0);
}

Test(rolling, a_bucket_is_reused_for_a_later_interval)
{
    add(0, BREAKER_FAILURE, 100 * S);
    add(0, BREAKER_FAILURE, 110 * S); // same place, one window later
    cr_assert_eq(sum(0, BREAKER_FAILURE, 110 * S), 1);
    add(0, BREAKER_SUCCESS, 115 * S);
    cr_assert_eq(sum(0, BREAKER_FAILURE, 119 * S), 1);
    cr_assert_eq(sum(0, BREAKER_FAILURE, 120 * S), 0);
    cr_assert_eq(sum(0, BREAKER_SUCCESS, 120 * S), 1);
}

Test(rolling, a_long_silence_leaves_nothing)
{
    add(0, BREAKER_FAILURE, 100 * S);
    cr_assert_eq(sum(0, BREAKER_FAILURE, 100 * S + 86400 * S), 0);
}

Test(rolling, another_generation_is_another_window)
{
    add(4, BREAKER_FAILURE, 100 * S);
    cr_assert_eq(sum(4, BREAKER_FAILURE, 100 * S), 1);
    cr_assert_eq(sum(5, BREAKER_FAILURE, 100 * S), 0); // skipped before the owner came by
    add(5, BREAKER_SUCCESS, 100 * S);                  // the owner empties its own
    cr_assert_eq(sum(5, BREAKER_FAILURE, 100 * S), 0);
    cr_assert_eq(sum(5, BREAKER_SUCCESS, 100 * S), 1);
    cr_assert_eq(sum(4, BREAKER_FAILURE, 100 * S), 0);
}

Test(rolling, another_shape_is_another_window)
{
    add(0, BREAKER_FAILURE, 100 * S);
    definition.rolling_buckets = 20;
    shape = rolling_shape_of(&definition);
    cr_assert_eq(sum(0, BREAKER_FAILURE, 100 * S), 0);
    add(0, BREAKER_FAILURE, 100 * S);
    cr_assert_eq(sum(0, BREAKER_FAILURE, 100 * S), 1);
}

Test(rolling, a_restarted_writer_goes_on_in_its_predecessors_line)
{
    add(3, BREAKER_FAILURE, 100 * S);
    cursor = (struct rolling_cursor){0};
    add(3, BREAKER_FAILURE, 101 * S);
    cr_assert_eq(sum(3, BREAKER_FAILURE, 101 * S), 2);
}

Test(rolling, a_writer_whose_clock_reading_is_younger_is_seen)
{
    add(0, BREAKER_FAILURE, 101 * S + 1);
    cr_assert_eq(sum(0, BREAKER_FAILURE, 100 * S + 999 * MS), 1);
}

// Against a list of every outcome: what the window says is exactly what N intervals hold.
Test(rolling, agrees_with_an_exact_log)
{
    enum { N = 4000 };
    static uint64_t at[N];
    uint64_t now = 50 * S, x = 1;
    for (int i = 0; i < N; i++) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        now += (x >> 33) % (30 * MS);
        at[i] = now;
        add(0, BREAKER_FAILURE, now);
        uint64_t expected = 0;
        for (int k = 0; k <= i; k++)
            expected += now / S - at[k] / S < 10;
        cr_assert_eq(sum(0, BREAKER_FAILURE, now), expected, "outcome %d", i);
    }
}

static enum rolling_verdict judge(uint64_t successes, uint64_t failures, uint64_t timeouts)
{
    struct rolling_counts counts = {.n = {successes, failures, timeouts}};
    enum breaker_rule rule = BREAKER_RULE_NONE;
    enum rolling_verdict verdict = rolling_judge(&counts, 0, &definition, &rule);
    cr_assert_eq(rule, verdict == ROLLING_GOOD ? BREAKER_RULE_NONE : BREAKER_RULE_ERROR_RATE);
    return verdict;
}

Test(rolling, judges_by_rate_and_volume)
{
    cr_assert_eq(judge(0, 0, 0), ROLLING_GOOD);
    cr_assert_eq(judge(1000, 0, 0), ROLLING_GOOD);
    cr_assert_eq(judge(3, 2, 0), ROLLING_GOOD); // 40 %
    cr_assert_eq(judge(3, 3, 0), ROLLING_TRIP); // the threshold itself opens
    cr_assert_eq(judge(3, 0, 3), ROLLING_TRIP); // timeouts count like failures
    cr_assert_eq(judge(2, 1, 1), ROLLING_TRIP);
    cr_assert_eq(judge(0, 3, 0), ROLLING_WAIT); // below the volume
    cr_assert_eq(judge(0, 1, 0), ROLLING_GOOD); // one of the four needed is under 50 %
    cr_assert_eq(judge(1, 1, 1), ROLLING_WAIT); // one success more makes 2 of 4
}

static enum breaker_rule rule_of(uint64_t successes, uint64_t failures, uint64_t slow,
                                 uint64_t streak)
{
    struct rolling_counts counts = {.n = {successes, failures, 0, slow}};
    enum breaker_rule rule = BREAKER_RULE_NONE;
    return rolling_judge(&counts, streak, &definition, &rule) == ROLLING_TRIP ? rule
                                                                              : BREAKER_RULE_NONE;
}

Test(rolling, any_rule_trips_and_the_rest_are_off_unless_set)
{
    cr_assert_eq(rule_of(10, 0, 10, 100), BREAKER_RULE_NONE);
    definition.slow_threshold_percent = 40;
    definition.consecutive = 3;
    cr_assert_eq(rule_of(10, 0, 3, 2), BREAKER_RULE_NONE);
    cr_assert_eq(rule_of(10, 0, 4, 2), BREAKER_RULE_SLOW_RATE);
    cr_assert_eq(rule_of(2, 0, 2, 0), BREAKER_RULE_NONE);        // the volume holds here, too
    cr_assert_eq(rule_of(0, 3, 0, 3), BREAKER_RULE_CONSECUTIVE); // but not for a row
    cr_assert_eq(rule_of(5, 5, 5, 1), BREAKER_RULE_ERROR_RATE);
}
