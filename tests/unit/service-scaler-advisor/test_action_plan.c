#include <criterion/criterion.h>

#include "action_plan.h"
#include "base/clock.h"

static const struct action_bounds bounds = {8 * NS_PER_S, 60 * NS_PER_S};

static bool next_at(struct action_plan *plan, double s, uint32_t current, uint32_t desired)
{
    return action_plan_next(plan, (uint64_t)(s * 1e9), true, current, desired);
}

static enum action_verdict fail_at(struct action_plan *plan, double s, uint64_t lot)
{
    return action_plan_end(plan, (uint64_t)(s * 1e9), false, 0, lot, &bounds);
}

Test(action_plan, what_is_there_already_is_not_carried_out)
{
    struct action_plan plan = {0};
    cr_assert_not(action_plan_next(&plan, 1, false, 0, 0));
    cr_assert_not(plan.seen);
    cr_assert_not(next_at(&plan, 1, 4, 4));
    cr_assert_not(next_at(&plan, 2, 3, 4)); // an instance died; the number is the same
    cr_assert_not(action_plan_is_behind(&plan));
}

Test(action_plan, a_changed_number_is_carried_out_once_and_never_two_at_a_time)
{
    struct action_plan plan = {0};
    cr_assert(next_at(&plan, 1, 4, 6)); // the first advice already differs
    cr_assert(action_plan_is_behind(&plan));
    cr_assert_not(next_at(&plan, 2, 4, 9)); // the first is still under way
    cr_assert_eq(plan.wanted, 6);
    cr_assert_eq(action_plan_end(&plan, 3 * NS_PER_S, true, 0, 0, &bounds), ACTION_IN_FORCE);
    cr_assert_eq(plan.done, 6);
    cr_assert(next_at(&plan, 3, 6, 9));
    action_plan_end(&plan, 4 * NS_PER_S, true, 0, 0, &bounds);
    cr_assert_not(next_at(&plan, 5, 9, 9));
    cr_assert_not(action_plan_is_behind(&plan));
}

Test(action_plan, failures_pause_ever_longer_up_to_the_bound)
{
    struct action_plan plan = {0};
    const double pauses[] = {1, 2, 4, 8, 8};
    double s = 10;
    cr_assert(next_at(&plan, s, 1, 2));
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(fail_at(&plan, s, UINT64_MAX), ACTION_AGAIN);
        double pause = (double)(plan.next_ns - (uint64_t)(s * 1e9)) / 1e9;
        cr_assert(pause >= pauses[i] / 2 && pause <= pauses[i], "pause %zu is %g", i, pause);
        cr_assert_not(next_at(&plan, s + pauses[i] / 2 - 0.001, 1, 2));
        s += pauses[i];
        cr_assert(next_at(&plan, s, 1, 2));
    }
    // A lot of 0 is half of the pause, one below the bound all of it.
    fail_at(&plan, s, 0);
    cr_assert_eq(plan.next_ns - (uint64_t)(s * 1e9), 4 * NS_PER_S);
}

Test(action_plan, the_receiver_may_ask_for_a_longer_pause_but_not_beyond_the_bound)
{
    struct action_plan plan = {0};
    cr_assert(next_at(&plan, 1, 1, 2));
    action_plan_end(&plan, NS_PER_S, false, 5 * NS_PER_S, 0, &bounds);
    cr_assert_eq(plan.next_ns, 6 * NS_PER_S);
    cr_assert(next_at(&plan, 6, 1, 2));
    action_plan_end(&plan, 6 * NS_PER_S, false, 86400 * NS_PER_S, 0, &bounds);
    cr_assert_eq(plan.next_ns, 14 * NS_PER_S);
}

Test(action_plan, what_fails_for_too_long_is_given_up_until_another_number_comes)
{
    struct action_plan plan = {0};
    double s = 1;
    cr_assert(next_at(&plan, s, 1, 2));
    for (;;) {
        if (fail_at(&plan, s, 0) == ACTION_GIVEN_UP)
            break;
        s = (double)plan.next_ns / 1e9 + 0.001;
        cr_assert_lt(s, 100);
        cr_assert(next_at(&plan, s, 1, 2));
    }
    cr_assert_gt(s, 50);
    cr_assert_not(next_at(&plan, s + 1000, 1, 2));
    cr_assert(action_plan_is_behind(&plan));
    cr_assert(next_at(&plan, s + 1001, 1, 3)); // at once, with attempts of its own
    cr_assert_eq(plan.failures, 0);
}

Test(action_plan, a_failure_may_have_changed_anything_so_the_old_number_is_carried_out_too)
{
    struct action_plan plan = {0};
    cr_assert_not(next_at(&plan, 1, 4, 4));
    cr_assert(next_at(&plan, 2, 4, 6));
    fail_at(&plan, 3, 0);
    cr_assert(next_at(&plan, 3.1, 4, 4));
}

Test(action_plan, nothing_is_tried_while_the_advice_is_not_valid)
{
    struct action_plan plan = {0};
    cr_assert(next_at(&plan, 1, 4, 2));
    fail_at(&plan, 1, 0);
    cr_assert_not(action_plan_next(&plan, 100 * NS_PER_S, false, 4, 4));
    cr_assert_eq(plan.wanted, 2);
    cr_assert(next_at(&plan, 101, 4, 2));
}
