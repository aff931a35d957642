// Decisions as their users meet them: the specification's thresholds, the chain, blindness.
#include <criterion/criterion.h>

#include "advice/advise.h"
#include "base/clock.h"

static struct advice_state state;

static struct advice_sample sample_at(uint64_t time_s, uint32_t instances, double cpu, double rps)
{
    struct advice_sample sample = {.time_ns = time_s * NS_PER_S,
                                   .step_ns = NS_PER_S,
                                   .current = instances,
                                   .ready = instances};

    sample.usage[ADVICE_CPU] = advice_usage_percent(cpu, instances);
    sample.usage[ADVICE_RPS] = advice_usage_total(rps, instances);
    return sample;
}

// Seconds [from, to) of the same load; the advice of the last one.
static struct advice run(const struct advice_policy *policy, uint64_t from_s, uint64_t to_s,
                         uint32_t instances, double cpu, double rps)
{
    struct advice advice = {0};

    for (uint64_t second = from_s; second < to_s; second++) {
        struct advice_sample sample = sample_at(second, instances, cpu, rps);

        cr_assert(advice_observe(&state, policy, &sample));
        advice_decide(&state, policy, sample.time_ns, &advice);
        cr_assert_eq(advice_fold(&advice), advice.desired);
    }
    return advice;
}

Test(advise, the_example_of_the_specification)
{
    struct advice_policy policy = advice_policy_default();

    policy.rps.up = 40;
    advice_init(&state, &policy);
    struct advice advice = run(&policy, 1000, 1300, 1, 60, 45.2);
    cr_assert_eq(advice.action, ADVICE_SCALE_UP);
    cr_assert_str_eq(advice.reason, "RPS (45) exceeds scale-up threshold (40)");
    cr_assert_str_eq(advice.priority, "high");
    cr_assert_eq(advice.desired, 2);
    cr_assert_eq(advice.valid, 1);
}

Test(advise, before_the_evaluation_period_is_measured_it_is_blind)
{
    struct advice_policy policy = advice_policy_default();

    advice_init(&state, &policy);
    struct advice advice = run(&policy, 1000, 1200, 3, 10, 5);
    cr_assert_eq(advice.valid, 0);
    cr_assert_eq(advice.action, ADVICE_HOLD);
    cr_assert_eq(advice.desired, 3);
}
