// Strict sliding window over one cell: never more than the limit in any trailing window.
//
// Time is cut into epochs (sub-buckets), and a cell has a lane for each of the last 12 to 42: the
// smaller the limit, the more lanes go into a word. The window spans all but one of them and the
// oldest counts in full, so what is summed always covers the whole trailing window. A lane is
// zeroed before it serves its next epoch: 41 sub-buckets in a window for limits up to 255, 35 up to
// 1023, 29 up to 4095, 23 up to 32767, 17 up to 1048575, 11 up to
// 16777215.
//
// To admit: look (check the sum), charge (add by CAS, sum again), then let the table re-read the
// owner, and only then read the clock: the reading must lie in the charged epoch, and is the
// instant of admission. Otherwise take back. That order is what makes the bound strict; see
// window.c.
//
// Pure: no clock of its own, no segment. Thread: any process, one `struct window` each.
#ifndef VALVECHAIN_LIMIT_WINDOW_H
#define VALVECHAIN_LIMIT_WINDOW_H

#include "limit/cell.h"

#define WINDOW_LIMIT_MAX 16777215U // what a lane can count

struct window {
    // Fixed by the policy.
    uint64_t limit, bucket_ns;
    uint32_t count_bits, lanes, tag_shift; // lanes: in a word; tags stand above them
    uint32_t buckets;                      // lanes of the cell; one more than the window spans
    uint64_t lane_max, all_lanes;
    uint64_t even_lanes; // every other lane, from the lowest on
    uint32_t pairs;      // of an even lane and its upper neighbour's room
    uint32_t lane_share; // 2^16 / count_bits, rounded up: divides a bit's number
    // Fixed for one epoch (window_set_clock).
    uint64_t epoch, start_ns, end_ns;
    uint64_t live_from; // epochs below are dead; above 0 always, so that a zero `last` is dead
    uint64_t tag;
    uint32_t position, slot,
        shift; // where this epoch counts: which lane, its word, and where there
};

// Bits of a count for a limit, 8 to 24; 0 when the limit is beyond all of them.
uint32_t window_count_bits(uint64_t limit_max);
void window_init(struct window *window, uint64_t limit, uint32_t count_bits, uint64_t window_ns);
static inline bool window_has(const struct window *window, uint64_t now_ns)
{
    return now_ns - window->start_ns < window->bucket_ns;
}
void window_turn_to(struct window *window, uint64_t now_ns); // the part of the next that costs
// Moves to the epoch of `now_ns`. Cheap when it is the present one.
static inline void window_set_clock(struct window *window, uint64_t now_ns)
{
    if (window->epoch == 0 || !window_has(window, now_ns)) {
        window_turn_to(window, now_ns);
    }
}

// Sums what is live. -EAGAIN: somebody's clock is ahead of the window's, set a fresh one.
int window_look(const struct cell *cell, const struct window *window,
                struct cell_reading *ret_reading);
// Brings the cell to the present epoch: zeroes dead words, then raises `last`. -EAGAIN as above.
int window_raise(struct cell *cell, const struct window *window);
// Adds `cost` to the present epoch, then sums. -EDQUOT: it does not fit; -EAGAIN: the clock is
// behind; nothing stays charged in either case. `reading` is what the look before found, or zeroes.
int window_charge(struct cell *cell, const struct window *window, uint64_t cost,
                  struct cell_reading *reading);
// Adds `cost` whatever the limit is, as far as the sub-bucket counts: that is beyond the limit.
// 0 or -EAGAIN.
int window_charge_late(struct cell *cell, const struct window *window, uint64_t cost,
                       struct cell_reading *ret_reading);
// Takes `cost` back from the sub-bucket it was charged to in `epoch`, if that still stands.
void window_take_back(struct cell *cell, uint32_t count_bits, uint32_t bucket, uint64_t epoch,
                      uint64_t cost);
static inline uint32_t window_bucket(const struct window *window)
{
    return window->slot | window->shift << 8;
}
uint64_t window_freed_lane_ns(const struct window *window, const struct cell_reading *reading,
                              uint64_t count); // of the next, what goes by the lanes
// The instant at which `count` (1 or more) of what was read will have aged out; end of the present
// window when less than that is there.
static inline uint64_t window_freed_ns(const struct window *window,
                                       const struct cell_reading *reading, uint64_t count)
{
    // Most callers are seen no more than once in a while: all of it is in the present sub-bucket.
    uint64_t present = reading->words[window->slot] >> window->shift & window->lane_max;
    return present == reading->used && count <= present
               ? window->end_ns + (window->buckets - 1) * window->bucket_ns
               : window_freed_lane_ns(window, reading, count);
}

#endif
