// What a policy would have done to a trace: shared/advice, the same code as live, under the trace's
// own time, beside a model of the instances that it orders. Deterministic: same trace, policy and
// model, same result to the bit. Pure; thread: any.
//
// The model: load spreads evenly over ready instances; an instance does at most 100 % of CPU, and
// what is beyond is refused (capacity refusals, in the proportion of the work); cpu_load grows with
// nothing else. An instance that is ordered is ready start_delay_s later and costs from its order
// on; what is given up leaves at once, those still starting first. in_flight and latency are as
// recorded. A sample stands for the time since the one before it.
#ifndef VALVECHAIN_VALVECTL_SIMULATION_H
#define VALVECHAIN_VALVECTL_SIMULATION_H

#include "advice/policy.h"
#include "trace.h"

#define SIMULATION_BROKEN_MAX 160

struct simulation_model {
    uint32_t start_delay_s;
    uint32_t instances;  // at the start; 0: the policy's minimum
    double over_percent; // CPU per ready instance above this is time over target
};
struct simulation_result {
    double instance_hours, minutes_over, refused, asked; // requests
    uint32_t changes, flips;   // of the number ordered; changes of direction among them
    uint32_t decisions, blind; // decisions; those without valid measurements
    uint32_t least, most;      // instances
    // What the library promises and did not keep: bounds, blind never shrinks, an open dependency
    // never shrinks, the flap budget, the chain adds up. 0, or there is a bug.
    uint32_t broken;
    char first_broken[SIMULATION_BROKEN_MAX];
    uint32_t *instances; // ordered, after each sample; `trace->n` of them, the caller's to free
};
// -ENOMEM.
int simulation_run(const struct trace *trace, const struct advice_policy *policy,
                   const struct simulation_model *model, struct simulation_result *ret_result);
void simulation_result_fini(struct simulation_result *result);

#endif
