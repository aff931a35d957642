#include <criterion/criterion.h>

#include "base/clock.h"
#include "evaluation.h"

static void fill(struct evaluation *evaluation, uint64_t from_s, uint64_t to_s, double value)
{
    for (uint64_t second = from_s; second < to_s; second++)
        evaluation_add(evaluation, second * NS_PER_S, value);
}

Test(evaluation, not_known_before_the_period_is_covered)
{
    struct evaluation evaluation;
    struct evaluation_result result;
    cr_assert_eq(evaluation_init(&evaluation, 10), 0);
    fill(&evaluation, 1, 6, 40);
    evaluation_read(&evaluation, 5 * NS_PER_S, &result);
    cr_assert_not(result.known);
    cr_assert_eq(result.covered_s, 5);
    cr_assert_eq(result.period_s, 10);
    fill(&evaluation, 6, 12, 60);
    evaluation_read(&evaluation, 11 * NS_PER_S, &result);
    cr_assert(result.known);
    cr_assert_float_eq(result.average, (4 * 40.0 + 6 * 60.0) / 10.0, 1e-9);
    evaluation_fini(&evaluation);
}

Test(evaluation, a_gap_makes_it_unknown_again)
{
    struct evaluation evaluation;
    struct evaluation_result result;
    cr_assert_eq(evaluation_init(&evaluation, 10), 0);
    fill(&evaluation, 1, 30, 40);
    evaluation_read(&evaluation, 33 * NS_PER_S, &result);
    cr_assert_not(result.known);
    evaluation_fini(&evaluation);
}

Test(evaluation, samples_that_come_too_fast_weigh_nothing_extra)
{
    struct evaluation evaluation;
    struct evaluation_result result;
    cr_assert_eq(evaluation_init(&evaluation, 4), 0);
    for (uint64_t ms = 0; ms < 4000; ms += 10)
        evaluation_add(&evaluation, ms * NS_PER_MS, ms < 2000 ? 10 : 30);
    evaluation_read(&evaluation, 3999 * NS_PER_MS, &result);
    cr_assert(result.known);
    cr_assert(result.average > 15 && result.average < 31);
    evaluation_fini(&evaluation);
}

Test(evaluation, a_new_period_keeps_what_fits)
{
    struct evaluation evaluation;
    struct evaluation_result result;
    cr_assert_eq(evaluation_init(&evaluation, 20), 0);
    fill(&evaluation, 1, 21, 7);
    cr_assert_eq(evaluation_set_period(&evaluation, 5), 0);
    evaluation_read(&evaluation, 20 * NS_PER_S, &result);
    cr_assert(result.known);
    cr_assert_float_eq(result.average, 7, 1e-9);
    cr_assert_eq(evaluation_set_period(&evaluation, 60), 0);
    evaluation_read(&evaluation, 20 * NS_PER_S, &result);
    cr_assert_not(result.known);
    evaluation_fini(&evaluation);
}
