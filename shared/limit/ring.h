// Exact ring of time stamps in one cell, for limits up to 12 (log-in attempts): one stamp for each
// admission, nothing estimated. A stamp is a tick of 1/2^20 of the window (at least 16 us), so a
// slot is free again within two ticks after its admission left the trailing window, never before.
//
// The steps and the promises are those of window.h, with the tick as the epoch: charge, let the
// table re-read the owner, then read the clock, which must lie in the charged tick.
//
// Pure: no clock of its own. Thread: any process, one `struct ring` each.
#ifndef VALVECHAIN_LIMIT_RING_H
#define VALVECHAIN_LIMIT_RING_H

#include "limit/cell.h"

#define RING_LIMIT_MAX 12U

struct ring {
    uint64_t limit, tick_ns, span; // span: ticks in the window
    uint64_t epoch, start_ns;      // the present tick
    uint64_t live_from;
};

void ring_init(struct ring *ring, uint64_t limit, uint64_t window_ns);
void ring_set_clock(struct ring *ring, uint64_t now_ns);
static inline bool ring_has(const struct ring *ring, uint64_t now_ns)
{
    return now_ns - ring->start_ns < ring->tick_ns;
}

// As window_look, window_raise, window_charge, window_take_back and window_freed_ns. `ret_bucket`
// is the set of slots that hold the stamps, one for each unit of cost; `ret_tag` the stamp.
int ring_look(const struct cell *cell, const struct ring *ring, struct cell_reading *ret_reading);
int ring_raise(struct cell *cell, const struct ring *ring);
int ring_charge(struct cell *cell, const struct ring *ring, uint64_t cost, uint32_t *ret_bucket,
                uint64_t *ret_tag, struct cell_reading *ret_reading);
// Stamps up to `cost` slots, as many as the limit has free. 0 or -EAGAIN.
int ring_charge_late(struct cell *cell, const struct ring *ring, uint64_t cost,
                     uint32_t *ret_bucket, uint64_t *ret_tag);
void ring_take_back(struct cell *cell, uint32_t bucket, uint64_t tag);
uint64_t ring_freed_ns(const struct ring *ring, const struct cell_reading *reading, uint64_t count);

#endif
