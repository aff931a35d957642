// From samples, policy and own history to one advice. Pure: no clock, no I/O, no allocation; the
// same calls give the same advice to the bit, live and in a simulation.
//
//   struct advice_state state;
//   advice_init(&state, &policy);
//   each step (1 s live, any in a trace):  advice_observe(&state, &policy, &sample);
//                                          advice_decide(&state, &policy, now_ns, &advice);
//
// Order of the steps of a decision (ADVICE_MODE_FULL; docs/advice.md explains each):
//   proposals per signal, vetoes -> the largest -> panic -> rolling_update -> dependency ->
//   stabilization -> rates -> flap_budget -> bounds -> cooldown
// A signal that is asked for and not known proposes max(there, last advised): blind never shrinks.
// Thread: one per state.
#ifndef VALVECHAIN_ADVICE_ADVISE_H
#define VALVECHAIN_ADVICE_ADVISE_H

#include "advice/advice.h"
#include "advice/history.h"
#include "advice/policy.h"

// One metric of all instances of the target together, as of one moment.
struct advice_usage {
    bool known;
    // How many instances `total` is of; how many that count as ready gave none; how many are not
    // ready yet (theirs is not in `total`). 0 measured with a known VALUE or TOTAL is fine.
    uint32_t measured, missing, unready;
    double total; // sum over the measured; VALUE (latency): the value itself
    // UTILIZATION: what 100 % are, of the measured, the missing, the unready, in the unit of total
    double capacity, missing_capacity, unready_capacity;
};

struct advice_sample {
    uint64_t time_ns;
    uint64_t step_ns;     // how long it stands for: the interval of sampling
    uint32_t current;     // instances there or ordered (what HPA calls spec.replicas)
    uint32_t ready;       // of these: serving
    uint32_t replacing;   // leave with a successor there or on the way: an update rolls
    bool dependency_open; // a breaker of a dependency is open
    bool contradictory;   // its sources disagree: nothing of it is believed
    struct advice_usage usage[ADVICE_METRICS]; // RPS: all requests, refused ones too
    double quota_refusals_per_s;               // refused by tenants' own limits; part of RPS
    double capacity_refusals_per_s;            // refused for our own lack of room; part of RPS
};

// What a target of `instances` looks like whose metric is an average over all of them, each in the
// same measure: CPU and memory in percent, RPS and in-flight as totals, latency by itself.
struct advice_usage advice_usage_percent(double percent, uint32_t instances);
struct advice_usage advice_usage_total(double total, uint32_t instances);
struct advice_usage advice_usage_value(double value);

void advice_init(struct advice_state *state, const struct advice_policy *policy);
// After a reload: windows whose period changed begin anew, all else is kept.
void advice_adapt(struct advice_state *state, const struct advice_policy *policy);
// False: the sample is not believed (contradictory, older than the last, no number) and only
// counted in state->rejected.
bool advice_observe(struct advice_state *state, const struct advice_policy *policy,
                    const struct advice_sample *sample);
// `now_ns` does not go back; it is not before the last sample's time.
void advice_decide(struct advice_state *state, const struct advice_policy *policy, uint64_t now_ns,
                   struct advice *ret_advice);

#endif
