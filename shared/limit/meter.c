#include "limit/meter.h"

#include <errno.h>

bool meter_is_slim(const struct limit_policy *policy)
{
    return policy->algorithm == LIMIT_GCRA || policy->algorithm == LIMIT_FIXED_WINDOW;
}

void meter_init(struct meter *meter, const struct limit_policy *policy, struct cell *cells,
                const struct meter_holder *holder)
{
    *meter =
        (struct meter){.policy = policy,
                       .identity = policy->identity,
                       .range = table_range_of(cells + policy->first_cell, policy->n_cells,
                                               cells + policy->overflow_cell,
                                               policy->n_overflow_cells, meter_is_slim(policy))};
    switch (policy->algorithm) {
    case LIMIT_RING:
        meter->kind = METER_RING;
        meter->needs_clock = true;
        ring_init(&meter->ring, policy->limit, policy->window_ns);
        break;
    case LIMIT_GCRA:
        meter->kind = METER_GCRA;
        meter->needs_clock = true;
        break;
    case LIMIT_FIXED_WINDOW:
        meter->kind = METER_FIXED;
        fixed_init(&meter->fixed, policy->limit, policy->window_ns);
        break;
    case LIMIT_CONCURRENCY:
        meter->kind = METER_HOLD;
        hold_init(&meter->hold, policy->limit, policy->hold_ns, holder->slot, holder->generation,
                  holder->era);
        break;
    default:
        meter->kind = METER_WINDOW;
        window_init(&meter->window, policy->limit, policy->count_bits, policy->window_ns);
    }
    meter->by_epoch = meter->kind == METER_WINDOW || meter->kind == METER_FIXED;
    meter_set_limit(meter, policy->limit);
}

static void set_gcra_limit(struct meter *meter, uint64_t limit)
{
    const struct limit_policy *policy = meter->policy;
    uint64_t rate = limit > 0 ? limit : 1, burst = policy->burst;
    if (policy->limit > 0 && limit != policy->limit) {
        burst = (uint64_t)((double)burst * (double)rate / (double)policy->limit);
    }
    burst = burst > 0 ? burst : 1;
    gcra_init(&meter->gcra, rate, burst, policy->window_ns);
    meter->most = limit > 0 ? burst : 0;
}

void meter_set_limit(struct meter *meter, uint64_t limit)
{
    meter->limit = meter->most = limit;
    switch (meter->kind) {
    case METER_WINDOW:
        meter->window.limit = limit;
        break;
    case METER_RING:
        meter->ring.limit = limit;
        break;
    case METER_GCRA:
        set_gcra_limit(meter, limit);
        break;
    case METER_FIXED:
        meter->fixed.limit = limit;
        break;
    case METER_HOLD:
        meter->hold.limit = limit;
        break;
    }
}

int meter_raise(const struct meter *meter, struct cell_head *cell)
{
    switch (meter->kind) {
    case METER_RING:
        return ring_raise(meter_wide(cell), &meter->ring);
    case METER_GCRA:
        gcra_raise(cell, &meter->gcra);
        return 0;
    case METER_FIXED:
        return fixed_raise(cell, &meter->fixed);
    case METER_HOLD:
        hold_raise(meter_wide(cell), &meter->hold);
        return 0;
    case METER_WINDOW:
        break;
    }
    return window_raise(meter_wide(cell), &meter->window);
}

static int charge_window_late(const struct window *window, struct cell *cell, uint64_t cost,
                              struct meter_charge *ret_charge, struct cell_reading *ret_reading)
{
    int r = window_charge_late(cell, window, cost, ret_reading);
    if (r == 0) {
        ret_charge->bucket = window_bucket(window);
        ret_charge->tag = window->epoch;
    }
    return r;
}

static int charge_gcra(const struct gcra *gcra, struct cell_head *cell, uint64_t cost, bool is_late,
                       struct meter_charge *ret_charge, struct cell_reading *ret_reading)
{
    struct gcra_charge charge;
    int r = gcra_charge(cell, gcra, cost, is_late, &charge, ret_reading);
    if (r == 0) {
        ret_charge->tag = charge.at_ns;
        ret_charge->before = charge.before;
        ret_charge->after = charge.after;
    }
    return r;
}

static bool take_back_gcra(const struct gcra *gcra, struct cell_head *cell, uint64_t cost,
                           const struct meter_charge *charge, uint64_t seen, uint64_t now_ns)
{
    if (charge->after == 0) {
        return gcra_refund(cell, gcra, charge->owner, cost, charge->tag, seen, now_ns);
    }
    struct gcra_charge taken = {
        .at_ns = charge->tag, .before = charge->before, .after = charge->after};
    return gcra_undo(cell, gcra, charge->owner, &taken, seen, now_ns);
}

int meter_charge_any(const struct meter *meter, struct cell_head *cell, uint64_t cost, bool is_late,
                     struct meter_charge *ret_charge, struct cell_reading *ret_reading)
{
    switch (meter->kind) {
    case METER_RING:
        return is_late ? ring_charge_late(meter_wide(cell), &meter->ring, cost, &ret_charge->bucket,
                                          &ret_charge->tag)
                       : ring_charge(meter_wide(cell), &meter->ring, cost, &ret_charge->bucket,
                                     &ret_charge->tag, ret_reading);
    case METER_GCRA:
        return charge_gcra(&meter->gcra, cell, cost, is_late, ret_charge, ret_reading);
    case METER_FIXED:
        return fixed_charge(cell, &meter->fixed, cost, is_late, &ret_charge->tag, ret_reading);
    case METER_HOLD:
        return is_late ? 0
                       : hold_charge(meter_wide(cell), &meter->hold, cost, &ret_charge->bucket,
                                     &ret_charge->tag, ret_reading);
    case METER_WINDOW:
        break;
    }
    return charge_window_late(&meter->window, meter_wide(cell), cost, ret_charge, ret_reading);
}

bool meter_take_back(const struct meter *meter, struct cell_head *cell, uint64_t cost,
                     const struct meter_charge *charge, uint64_t seen, uint64_t now_ns)
{
    switch (meter->kind) {
    case METER_RING:
        ring_take_back(meter_wide(cell), charge->bucket, charge->tag);
        break;
    case METER_GCRA:
        return take_back_gcra(&meter->gcra, cell, cost, charge, seen, now_ns);
    case METER_FIXED:
        fixed_take_back(cell, cost, charge->tag);
        break;
    case METER_HOLD:
        hold_release(meter_wide(cell), cost, charge->bucket, charge->tag);
        break;
    case METER_WINDOW:
        window_take_back(meter_wide(cell), meter->window.count_bits, charge->bucket, charge->tag,
                         cost);
    }
    return true;
}

uint64_t meter_freed_any_ns(const struct meter *meter, const struct cell_reading *reading,
                            uint64_t count)
{
    switch (meter->kind) {
    case METER_RING:
        return ring_freed_ns(&meter->ring, reading, count);
    case METER_GCRA:
        return gcra_freed_ns(&meter->gcra, reading, count);
    case METER_FIXED:
        return fixed_freed_ns(&meter->fixed);
    case METER_HOLD:
        return hold_freed_ns(&meter->hold);
    case METER_WINDOW:
        break;
    }
    return window_freed_ns(&meter->window, reading, count);
}
