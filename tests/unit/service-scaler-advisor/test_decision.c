#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "decision.h"

static const struct autoscaling_params spec_defaults = {
    .cpu_up_percent = 70,
    .cpu_down_percent = 30,
    .cpu_period_s = 300,
    .rps_up = 100,
    .rps_down = 20,
    .rps_period_s = 300,
    .min_instances = 1,
    .max_instances = 10,
    .cooldown_s = 300,
};

static struct evaluation_result known(double average)
{
    return (struct evaluation_result){
        .known = true, .average = average, .covered_s = 300, .period_s = 300};
}

static struct decision_inputs inputs_of(uint64_t now_s, uint32_t current, double cpu, double rps)
{
    return (struct decision_inputs){.now_ns = now_s * NS_PER_S,
                                    .current = current,
                                    .fresh = true,
                                    .cpu = known(cpu),
                                    .rps = known(rps)};
}

static struct advice decide(struct decision_state *state, const struct decision_inputs *inputs)
{
    struct advice advice;
    decision_make(&spec_defaults, inputs, state, &advice);
    return advice;
}

Test(decision, the_example_of_the_specification)
{
    struct autoscaling_params policy = spec_defaults;
    policy.rps_up = 40;
    struct decision_state state = {0};
    struct decision_inputs inputs = inputs_of(1000, 1, 60, 45.2);
    struct advice advice;
    decision_make(&policy, &inputs, &state, &advice);
    cr_assert_eq(advice.action, ADVICE_SCALE_UP);
    cr_assert_str_eq(advice.reason, "RPS (45) exceeds scale-up threshold (40)");
    cr_assert_str_eq(advice.priority, "high");
    cr_assert_eq(advice.desired, 2);
}

Test(decision, at_the_threshold_nothing_happens)
{
    struct decision_state state = {0};
    struct decision_inputs inputs = inputs_of(1000, 3, 70, 100);
    cr_assert_eq(decide(&state, &inputs).action, ADVICE_NONE);
    inputs = inputs_of(1000, 3, 30, 20);
    cr_assert_eq(decide(&state, &inputs).action, ADVICE_NONE);
}

Test(decision, the_largest_proposal_wins)
{
    struct decision_state state = {0};
    struct decision_inputs inputs = inputs_of(1000, 2, 75, 250);
    struct advice advice = decide(&state, &inputs);
    cr_assert_eq(advice.desired, 5);
    cr_assert_eq(advice.n_signals, 2);
    cr_assert_eq(advice.signals[1].proposed, 3);
}

Test(decision, down_only_when_every_signal_says_so)
{
    struct decision_state state = {0};
    struct decision_inputs inputs = inputs_of(1000, 3, 50, 5);
    cr_assert_eq(decide(&state, &inputs).action, ADVICE_NONE);
    inputs = inputs_of(1000, 3, 10, 5);
    struct advice advice = decide(&state, &inputs);
    cr_assert_eq(advice.action, ADVICE_SCALE_DOWN);
    cr_assert_eq(advice.desired, 2);
    cr_assert_str_eq(advice.reason, "RPS (5) is below scale-down threshold (20)");
}

Test(decision, blind_never_shrinks)
{
    struct decision_state state = {0};
    struct decision_inputs inputs = inputs_of(1000, 3, 10, 5);
    inputs.cpu.known = false;
    cr_assert_eq(decide(&state, &inputs).action, ADVICE_NONE);
    inputs.rps.known = false;
    struct advice advice = decide(&state, &inputs);
    cr_assert_eq(advice.action, ADVICE_HOLD);
    cr_assert_eq(advice.valid, 0);
    inputs = inputs_of(1000, 3, 10, 5);
    inputs.fresh = false;
    advice = decide(&state, &inputs);
    cr_assert_eq(advice.action, ADVICE_HOLD);
    cr_assert_eq(advice.desired, 3);
}

Test(decision, one_unknown_signal_does_not_stop_growth)
{
    struct decision_state state = {0};
    struct decision_inputs inputs = inputs_of(1000, 1, 0, 150);
    inputs.cpu.known = false;
    cr_assert_eq(decide(&state, &inputs).desired, 2);
}

Test(decision, bounds_hold_and_are_told)
{
    struct decision_state state = {0};
    struct decision_inputs inputs = inputs_of(1000, 9, 90, 1000);
    struct advice advice = decide(&state, &inputs);
    cr_assert_eq(advice.desired, 10);
    cr_assert_str_eq(advice.clamps[0].rule, "max_instances");
    cr_assert_eq(advice.clamps[0].before, 90);
    state = (struct decision_state){0};
    inputs = inputs_of(1000, 1, 1, 1);
    advice = decide(&state, &inputs);
    cr_assert_eq(advice.action, ADVICE_NONE);
    cr_assert_eq(advice.desired, 1);
}

Test(decision, cooldown_holds_the_last_advice)
{
    struct decision_state state = {0};
    struct decision_inputs inputs = inputs_of(1000, 1, 50, 150);
    cr_assert_eq(decide(&state, &inputs).desired, 2);
    inputs = inputs_of(1100, 2, 50, 250);
    struct advice advice = decide(&state, &inputs);
    cr_assert_eq(advice.desired, 2);
    cr_assert_eq(advice.action, ADVICE_NONE);
    cr_assert_str_eq(advice.clamps[advice.n_clamps - 1].rule, "cooldown");
    inputs = inputs_of(1300, 2, 50, 250);
    cr_assert_eq(decide(&state, &inputs).desired, 5);
}

// The final number is the fold of the chain: largest proposal, then each clamp in order.
Test(decision, the_final_equals_the_fold_of_the_chain)
{
    srand(7);
    struct decision_state state = {0};
    for (uint64_t step = 0; step < 20000; step++) {
        uint32_t current = 1 + (uint32_t)rand() % 15;
        struct decision_inputs inputs =
            inputs_of(1000 + step * 61, current, rand() % 100, rand() % 400);
        inputs.cpu.known = rand() % 8 != 0;
        inputs.rps.known = rand() % 8 != 0;
        struct advice advice = decide(&state, &inputs);
        if (advice.action == ADVICE_HOLD) {
            cr_assert_eq(advice.desired, current);
            continue;
        }
        uint32_t folded = 0;
        for (uint32_t i = 0; i < advice.n_signals; i++) {
            if (advice.signals[i].proposed > folded)
                folded = advice.signals[i].proposed;
        }
        for (uint32_t i = 0; i < advice.n_clamps; i++) {
            cr_assert_eq(advice.clamps[i].before, folded);
            folded = advice.clamps[i].after;
        }
        cr_assert_eq(advice.desired, folded);
        cr_assert(advice.reason[0] != '\0');
    }
}
