#include "limit/fixed.h"

#include <errno.h>

// Exact by construction: number and count change by one CAS, never beyond the limit, and an
// admission counts only if the last clock reading lies in the window it was charged to. Who takes a
// cell from its key has read a clock in a later window first, so the key's charger will read one.

#define COUNT_MASK ((uint64_t)FIXED_LIMIT_MAX)

void fixed_init(struct fixed *fixed, uint64_t limit, uint64_t window_ns)
{
    *fixed = (struct fixed){.limit = limit, .window_ns = window_ns};
}

void fixed_set_clock(struct fixed *fixed, uint64_t now_ns)
{
    if (fixed->live_from != 0 && fixed_has(fixed, now_ns)) {
        return;
    }
    uint64_t number = now_ns / fixed->window_ns;
    fixed->start_ns = number * fixed->window_ns;
    fixed->live_from = (number + 1) << FIXED_COUNT_BITS; // above 0 always
}

// The count of the present window. -EAGAIN when the word is of a later one.
static int count_in(const struct fixed *fixed, uint64_t word, uint64_t *ret_count)
{
    if (word > (fixed->live_from | COUNT_MASK)) {
        return -EAGAIN;
    }
    *ret_count = word >= fixed->live_from ? word & COUNT_MASK : 0;
    return 0;
}

int fixed_look(const struct cell_head *cell, const struct fixed *fixed,
               struct cell_reading *ret_reading)
{
    return count_in(fixed, atomic_load(&cell->last), &ret_reading->used);
}

int fixed_raise(struct cell_head *cell, const struct fixed *fixed)
{
    uint64_t word = atomic_load(&cell->last), count;
    while (word < fixed->live_from &&
           !atomic_compare_exchange_weak(&cell->last, &word, fixed->live_from)) {
    }
    return word < fixed->live_from ? 0 : count_in(fixed, word, &count);
}

int fixed_charge(struct cell_head *cell, const struct fixed *fixed, uint64_t cost, bool is_late,
                 uint64_t *ret_tag, struct cell_reading *ret_reading)
{
    uint64_t word = atomic_load(&cell->last), count, room;
    do {
        int r = count_in(fixed, word, &count);
        if (r < 0) {
            return r;
        }
        ret_reading->used = count;
        uint64_t most = is_late ? FIXED_LIMIT_MAX : fixed->limit;
        room = most > count ? most - count : 0;
        if (cost > room && !is_late) {
            return -EDQUOT;
        }
    } while (!atomic_compare_exchange_weak(&cell->last, &word,
                                           fixed->live_from + count + (cost < room ? cost : room)));
    ret_reading->used = count + (cost < room ? cost : room);
    *ret_tag = fixed->live_from;
    return 0;
}

void fixed_take_back(struct cell_head *cell, uint64_t cost, uint64_t tag)
{
    uint64_t word = atomic_load(&cell->last);
    while ((word & ~COUNT_MASK) == tag && (word & COUNT_MASK) >= cost &&
           !atomic_compare_exchange_weak(&cell->last, &word, word - cost)) {
    }
}
