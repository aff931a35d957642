// Fixed windows in one word: the window's number and a count. Windows begin at whole multiples of
// the window since the machine's start, for all keys at once.
//
// Bound: exactly the limit in each aligned window; across an edge up to twice the limit in a
// trailing window (the limit just before the edge, and again just after).
//
// Pure: no clock of its own. Thread: any process, one `struct fixed` each.
#ifndef VALVECHAIN_LIMIT_FIXED_H
#define VALVECHAIN_LIMIT_FIXED_H

#include "limit/cell.h"

#define FIXED_COUNT_BITS 24
#define FIXED_LIMIT_MAX  ((UINT32_C(1) << FIXED_COUNT_BITS) - 1)

struct fixed {
    uint64_t limit, window_ns;
    uint64_t start_ns, live_from; // live_from: the present window's word with no count
};

void fixed_init(struct fixed *fixed, uint64_t limit, uint64_t window_ns);
void fixed_set_clock(struct fixed *fixed, uint64_t now_ns);
static inline bool fixed_has(const struct fixed *fixed, uint64_t now_ns)
{
    return now_ns - fixed->start_ns < fixed->window_ns;
}

// As gcra_look and so on. -EAGAIN: somebody's clock is in a later window, set a fresh one.
int fixed_look(const struct cell_head *cell, const struct fixed *fixed,
               struct cell_reading *ret_reading);
int fixed_raise(struct cell_head *cell, const struct fixed *fixed);
// `is_late`: counts up to FIXED_LIMIT_MAX. `ret_tag` names the window.
int fixed_charge(struct cell_head *cell, const struct fixed *fixed, uint64_t cost, bool is_late,
                 uint64_t *ret_tag, struct cell_reading *ret_reading);
void fixed_take_back(struct cell_head *cell, uint64_t cost, uint64_t tag);
static inline uint64_t fixed_freed_ns(const struct fixed *fixed)
{
    return fixed->start_ns + fixed->window_ns;
}

#endif
