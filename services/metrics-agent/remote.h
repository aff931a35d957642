// Snapshots for scaler-advisors of other hosts: the bus over TCP, with CURVE keys on both sides.
#ifndef VALVECHAIN_METRICS_AGENT_REMOTE_H
#define VALVECHAIN_METRICS_AGENT_REMOTE_H

#include "agent_params.h"
#include "service/service.h"

// What the tables cannot check. -EINVAL with the problems.
int remote_check(const struct agent_params *params, struct problems *problems);
// Listens where SNAPSHOT_LISTEN says, if it says so. A taken address is tried again by the next
// call: to be called about once a second.
struct remote {
    bool is_open, has_failed;
};
void remote_tick(struct remote *remote, struct service *service, const struct agent_params *params);

#endif
