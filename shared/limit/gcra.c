#include "limit/gcra.h"

#include <errno.h>

// Why the bound holds. Of charges in the order of their CAS let S be any run of n, stamped with the
// clock readings they were judged by. The first moves the TAT to its stamp plus an interval or
// further, each of the others an interval on, and the last one found it within burst intervals of
// its own stamp: n intervals are at most burst intervals and the time between these two stamps.
// Each was admitted less than a grace after its stamp.
//
// Why taking back breaks nothing. Without a charge the TAT would be behind by its cost, less the
// time in which nothing would have been left to drain: that lies between the charge and now. So who
// gives back the cost less all that time leaves the TAT no earlier than it would be.

#define GRACE_MIN_NS 16384
#define GRACE_SHARE  16 // of an interval

#define DRAIN_MAX_NS (UINT64_C(1) << 61)

static uint64_t interval_of(uint64_t limit, uint64_t window_ns)
{
    return limit > 0 ? gcra_interval_ns(limit, window_ns) : window_ns;
}

uint64_t gcra_burst_max(uint64_t limit, uint64_t window_ns)
{
    return DRAIN_MAX_NS / interval_of(limit, window_ns);
}

bool gcra_is_sound(uint64_t limit, uint64_t burst, uint64_t window_ns)
{
    return interval_of(limit, window_ns) >= GCRA_INTERVAL_MIN_NS && burst >= 1 &&
           burst <= gcra_burst_max(limit, window_ns);
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
                struct gcra_charge *ret_charge, struct cell_reading *ret_reading)
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
    *ret_charge =
        (struct gcra_charge){.at_ns = gcra->now_ns, .before = word, .after = next + gcra->grace_ns};
    read_tat(gcra, next, ret_reading);
    return 0;
}

// The owner is read after the word: while he stays, so does the word's meaning, and a word that has
// changed makes the CAS fail.
static bool give_back(struct cell_head *cell, uint64_t owner, uint64_t cost_ns, uint64_t at_ns,
                      uint64_t seen, uint64_t now_ns)
{
    uint64_t passed_ns = now_ns > at_ns ? now_ns - at_ns : 0;
    uint64_t back_ns = cost_ns > passed_ns ? cost_ns - passed_ns : 0;
    if (seen <= back_ns || seen <= now_ns || (owner != 0 && atomic_load(&cell->owner) != owner)) {
        return true; // nothing of it is left
    }
    return atomic_compare_exchange_strong(&cell->last, &seen, seen - back_ns);
}

bool gcra_undo(struct cell_head *cell, const struct gcra *gcra, uint64_t owner,
               const struct gcra_charge *charge, uint64_t seen, uint64_t now_ns)
{
    uint64_t word = charge->after, start = charge->before;
    if (atomic_compare_exchange_strong(&cell->last, &word, charge->before)) {
        return true; // nobody has charged meanwhile: as if it had not been
    }
    if (start < charge->at_ns + gcra->grace_ns) {
        start = charge->at_ns + gcra->grace_ns; // where the charge began
    }
    return give_back(cell, owner, charge->after - start, charge->at_ns, seen, now_ns);
}

bool gcra_refund(struct cell_head *cell, const struct gcra *gcra, uint64_t owner, uint64_t cost,
                 uint64_t at_ns, uint64_t seen, uint64_t now_ns)
{
    uint64_t most = cost <= gcra->burst ? cost : gcra->burst;
    return give_back(cell, owner, most * gcra->interval_ns, at_ns, seen, now_ns);
}

uint64_t gcra_freed_ns(const struct gcra *gcra, const struct cell_reading *reading, uint64_t count)
{
    if (count > reading->used) {
        return gcra->now_ns + gcra->window_ns;
    }
    uint64_t left_ns = (reading->used - count) * gcra->interval_ns, tat = reading->words[0];
    return tat > gcra->now_ns + left_ns ? tat - left_ns : gcra->now_ns;
}
