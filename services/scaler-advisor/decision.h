// From averages, policy and the advisor's own past to one advice: up and down thresholds with their
// evaluation period, cooldown and bounds. Pure; the advice carries its whole chain: a raw proposal
// per signal, each clamp with before and after, one sentence.
//
// Each signal proposes a number of instances: above its scale-up threshold what would bring it back
// to the threshold (at least one more), below its scale-down threshold one fewer, else the current
// number. The largest proposal wins, so it goes down only when every signal says so; a signal that
// is not known proposes the current number (blind never shrinks). Then bounds, then cooldown.
#ifndef VALVECHAIN_SCALER_ADVISOR_DECISION_H
#define VALVECHAIN_SCALER_ADVISOR_DECISION_H

#include "advice/published.h"
#include "config/params.h"
#include "evaluation.h"

struct decision_inputs {
    uint64_t now_ns;
    uint32_t current;             // live instances of the gateway
    bool fresh;                   // a snapshot came within the last seconds
    struct evaluation_result cpu; // percent
    struct evaluation_result rps; // requests/s per instance
};

struct decision_state {
    uint32_t desired;    // last advised; 0: never
    uint64_t changed_ns; // when it last changed; 0: never
};

void decision_make(const struct autoscaling_params *policy, const struct decision_inputs *inputs,
                   struct decision_state *state, struct advice *ret_advice);

#endif
