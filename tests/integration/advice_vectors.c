// Decides over vectors from standard input as an HPA would, for test_advice_parity.py, which has a
// second implementation of the same rules. Whole numbers; quantities in thousandths.
//   N min max tolerance_up% tolerance_down%, then twice (up, down): stabilization select n and n
//     times unit value period; then five times (each metric): form target    -> a new workload
//   S time_s current ready, then five times: known measured missing unready total capacity
//     missing_capacity unready_capacity                      -> prints "desired valid"
#include <stdio.h>
#include <stdlib.h>

#include "advice/advise.h"
#include "base/clock.h"

static long next(void)
{
    long number;

    if (scanf("%ld", &number) != 1)
        exit(2);
    return number;
}

static uint32_t next_u32(void)
{
    return (uint32_t)next();
}

static double next_quantity(void)
{
    return (double)next() / 1000.0;
}

static struct advice_direction next_direction(void)
{
    struct advice_direction direction = {.stabilization_s = next_u32()};

    direction.select = (enum advice_select)next();
    direction.n_rates = next_u32();
    for (uint32_t i = 0; i < direction.n_rates && i < ADVICE_RATES_MAX; i++) {
        direction.rates[i].unit = (enum advice_rate_unit)next();
        direction.rates[i].value = next_u32();
        direction.rates[i].period_s = next_u32();
    }
    return direction;
}

static struct advice_policy next_policy(void)
{
    uint32_t min = next_u32(), max = next_u32();
    struct advice_policy policy = advice_policy_hpa(0, min, max);

    policy.tolerance_up = (double)next() / 100.0;
    policy.tolerance_down = (double)next() / 100.0;
    policy.up = next_direction();
    policy.down = next_direction();
    for (int i = 0; i < ADVICE_METRICS; i++) {
        policy.targets[i].form = (enum advice_form)next();
        policy.targets[i].target = next_quantity();
    }
    return policy;
}

static struct advice_sample next_sample(void)
{
    struct advice_sample sample = {.step_ns = 15 * NS_PER_S};

    sample.time_ns = (uint64_t)next() * NS_PER_S;
    sample.current = next_u32();
    sample.ready = next_u32();
    for (int i = 0; i < ADVICE_METRICS; i++) {
        struct advice_usage *usage = &sample.usage[i];

        usage->known = next() != 0;
        usage->measured = next_u32();
        usage->missing = next_u32();
        usage->unready = next_u32();
        usage->total = next_quantity();
        usage->capacity = next_quantity();
        usage->missing_capacity = next_quantity();
        usage->unready_capacity = next_quantity();
    }
    return sample;
}

int main(void)
{
    static struct advice_state state;
    struct advice_policy policy = advice_policy_hpa(50, 1, 10);
    char what;

    while (scanf(" %c", &what) == 1) {
        if (what == 'N') {
            policy = next_policy();
            advice_init(&state, &policy);
            continue;
        }
        struct advice_sample sample = next_sample();
        struct advice advice;

        if (!advice_observe(&state, &policy, &sample))
            return 3;
        advice_decide(&state, &policy, sample.time_ns, &advice);
        if (advice_fold(&advice) != advice.desired)
            return 4;
        printf("%u %u\n", advice.desired, advice.valid);
    }
    return 0;
}
