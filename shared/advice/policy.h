// What is wished of the advice: plain numbers, compiled from the parameters of the specification
// and the `advice` section of the configuration file, or set by hand in tests. Pure. Thread: any.
#ifndef VALVECHAIN_ADVICE_POLICY_H
#define VALVECHAIN_ADVICE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#define ADVICE_RATES_MAX 8

// What can be measured of the target.
enum advice_metric {
    ADVICE_CPU,       // percent of what the instances may use
    ADVICE_MEMORY,    // percent
    ADVICE_RPS,       // requests/s
    ADVICE_IN_FLIGHT, // requests being served
    ADVICE_LATENCY,   // ms
    ADVICE_METRICS
};
extern const char *const advice_metric_names[ADVICE_METRICS]; // "cpu", "memory", "rps", ...

// How HPA v2 judges such a metric (replicas.h): UTILIZATION percent of a capacity; AVERAGE per
// instance; VALUE of the whole, compared with the target by itself; TOTAL of the whole, shared out
// (AverageValue of an external metric).
enum advice_form { ADVICE_UTILIZATION, ADVICE_AVERAGE, ADVICE_VALUE, ADVICE_TOTAL };

struct advice_target {
    double target; // percent, per instance or ms; 0: not tracked
    enum advice_form form;
};

// The specification's: above `up` grow, below `down` shrink by one, by the average of a period.
struct advice_threshold {
    bool is_set;
    double up, down;
    uint32_t period_s; // 1 to 86400
};

enum advice_rate_unit { ADVICE_PODS, ADVICE_PERCENT };
struct advice_rate { // at most so many instances, or percent of them, more or fewer in a period
    enum advice_rate_unit unit;
    uint32_t value, period_s; // the latter at most 1800
};
enum advice_select { ADVICE_SELECT_MAX, ADVICE_SELECT_MIN, ADVICE_SELECT_DISABLED };
struct advice_direction {
    uint32_t stabilization_s; // at most 3600; 0: none
    enum advice_select select;
    uint32_t n_rates; // 0: any change at once
    struct advice_rate rates[ADVICE_RATES_MAX];
};

// Knative's KPA: the panic window's demand against what the instances there are can take.
struct advice_burst {
    bool is_on;                               // works by the targets of rps and in_flight
    uint32_t panic_window_s, stable_window_s; // 6 and 60; at most 60
    uint32_t threshold_percent;               // 200
};

enum advice_mode {
    ADVICE_MODE_FULL,
    // HPA v2 and nothing else: targets by the newest sample, stabilization, rates, bounds. A
    // decided change counts as made (the caller makes it), as the HPA's own does.
    ADVICE_MODE_HPA
};

struct advice_policy {
    enum advice_mode mode;
    uint32_t min_instances, max_instances; // max >= min; min >= 1
    struct advice_threshold cpu, rps;      // FULL only
    uint32_t cooldown_s;                   // FULL only; no second change within it
    struct advice_target targets[ADVICE_METRICS];
    double tolerance_up, tolerance_down; // 0.1: a ratio in 0.9..1.1 changes nothing
    uint32_t target_window_s;            // FULL only; targets judge the average of it, 1 to 3600
    struct advice_direction up, down;
    struct advice_burst burst;     // FULL only
    uint32_t warm_up_s;            // FULL only; instances added since do not count as measured
    uint32_t stale_after_s;        // without a good sample for so long: blind
    uint32_t flaps, flap_window_s; // FULL only; after so many changes of direction within the
                                   // window (at most 86400) it does not shrink; 0: no budget
    // FULL only: our own refusals (in-flight limit, capacity of breakers), percent of the requests,
    // above which they are a reason to grow; 0: never.
    double capacity_refusals_percent;
};

// The specification's defaults: thresholds of CPU and RPS, nothing else.
struct advice_policy advice_policy_default(void);
// From the parameters and the configuration file's `advice` section. -EINVAL: the problems say
// what is wrong between them; *ret_policy is untouched.
struct autoscaling_params;
struct config_advice;
struct problems;
int advice_policy_compile(const struct autoscaling_params *params,
                          const struct config_advice *config, uint64_t stale_after_s,
                          struct problems *problems, struct advice_policy *ret_policy);
// Kubernetes' defaults for a CPU target: 300 s of down stabilization, up 100 % or 4 pods in 15 s.
struct advice_policy advice_policy_hpa(double cpu_target_percent, uint32_t min_instances,
                                       uint32_t max_instances);

#endif
