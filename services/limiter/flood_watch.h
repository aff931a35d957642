// Watches the counters of all processes for floods of new keys (flood.h): the event `limit.flood`,
// a line in the log and the gauges, when one begins and when it is over. Thread: the loop's.
#ifndef VALVECHAIN_LIMITER_FLOOD_WATCH_H
#define VALVECHAIN_LIMITER_FLOOD_WATCH_H

#include "flood.h"
#include "limit/limit.h"
#include "service/service.h"

struct flood_watch {
    struct service *service;
    struct flood flood;
    metric_id rate, is_on, floods;
};

void flood_watch_init(struct flood_watch *watch, struct service *service);
// To be called about once a second. `fill` goes into the evidence.
void flood_watch_look(struct flood_watch *watch, const struct flood_rules *rules,
                      const struct limit_fill *fill);

#endif
