// Generic cell rate algorithm (ITU-T I.371; the virtual scheduling form, as in redis-cell) in one
// word: the theoretical arrival time (TAT). Each unit of cost moves it on by one interval, which is
// the window divided by the limit, rounded up to whole nanoseconds; a request fits while the TAT
// stays within `burst` intervals of now.
//
// Bound: in any time t at most burst + (t + grace) / interval admissions, grace being a sixteenth
// of the interval and at least 16 us (a decision that took longer from its first clock reading to
// its last is taken back and tried again). Per trailing window that is burst + limit. A refund
// gives back what of its charge has not drained yet; where several cross with charges, the bound is
// above by at most what they gave back.
//
// The word is the TAT plus the grace, and the cell is live while it lies ahead of the clock. Pure:
// no clock of its own. Thread: any process, one `struct gcra` each.
#ifndef VALVECHAIN_LIMIT_GCRA_H
#define VALVECHAIN_LIMIT_GCRA_H

#include "limit/cell.h"

#define GCRA_INTERVAL_MIN_NS 100 // ten million a second; faster ones would be rounded by too much

struct gcra {
    uint64_t burst, interval_ns, grace_ns, window_ns;
    uint64_t most_ahead_ns; // how far a late charge may push the TAT
    uint64_t now_ns, live_from;
};

// At most ten million a second (the interval's rounding), a burst of 1 or more that takes less than
// a century to drain. A limit of 0 is sound, and nothing to gcra_init.
uint64_t gcra_burst_max(uint64_t limit, uint64_t window_ns); // by the time it takes to drain
bool gcra_is_sound(uint64_t limit, uint64_t burst, uint64_t window_ns);
void gcra_init(struct gcra *gcra, uint64_t limit, uint64_t burst, uint64_t window_ns);
static inline uint64_t gcra_interval_ns(uint64_t limit, uint64_t window_ns)
{
    return (window_ns + limit - 1) / limit;
}
static inline void gcra_set_clock(struct gcra *gcra, uint64_t now_ns)
{
    gcra->now_ns = now_ns;
    gcra->live_from = now_ns + 1;
}
static inline bool gcra_has(const struct gcra *gcra, uint64_t now_ns)
{
    return now_ns - gcra->now_ns < gcra->grace_ns;
}

void gcra_look(const struct cell_head *cell, const struct gcra *gcra,
               struct cell_reading *ret_reading);
// Makes the cell live without charging anything.
void gcra_raise(struct cell_head *cell, const struct gcra *gcra);
struct gcra_charge {
    uint64_t at_ns;         // the clock reading it was judged by
    uint64_t before, after; // the word as it was, and as it became
};

// 0, or -EDQUOT when it does not fit (`is_late`: always fits, as far as most_ahead_ns).
int gcra_charge(struct cell_head *cell, const struct gcra *gcra, uint64_t cost, bool is_late,
                struct gcra_charge *ret_charge, struct cell_reading *ret_reading);
// Both take a charge back that was judged at `at_ns`, and do nothing once the cell's owner word is
// not `owner` (0: whatever it is). `seen` is the cell's word, `now_ns` was read after it. False: it
// has changed since, try again with fresh ones.
bool gcra_undo(struct cell_head *cell, const struct gcra *gcra, uint64_t owner,
               const struct gcra_charge *charge, uint64_t seen, uint64_t now_ns);
bool gcra_refund(struct cell_head *cell, const struct gcra *gcra, uint64_t owner, uint64_t cost,
                 uint64_t at_ns, uint64_t seen, uint64_t now_ns);
// The instant from which `count` units fewer are in use; a window away when it is more than all.
uint64_t gcra_freed_ns(const struct gcra *gcra, const struct cell_reading *reading, uint64_t count);

#endif
