// What operators change at run time: limit.reset, limit.set and limit.network on the commands
// socket. Each change is a log line and an event `security.admin` with who and why. Limits of
// single keys go into the policies by a publication, networks into the segment (limit/operator.h);
// both are read back after a restart, and end by themselves. Thread: the loop's.
#ifndef VALVECHAIN_LIMITER_OPERATE_H
#define VALVECHAIN_LIMITER_OPERATE_H

#include "lease_desk.h"
#include "limit/limit.h"
#include "limit/operator.h"
#include "service/service.h"

struct operate;
// `republish` publishes the policies with what operate_add_overrides adds. -errno: it could not be.
typedef int operate_republish_fn(void *arg);
int operate_create(struct service *service, struct limit_view *view,
                   operate_republish_fn *republish, void *arg, struct operate **ret_operate);
// Its topics are then refused; freed when the loop has turned.
void operate_destroy(struct operate **operate);

// Resets of distributed policies reach the store by it. NULL: there is none.
void operate_set_desk(struct operate *operate, struct lease_desk *desk);
// Adds the limits of single keys that operators gave, in place of the set's own for the same key.
// What a policy of the set no longer can count, or has no policy any more, is left out (and
// logged).
void operate_add_overrides(struct operate *operate, struct limit_policy_set *set);
struct operator_view *operate_networks(struct operate *operate); // for operator_judge

#endif
