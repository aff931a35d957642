// One policy's counter, whatever its algorithm: the one place that knows which algorithms there
// are. A kind of meter has a look, raise, charge, take_back and freed_ns, with the promises of
// window.h; its cells are wide or slim. Which kind is a switch, not a call through a pointer: the
// branch is the same for every request of a policy. Thread: one a meter.
#ifndef VALVECHAIN_LIMIT_METER_H
#define VALVECHAIN_LIMIT_METER_H

#include "limit/fixed.h"
#include "limit/gcra.h"
#include "limit/hold.h"
#include "limit/limit.h"
#include "limit/ring.h"
#include "limit/table.h"
#include "limit/window.h"

enum meter_kind { METER_WINDOW, METER_RING, METER_GCRA, METER_FIXED, METER_HOLD };

struct meter {
    uint64_t limit;    // the policy's, or the one of the key at hand
    uint64_t most;     // what `used` is held against: the limit, for gcra the burst
    uint64_t identity; // the policy's
    enum meter_kind kind;
    bool needs_clock; // the guess at the time (limit.c) would be too old
    bool by_epoch;    // all it asks of the clock is whether the epoch of a charge lasts
    struct table_range range;
    const struct limit_policy *policy;
    union {
        struct window window;
        struct ring ring;
        struct gcra gcra;
        struct fixed fixed;
        struct hold hold;
    };
};

struct meter_charge { // what was charged, for taking it back
    uint32_t bucket;
    uint64_t tag;
    uint64_t before, after; // gcra's; 0 for a refund
    uint64_t owner;         // the cell's owner word; 0: an overflow cell
};

struct meter_holder { // the process, as holds name it
    uint32_t slot, generation;
    uint16_t *era;
};

void meter_init(struct meter *meter, const struct limit_policy *policy, struct cell *cells,
                const struct meter_holder *holder);
// For the key at hand: an override's limit, or the policy's own again. It is within what the
// policy's layout counts. A gcra burst changes in proportion.
void meter_set_limit(struct meter *meter, uint64_t limit);
// Are the cells of such a policy slim?
bool meter_is_slim(const struct limit_policy *policy);

static inline struct cell *meter_wide(struct cell_head *cell)
{
    return (struct cell *)(void *)cell; // of a range of wide cells
}
static inline void meter_set_clock(struct meter *meter, uint64_t now_ns)
{
    switch (meter->kind) {
    case METER_WINDOW:
        window_set_clock(&meter->window, now_ns);
        break;
    case METER_RING:
        ring_set_clock(&meter->ring, now_ns);
        break;
    case METER_GCRA:
        gcra_set_clock(&meter->gcra, now_ns);
        break;
    case METER_FIXED:
        fixed_set_clock(&meter->fixed, now_ns);
        break;
    case METER_HOLD:
        hold_set_clock(&meter->hold, now_ns);
        break;
    }
}
static inline bool meter_has(const struct meter *meter, uint64_t now_ns)
{
    switch (meter->kind) {
    case METER_RING:
        return ring_has(&meter->ring, now_ns);
    case METER_GCRA:
        return gcra_has(&meter->gcra, now_ns);
    case METER_FIXED:
        return fixed_has(&meter->fixed, now_ns);
    case METER_HOLD:
        return hold_has(&meter->hold, now_ns);
    case METER_WINDOW:
        break;
    }
    return window_has(&meter->window, now_ns);
}
static inline uint64_t meter_epoch_end_ns(const struct meter *meter) // of one that is by_epoch
{
    return meter->kind == METER_FIXED ? fixed_freed_ns(&meter->fixed) : meter->window.end_ns;
}
static inline uint64_t meter_live_from(const struct meter *meter)
{
    switch (meter->kind) {
    case METER_RING:
        return meter->ring.live_from;
    case METER_GCRA:
        return meter->gcra.live_from;
    case METER_FIXED:
        return meter->fixed.live_from;
    case METER_HOLD:
        return meter->hold.live_from;
    case METER_WINDOW:
        break;
    }
    return meter->window.live_from;
}
static inline int meter_look(const struct meter *meter, struct cell_head *cell,
                             struct cell_reading *ret_reading)
{
    switch (meter->kind) {
    case METER_RING:
        return ring_look(meter_wide(cell), &meter->ring, ret_reading);
    case METER_GCRA:
        gcra_look(cell, &meter->gcra, ret_reading);
        return 0;
    case METER_FIXED:
        return fixed_look(cell, &meter->fixed, ret_reading);
    case METER_HOLD:
        hold_look(meter_wide(cell), &meter->hold, ret_reading);
        return 0;
    case METER_WINDOW:
        break;
    }
    return window_look(meter_wide(cell), &meter->window, ret_reading);
}
int meter_raise(const struct meter *meter, struct cell_head *cell);
// Here and below: a window, which most policies are, is counted by code in place.
// `is_late`: a cost known only afterwards, which is charged whatever the limit is (as far as the
// cell can count); nothing for METER_HOLD.
int meter_charge_any(const struct meter *meter, struct cell_head *cell, uint64_t cost, bool is_late,
                     struct meter_charge *ret_charge, struct cell_reading *ret_reading);
static inline int meter_charge(const struct meter *meter, struct cell_head *cell, uint64_t cost,
                               bool is_late, struct meter_charge *ret_charge,
                               struct cell_reading *ret_reading)
{
    if (meter->kind != METER_WINDOW || is_late) {
        return meter_charge_any(meter, cell, cost, is_late, ret_charge, ret_reading);
    }
    int r = window_charge(meter_wide(cell), &meter->window, cost, ret_reading);
    if (r == 0) {
        ret_charge->bucket = window_bucket(&meter->window);
        ret_charge->tag = meter->window.epoch;
    }
    return r;
}
// `seen` is the cell's `last`, `now_ns` was read after it. False: try again with fresh ones.
bool meter_take_back(const struct meter *meter, struct cell_head *cell, uint64_t cost,
                     const struct meter_charge *charge, uint64_t seen, uint64_t now_ns);
uint64_t meter_freed_any_ns(const struct meter *meter, const struct cell_reading *reading,
                            uint64_t count);
static inline uint64_t meter_freed_ns(const struct meter *meter, const struct cell_reading *reading,
                                      uint64_t count)
{
    return meter->kind == METER_WINDOW ? window_freed_ns(&meter->window, reading, count)
                                       : meter_freed_any_ns(meter, reading, count);
}

#endif
