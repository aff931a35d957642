// The agent's own HTTP listener: /metrics (METRICS_ENDPOINT), the history
// (HISTORY_ENDPOINT), the page (DASHBOARD_ENDPOINT), /livez, /readyz. It reads the segment
// and nothing else, so it answers whatever the rest of the suite is doing.
#ifndef VALVECHAIN_METRICS_AGENT_LISTENER_H
#define VALVECHAIN_METRICS_AGENT_LISTENER_H

#include "breaker/breaker.h"
#include "service/service.h"

struct listener;

// Port 0 opens nothing. An address that cannot be bound now is a finding and tried again by
// listener_retry(); -EINVAL, -ENOMEM are failures, logged. The view must outlive it.
int listener_open(struct service *service, const char *address,
                  const struct monitoring_params *monitoring, struct breaker_view *breakers,
                  struct listener **ret_listener);
void listener_retry(struct listener *listener); // call now and then; does nothing when open
void listener_close(struct listener **listener);
uint64_t listener_take_scrapes(struct listener *listener); // since the last call

#endif
