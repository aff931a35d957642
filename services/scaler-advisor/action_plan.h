// When an action (ACTION) has to carry an advised number out, and when again after a failure. Pure:
// the caller looks at the clock, draws the lots, and acts. One action at a time; only a number that
// is not in force yet is carried out, and nothing while the advice is not valid: a number from
// before the advisor went blind waits until it sees again.
// Thread: one.
#ifndef VALVECHAIN_SCALER_ADVISOR_ACTION_PLAN_H
#define VALVECHAIN_SCALER_ADVISOR_ACTION_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define ACTION_RETRY_FIRST_NS UINT64_C(1000000000) // doubles with every failure

struct action_bounds {
    uint64_t retry_max_ns; // the longest pause between two attempts
    uint64_t retry_for_ns; // attempts for one number go on for this long
};
struct action_plan { // all zero: nothing known yet
    bool seen;       // a valid advice came
    bool done_known; // `done` is in force; false after a failure, which may have changed anything
    bool running, given_up;
    uint32_t done, wanted;
    uint32_t failures;          // in a row, for `wanted`
    uint64_t first_ns, next_ns; // since when `wanted` is tried; not before
};
enum action_verdict { ACTION_IN_FORCE, ACTION_AGAIN, ACTION_GIVEN_UP };

// To be asked with every advice. The number of instances that the first valid one finds counts as
// carried out. True: plan->wanted is to be carried out now, and plan->running is set.
bool action_plan_next(struct action_plan *plan, uint64_t now_ns, bool valid, uint32_t current,
                      uint32_t desired);
// The attempt is over. After a failure the next one comes after half of the pause and a random part
// (`lot`, any number) of its other half, and not before `retry_after_ns` from now, as far as
// retry_max_ns reaches. A number that is given up is tried again only when another was advised.
enum action_verdict action_plan_end(struct action_plan *plan, uint64_t now_ns, bool ok,
                                    uint64_t retry_after_ns, uint64_t lot,
                                    const struct action_bounds *bounds);
// Is a number advised that is not in force?
bool action_plan_is_behind(const struct action_plan *plan);

#endif
