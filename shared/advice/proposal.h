// What each signal proposes, before anything shapes the largest of it. Private to shared/advice.
#ifndef VALVECHAIN_ADVICE_PROPOSAL_H
#define VALVECHAIN_ADVICE_PROPOSAL_H

#include "advice/advise.h"

// A decision under way.
struct deciding {
    struct advice_state *state;
    const struct advice_policy *policy;
    uint64_t now_ns;
    uint32_t there; // instances to be judged: those that are there, in an update those before it
    uint32_t base;  // the number that stands: last advised, at first `there`
    bool is_updating;
    struct advice *advice;
};

// The next signal of the advice, empty but for its name; NULL: there is no more room.
struct advice_signal *proposal_add(struct deciding *deciding, const char *name);
// Sets proposal and action from instances, as compared with what is there.
void proposal_set(const struct deciding *deciding, struct advice_signal *signal, uint32_t raw);
// Not measured: what is there or was advised, the larger.
void proposal_unknown(const struct deciding *deciding, struct advice_signal *signal,
                      const char *label, const struct advice_average *average, uint64_t period_ns);
// Growth that is none: the proposal falls to `instead`, and the reason says why.
void proposal_veto(const struct deciding *deciding, struct advice_signal *signal, uint32_t instead,
                   const char *why);

void proposals_of_thresholds(struct deciding *deciding);
void proposals_of_targets(struct deciding *deciding);
void proposal_of_capacity(struct deciding *deciding);
// The panic window against the instances that are ready; the state's panic begins, goes on or ends.
void proposal_of_burst(struct deciding *deciding);

#endif
