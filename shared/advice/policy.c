#include "advice/policy.h"

const char *const advice_metric_names[ADVICE_METRICS] = {"cpu", "memory", "rps", "in_flight",
                                                         "latency"};

static void set_forms(struct advice_policy *policy)
{
    policy->targets[ADVICE_CPU].form = ADVICE_UTILIZATION;
    policy->targets[ADVICE_MEMORY].form = ADVICE_UTILIZATION;
    policy->targets[ADVICE_RPS].form = ADVICE_AVERAGE;
    policy->targets[ADVICE_IN_FLIGHT].form = ADVICE_AVERAGE;
    policy->targets[ADVICE_LATENCY].form = ADVICE_VALUE;
}

struct advice_policy advice_policy_default(void)
{
    struct advice_policy policy = {
        .min_instances = 1,
        .max_instances = 10,
        .cpu = {.is_set = true, .up = 70, .down = 30, .period_s = 300},
        .rps = {.is_set = true, .up = 100, .down = 20, .period_s = 300},
        .cooldown_s = 300,
        .tolerance_up = 0.1,
        .tolerance_down = 0.1,
        .target_window_s = 60,
        .burst = {.is_on = true,
                  .panic_window_s = 6,
                  .stable_window_s = 60,
                  .threshold_percent = 200},
        .warm_up_s = 30,
        .stale_after_s = 5,
        .flaps = 6,
        .flap_window_s = 3600,
        .capacity_refusals_percent = 1,
    };

    set_forms(&policy);
    return policy;
}

struct advice_policy advice_policy_hpa(double cpu_target_percent, uint32_t min_instances,
                                       uint32_t max_instances)
{
    struct advice_policy policy = {
        .mode = ADVICE_MODE_HPA,
        .min_instances = min_instances,
        .max_instances = max_instances,
        .tolerance_up = 0.1,
        .tolerance_down = 0.1,
        .up = {.n_rates = 2, .rates = {{ADVICE_PERCENT, 100, 15}, {ADVICE_PODS, 4, 15}}},
        .down = {.stabilization_s = 300, .n_rates = 1, .rates = {{ADVICE_PERCENT, 100, 15}}},
        .stale_after_s = 60,
    };

    set_forms(&policy);
    policy.targets[ADVICE_CPU].target = cpu_target_percent;
    return policy;
}
