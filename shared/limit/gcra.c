#include "limit/gcra.h"

#include <errno.h>

// Why the bound holds though cells change hands. Who takes a cell has read his clock, then a word
// that this clock has reached, then swaps the owner. Who charges reads the word before he adds, the
// owner afterwards, and his clock last. If the owner was swapped before he read it, he sees that.
// If after, the taker read the word as it was before the charge, and his clock, which had reached
// it, before that: so the charger's last reading has reached it too, and he is not admitted.
// Of admissions stamped with the first clock reading the TAT admits no more than burst + t/interval
// in any order of the charges, and each was admitted less than a grace after its stamp.

#define GRACE_MIN_NS 16384
#define GRACE_SHARE  16 // of an interval

#define DRAIN_MAX_NS (UINT64_C(1) << 61)

bool gcra_is_sound(uint64_t limit, uint64_t burst, uint64_t window_ns)
{
    uint64_t interval_ns = limit > 0 ? gcra_interval_ns(limit, window_ns) : window_ns;
    return interval_ns >= GCRA_INTERVAL_MIN_NS && burst >= 1 && burst <= DRAIN_MAX_NS / interval_ns;
}

void gcra_init(struct gcra *gcra, uint64_t limit, uint64_t burst, uint64_t window_ns)
{
    uint64_t interval_ns = gcra_interval_ns(limit, window_ns);
    uint64_t grace_ns = interval_ns / GRACE_SHARE;
    *gcra = (struct gcra){.burst = burst,
                          .interval_ns = interval_ns,
                          .grace_ns = grace_ns > GRACE_MIN_NS ? grace_ns : GRACE_MIN_NS,
                          .window_ns = window_ns,
                          .most_ahead_ns = burst * interval_ns + window_ns};
}

static uint64_t tat_of(const struct gcra *gcra, uint64_t word)
{
    uint64_t tat = word > gcra->grace_ns ? word - gcra->grace_ns : 0;
    return tat > gcra->now_ns ? tat : gcra->now_ns;
}

static void read_tat(const struct gcra *gcra, uint64_t tat, struct cell_reading *ret_reading)
{
    uint64_t ahead_ns = tat - gcra->now_ns;
    ret_reading->used = ahead_ns > 0 ? (ahead_ns + gcra->interval_ns - 1) / gcra->interval_ns : 0;
    ret_reading->words[0] = tat;
}

void gcra_look(const struct cell_head *cell, const struct gcra *gcra,
               struct cell_reading *ret_reading)
{
    read_tat(gcra, tat_of(gcra, atomic_load(&cell->last)), ret_reading);
}

void gcra_raise(struct cell_head *cell, const struct gcra *gcra)
{
    uint64_t word = atomic_load(&cell->last), raised = gcra->now_ns + gcra->grace_ns;
    while (word < raised && !atomic_compare_exchange_weak(&cell->last, &word, raised)) {
    }
}

int gcra_charge(struct cell_head *cell, const struct gcra *gcra, uint64_t cost, bool is_late,
                uint64_t *ret_tat, uint64_t *ret_until_ns, struct cell_reading *ret_reading)
{
    uint64_t word = atomic_load(&cell->last), tat, next;
    do {
        tat = tat_of(gcra, word);
        uint64_t room_ns = is_late ? gcra->most_ahead_ns : gcra->burst * gcra->interval_ns;
        uint64_t ahead_ns = tat - gcra->now_ns;
        uint64_t left_ns = room_ns > ahead_ns ? room_ns - ahead_ns : 0;
        if (cost <= left_ns / gcra->interval_ns) {
            next = tat + cost * gcra->interval_ns;
        } else if (is_late) {
            next = tat + left_ns;
        } else {
            read_tat(gcra, tat, ret_reading);
            return -EDQUOT;
        }
    } while (!atomic_compare_exchange_weak(&cell->last, &word, next + gcra->grace_ns));
    *ret_tat = next;
    *ret_until_ns = word;
    read_tat(gcra, next, ret_reading);
    return 0;
}

void gcra_take_back(struct cell_head *cell, const struct gcra *gcra, uint64_t cost, uint64_t tat,
                    uint64_t now_ns)
{
    uint64_t left_ns = tat > now_ns ? tat - now_ns : 0;
    uint64_t back_ns = cost <= left_ns / gcra->interval_ns ? cost * gcra->interval_ns : left_ns;
    uint64_t word = atomic_load(&cell->last), less;
    do {
        if (word <= now_ns) {
            return; // all of it has drained
        }
        less = word > back_ns ? word - back_ns : 0;
    } while (!atomic_compare_exchange_weak(&cell->last, &word, less));
}

uint64_t gcra_freed_ns(const struct gcra *gcra, const struct cell_reading *reading, uint64_t count)
{
    if (count > reading->used) {
        return gcra->now_ns + gcra->window_ns;
    }
    uint64_t left_ns = (reading->used - count) * gcra->interval_ns, tat = reading->words[0];
    return tat > gcra->now_ns + left_ns ? tat - left_ns : gcra->now_ns;
}
