// Active probes: each endpoint of an upstream whose configuration has a `probe` is asked again and
// again whether it is well; thresholds make that a state, which stands in the segment for all
// gateways (breaker/probed.h), in metrics, and as an event when it changes.
// Thread: the loop's.
#ifndef VALVECHAIN_BREAKER_PROBES_H
#define VALVECHAIN_BREAKER_PROBES_H

#include "config/model.h"
#include "service/service.h"

struct probes;
// -EINVAL with a problem: more endpoints than the segment has room for.
int probes_check(const struct config_model *model, struct problems *problems);
// 0 or -ENOMEM.
int probes_create(struct service *service, struct probes **ret_probes);
// Of the service's model as it is now; an endpoint that stays, with a probe of the same kind, keeps
// its state, also across a restart. -ENOMEM: the old ones go on.
int probes_reload(struct probes *probes);
// The records stay, and count until their time is over. The loop must turn until what is under way
// has ended.
void probes_destroy(struct probes **probes);

#endif
