// One policy's counter, whatever its algorithm: the one place that knows which algorithms there
// are. Functions are those of window.h and ring.h. Thread: one a meter.
#ifndef VALVECHAIN_LIMIT_METER_H
#define VALVECHAIN_LIMIT_METER_H

#include "limit/limit.h"
#include "limit/ring.h"
#include "limit/table.h"
#include "limit/window.h"

struct meter {
    uint64_t limit;
    bool is_ring;
    struct table_range range;
    union {
        struct window window;
        struct ring ring;
    };
};

struct meter_charge { // what was charged, for taking it back
    uint32_t bucket;
    uint64_t tag;
};

static inline void meter_init(struct meter *meter, const struct limit_policy *policy,
                              struct cell *cells)
{
    *meter = (struct meter){.limit = policy->limit,
                            .is_ring = policy->algorithm == LIMIT_RING,
                            .range = {.cells = cells + policy->first_cell,
                                      .n_sets = policy->n_cells / TABLE_WAYS,
                                      .overflow = cells + policy->overflow_cell,
                                      .n_overflow = policy->n_overflow_cells}};
    if (meter->is_ring) {
        ring_init(&meter->ring, policy->limit, policy->window_ns);
    } else {
        window_init(&meter->window, policy->limit, policy->count_bits, policy->window_ns);
    }
}
// For the key at hand: an override's limit, or the policy's own again. It is within what the
// policy's layout counts.
static inline void meter_set_limit(struct meter *meter, uint64_t limit)
{
    meter->limit = limit;
    if (meter->is_ring) {
        meter->ring.limit = limit;
    } else {
        meter->window.limit = limit;
    }
}
static inline void meter_set_clock(struct meter *meter, uint64_t now_ns)
{
    if (meter->is_ring) {
        ring_set_clock(&meter->ring, now_ns);
    } else {
        window_set_clock(&meter->window, now_ns);
    }
}
static inline bool meter_has(const struct meter *meter, uint64_t now_ns)
{
    return meter->is_ring ? ring_has(&meter->ring, now_ns) : window_has(&meter->window, now_ns);
}
static inline uint64_t meter_live_from(const struct meter *meter)
{
    return meter->is_ring ? meter->ring.live_from : meter->window.live_from;
}
static inline int meter_look(const struct meter *meter, const struct cell *cell,
                             struct cell_reading *ret_reading)
{
    return meter->is_ring ? ring_look(cell, &meter->ring, ret_reading)
                          : window_look(cell, &meter->window, ret_reading);
}
static inline int meter_raise(const struct meter *meter, struct cell *cell)
{
    return meter->is_ring ? ring_raise(cell, &meter->ring) : window_raise(cell, &meter->window);
}
static inline int meter_charge(const struct meter *meter, struct cell *cell, uint64_t cost,
                               struct meter_charge *ret_charge, struct cell_reading *ret_reading)
{
    if (meter->is_ring) {
        return ring_charge(cell, &meter->ring, cost, &ret_charge->bucket, &ret_charge->tag,
                           ret_reading);
    }
    int r = window_charge(cell, &meter->window, cost, ret_reading);
    if (r == 0) {
        ret_charge->bucket = window_bucket(&meter->window);
        ret_charge->tag = meter->window.tags[meter->window.slot];
    }
    return r;
}
static inline void meter_take_back(const struct meter *meter, struct cell *cell, uint64_t cost,
                                   const struct meter_charge *charge)
{
    if (meter->is_ring) {
        ring_take_back(cell, charge->bucket, charge->tag);
    } else {
        window_take_back(cell, meter->window.count_bits, charge->bucket, charge->tag, cost);
    }
}
static inline uint64_t meter_freed_ns(const struct meter *meter, const struct cell_reading *reading,
                                      uint64_t count)
{
    return meter->is_ring ? ring_freed_ns(&meter->ring, reading, count)
                          : window_freed_ns(&meter->window, reading, count);
}

#endif
