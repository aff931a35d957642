// The breakers' figures as metrics of this process.
//
// A counter must neither go back when this process is restarted nor count twice when two slots have
// published it (a predecessor under another instance name): what is added is only what all slots
// together lack against the segment's own total.
#ifndef VALVECHAIN_BREAKER_FIGURES_H
#define VALVECHAIN_BREAKER_FIGURES_H

#include "breaker/breaker.h"
#include "metric/metric.h"

#define FIGURES_STATES   3
#define FIGURES_COUNTERS 7

struct figures_counter {
    metric_id id;
    uint64_t total;  // as last taken over
    char labels[96]; // as rendered
};
struct figures_breaker {
    bool is_registered;
    metric_id states[FIGURES_STATES], in_flight, capacity, events;
    struct figures_counter counters[FIGURES_COUNTERS];
};
struct figures {
    struct segment *segment;
    struct metric_set *set;
    struct figures_breaker breakers[BREAKER_MAX];
};

enum {
#define METRIC_ROWS "metrics.def"
#include "metric/metric_enum.inc"
#undef METRIC_ROWS
    FIGURES_METRICS
};
extern const struct metric_def figures_defs[FIGURES_METRICS];

void figures_init(struct figures *figures, struct segment *segment, struct metric_set *set);
// Takes over the figures of every breaker; registers those that are new.
void figures_update(struct figures *figures, struct breaker_view *view, uint64_t now_ns);
void figures_count_event(struct figures *figures, uint32_t index);

#endif
