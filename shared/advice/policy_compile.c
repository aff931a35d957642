#include <errno.h>

#include "advice/policy.h"
#include "base/problems.h"
#include "config/model.h"

static const unsigned default_stabilization_down_s = 300; // the HPA's

static struct advice_direction direction_of(const struct config_scaling *scaling,
                                            uint32_t stabilization_s)
{
    struct advice_direction direction = {
        .stabilization_s = scaling->stabilization_s == CONFIG_UNSET
                               ? stabilization_s
                               : (uint32_t)scaling->stabilization_s,
        .select = (enum advice_select)scaling->select,
        .n_rates = (uint32_t)scaling->n_rates,
    };

    for (size_t i = 0; i < scaling->n_rates; i++)
        direction.rates[i] = (struct advice_rate){
            .unit = scaling->rates[i].unit == RATE_PODS ? ADVICE_PODS : ADVICE_PERCENT,
            .value = (uint32_t)scaling->rates[i].value,
            .period_s = scaling->rates[i].period_s};
    return direction;
}
_Static_assert(CONFIG_RATES_MAX == ADVICE_RATES_MAX, "one for each");
_Static_assert((int)SELECT_MAX == (int)ADVICE_SELECT_MAX &&
                   (int)SELECT_MIN == (int)ADVICE_SELECT_MIN &&
                   (int)SELECT_DISABLED == (int)ADVICE_SELECT_DISABLED,
               "the same choices");

static void check(const struct autoscaling_params *params, struct problems *problems)
{
    if (params->cpu_down_percent >= params->cpu_up_percent)
        problems_add(
            problems, "CPU_SCALE_DOWN_THRESHOLD: %lu is not below CPU_SCALE_UP_THRESHOLD, %lu",
            (unsigned long)params->cpu_down_percent, (unsigned long)params->cpu_up_percent);
    if (params->rps_down >= params->rps_up)
        problems_add(problems,
                     "RPS_SCALE_DOWN_THRESHOLD: %lu is not below RPS_SCALE_UP_THRESHOLD, %lu",
                     (unsigned long)params->rps_down, (unsigned long)params->rps_up);
    if (params->min_instances > params->max_instances)
        problems_add(problems, "MIN_INSTANCES: %lu is above MAX_INSTANCES, %lu",
                     (unsigned long)params->min_instances, (unsigned long)params->max_instances);
}

static void take_targets(const struct config_advice *config, struct advice_policy *policy)
{
    policy->targets[ADVICE_CPU].target = config->cpu_target_percent;
    policy->targets[ADVICE_MEMORY].target = config->memory_target_percent;
    policy->targets[ADVICE_RPS].target = config->rps_target;
    policy->targets[ADVICE_IN_FLIGHT].target = config->in_flight_target;
    policy->targets[ADVICE_LATENCY].target = config->latency_target_ms;
    policy->target_window_s = config->target_window_s;
    policy->tolerance_up = config->tolerance_up_percent / 100.0;
    policy->tolerance_down = config->tolerance_down_percent / 100.0;
}

static bool has_target(const struct advice_policy *policy)
{
    for (int i = 0; i < ADVICE_METRICS; i++)
        if (policy->targets[i].target > 0)
            return true;
    return false;
}

static void take_thresholds(const struct autoscaling_params *params, bool are_set,
                            struct advice_policy *policy)
{
    policy->cpu =
        (struct advice_threshold){are_set, (double)params->cpu_up_percent,
                                  (double)params->cpu_down_percent, (uint32_t)params->cpu_period_s};
    policy->rps = (struct advice_threshold){
        are_set, (double)params->rps_up, (double)params->rps_down, (uint32_t)params->rps_period_s};
    policy->min_instances = (uint32_t)params->min_instances;
    policy->max_instances = (uint32_t)params->max_instances;
    policy->cooldown_s = (uint32_t)params->cooldown_s;
}

int advice_policy_compile(const struct autoscaling_params *params,
                          const struct config_advice *config, uint64_t stale_after_s,
                          struct problems *problems, struct advice_policy *ret_policy)
{
    struct advice_policy policy = advice_policy_default(); // for the forms of the targets
    size_t before = problems->n;

    check(params, problems);
    if (problems->n > before)
        return -EINVAL;
    take_thresholds(params, config->thresholds, &policy);
    take_targets(config, &policy);
    policy.mode = config->mode == CONFIG_ADVICE_HPA ? ADVICE_MODE_HPA : ADVICE_MODE_FULL;
    policy.up = direction_of(&config->scale_up, 0);
    policy.down =
        direction_of(&config->scale_down, has_target(&policy) ? default_stabilization_down_s : 0);
    policy.burst = (struct advice_burst){.is_on = config->burst,
                                         .panic_window_s = config->panic_window_s,
                                         .stable_window_s = config->stable_window_s,
                                         .threshold_percent = config->panic_threshold_percent};
    policy.warm_up_s = config->warm_up_s;
    policy.stale_after_s = (uint32_t)stale_after_s;
    policy.flaps = config->flaps;
    policy.flap_window_s = config->flap_window_s;
    policy.capacity_refusals_percent = config->capacity_refusals_percent;
    *ret_policy = policy;
    return 0;
}
