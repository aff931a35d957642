// What the configuration file wishes of the scaling advice; part of model.h, whose promises hold
// here, too. shared/advice makes a policy of it.
#ifndef VALVECHAIN_CONFIG_MODEL_ADVICE_H
#define VALVECHAIN_CONFIG_MODEL_ADVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_RATES_MAX 8

struct config_rate {
    enum { RATE_PODS = 1, RATE_PERCENT } unit;
    uint64_t value; // CONFIG_UNSET is refused
    uint32_t period_s;
};
struct config_scaling {       // in one direction
    uint64_t stabilization_s; // CONFIG_UNSET: as docs/advice.md says
    enum { SELECT_MAX, SELECT_MIN, SELECT_DISABLED } select;
    struct config_rate rates[CONFIG_RATES_MAX];
    size_t n_rates;
};
struct config_advice {
    enum { CONFIG_ADVICE_FULL, CONFIG_ADVICE_HPA } mode;
    bool thresholds, burst;
    // 0: not tracked
    uint32_t cpu_target_percent, memory_target_percent, rps_target, in_flight_target;
    uint32_t latency_target_ms;
    uint32_t target_window_s, tolerance_up_percent, tolerance_down_percent;
    struct config_scaling scale_up, scale_down;
    uint32_t panic_window_s, stable_window_s, panic_threshold_percent;
    uint32_t warm_up_s, flaps, flap_window_s, capacity_refusals_percent;
};

#endif
