// What the agent adds up over all slots of the segment, by the names the processes publish.
// Pure reading of the segment; no clock, no socket. Thread: one.
#ifndef VALVECHAIN_METRICS_AGENT_TOTALS_H
#define VALVECHAIN_METRICS_AGENT_TOTALS_H

#include <stdint.h>

#include "metric/metric.h"

struct totals {
    uint64_t requests, durations_ns; // traffic: system endpoints left out
    uint64_t requests_all;
    uint64_t refusals;                                     // by rate limits
    double active_connections;                             // of live processes
    double resident_bytes;                                 // of live processes
    uint32_t fronts, limiters, breakers, agents, advisors; // live
};

void totals_read(const struct segment *segment, const struct metric_reading *reading,
                 struct totals *ret_totals);

#endif
