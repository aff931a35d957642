// ACTION: carries a changed advice out by a program or a POST, one attempt at a time, and again
// after a failure (action_plan.h has the rules). Every attempt is logged and counted.
// Errors: -errno. Thread: the loop's.
#ifndef VALVECHAIN_SCALER_ADVISOR_ACTIONS_H
#define VALVECHAIN_SCALER_ADVISOR_ACTIONS_H

#include "advisor_params.h"
#include "service/service.h"

struct actions;
// `params` lives until actions_take_params() names others, or the end.
int actions_create(struct service *service, const struct advisor_params *params,
                   struct actions **ret_actions);
// An attempt under way goes on as it began; what was tried in vain is tried again at once.
void actions_take_params(struct actions *actions, const struct advisor_params *params);
void actions_advice(struct actions *actions, const struct advice *advice); // with every decision
// Why an advised number is not in force, for health; "" while all is well.
const char *actions_finding(const struct actions *actions);
// A program under way is killed with its group. The loop must turn once more.
void actions_destroy(struct actions **actions);

// What the tables cannot check. -EINVAL with the problems.
int actions_check(const struct advisor_params *params, struct problems *problems);

#endif
