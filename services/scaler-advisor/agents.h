// Whom the advisor hears: the metrics-agent of its own host, or those that AGENTS names, by address
// or by a name that is asked for again and again, over TCP with CURVE keys. Of a name every address
// is an agent; while a name has no answer, the last one stands. Agents that come or go need no
// restart.
// Errors: -errno. Thread: the loop's.
#ifndef VALVECHAIN_SCALER_ADVISOR_AGENTS_H
#define VALVECHAIN_SCALER_ADVISOR_AGENTS_H

#include "advisor_params.h"
#include "service/service.h"

#define AGENTS_LOCAL "local" // the word for this host's own agent

struct agents;
// `params` is only used inside the call. Snapshots go to on_message. Has logged why it failed.
int agents_open(struct service *service, const struct advisor_params *params,
                bus_message_fn *on_message, void *arg, struct agents **ret_agents);
void agents_tick(struct agents *agents, uint64_t now_ns); // about once a second
void agents_close(struct agents **agents); // before the bus; the loop must turn once more

// What the tables cannot check. -EINVAL with the problems.
int agents_check(const struct advisor_params *params, struct problems *problems);

#endif
