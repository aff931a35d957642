// The agent's own HTTP listener: /metrics (METRICS_ENDPOINT), /livez, /readyz. It reads the segment
// and nothing else, so it answers whatever the rest of the suite is doing.
#ifndef VALVECHAIN_METRICS_AGENT_LISTENER_H
#define VALVECHAIN_METRICS_AGENT_LISTENER_H

#include "service/service.h"

struct listener;

// Port 0 opens nothing (*ret_listener is then NULL, which the others accept). Logs why on failure.
int listener_open(struct service *service, const char *address,
                  const struct monitoring_params *monitoring, struct listener **ret_listener);
void listener_close(struct listener **listener);
uint64_t listener_take_scrapes(struct listener *listener); // since the last call

#endif
