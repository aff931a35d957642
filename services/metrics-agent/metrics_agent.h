// metrics-agent: samples the suite and its host once a second into gauges of the segment, publishes
// a snapshot on the bus, serves /metrics on its own listener.
#ifndef VALVECHAIN_METRICS_AGENT_H
#define VALVECHAIN_METRICS_AGENT_H

#include "service/service.h"

extern const struct service_descriptor metrics_agent_descriptor;

#endif
