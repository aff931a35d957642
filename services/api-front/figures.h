// The suite's figures as they lie in the segment, read by metric name: counters of all processes
// added up, gauges of live ones. What the metrics-agent has not measured is not known, and nothing
// here makes a value up for it.
// Thread: any.
#ifndef VALVECHAIN_API_FRONT_FIGURES_H
#define VALVECHAIN_API_FRONT_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/segment.h"

struct figure { // one that may be unknown
    double value;
    bool known;
};
struct figures {
    double requests; // answered since the segment was made, system endpoints left out
    double active_connections;
    bool agent_alive;
    struct figure requests_per_second, average_response_time_ms;
    struct figure cpu_percent, memory_percent;           // of what METRICS_SCOPE names
    struct figure memory_used_bytes, memory_limit_bytes; // of the suite
};

void figures_read(const struct segment *segment, struct figures *ret_figures);

// Refusals by policy: valvechain_rate_limit_hits_total of all processes, tiers added up.
void figures_policy_hits(const struct segment *segment, const char *const *policies, size_t n,
                         double *ret_hits);

#endif
