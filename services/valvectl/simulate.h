// The parts of `valvectl simulate` and `record`: policies from files, results as table, JSON and
// plot.
#ifndef VALVECHAIN_VALVECTL_SIMULATE_H
#define VALVECHAIN_VALVECTL_SIMULATE_H

#include <stdio.h>

#include "simulation.h"

#define SIMULATE_POLICIES_MAX 8 // beside the reference
#define SIMULATE_NAME_MAX     64

struct simulated {
    char name[SIMULATE_NAME_MAX]; // the file's without folder and ending; "hpa-v2"
    struct advice_policy policy;
    struct simulation_result result;
};
struct simulate_report {
    const char *trace_name;
    const struct trace *trace;
    const struct simulation_model *model;
    struct simulated *runs;
    size_t n_runs;
};

// The parameters and the `advice` section of a configuration file, everything else aside.
// -EINVAL: all problems are on stderr.
int simulate_load_policy(const char *path, struct simulated *ret_run);
// Plain HPA v2 with Kubernetes' defaults for a CPU target, in the bounds of `like`.
void simulate_reference(const struct advice_policy *like, double target_percent,
                        struct simulated *ret_run);

void simulate_print(const struct simulate_report *report, FILE *out);
void simulate_print_json(const struct simulate_report *report, FILE *out);
// Instances over time, each policy a line, behind them what the load would need at the target.
void simulate_print_svg(const struct simulate_report *report, FILE *out);

#endif
