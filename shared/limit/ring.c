#include "limit/ring.h"

#include <errno.h>
#include <stddef.h>

// The bound holds by construction: at most `limit` slots are ever written, a slot is overwritten
// only once its stamp is dead, and the clock read after the CAS lies in the stamped tick. All slots
// are summed nevertheless, for a process that still has a policy with a larger limit.
//
// Stamps are the lower 31 bits of the tick with the top bit set (0 is empty). They are judged
// relative to the cell's full-width `last`, which is raised first and read again after the stamp,
// and dead ones are zeroed before it is raised: a tick that comes round again finds no old stamp.

#define STAMP_BITS      31
#define STAMP_SET       (UINT32_C(1) << STAMP_BITS)
#define STAMP_MASK      (STAMP_SET - 1)
#define TICKS_LOG2      20
#define TICK_MIN_NS     16384
#define STAMPS_PER_WORD 2

_Static_assert(RING_LIMIT_MAX == CELL_COUNT_WORDS * STAMPS_PER_WORD, "stamps fill the cell");

void ring_init(struct ring *ring, uint64_t limit, uint64_t window_ns)
{
    uint64_t tick_ns = (window_ns >> TICKS_LOG2) + 1;
    if (tick_ns < TICK_MIN_NS) {
        tick_ns = TICK_MIN_NS;
    }
    *ring = (struct ring){.limit = limit < RING_LIMIT_MAX ? limit : RING_LIMIT_MAX,
                          .tick_ns = tick_ns,
                          .span = (window_ns + tick_ns - 1) / tick_ns};
}

void ring_set_clock(struct ring *ring, uint64_t now_ns)
{
    if (ring->epoch != 0 && ring_has(ring, now_ns)) {
        return;
    }
    uint64_t ordinal = now_ns / ring->tick_ns;
    ring->epoch = ordinal + ring->span + 1; // live_from is at least 1
    ring->start_ns = ordinal * ring->tick_ns;
    ring->live_from = ring->epoch - ring->span;
}

static uint32_t stamp_of(uint64_t tick)
{
    return STAMP_SET | (uint32_t)(tick & STAMP_MASK);
}

// The tick of a stamp that was written at `last` or before; 0 when it is none of the last window.
static uint64_t tick_of(const struct ring *ring, uint32_t stamp, uint64_t last)
{
    uint64_t age = (last - stamp) & STAMP_MASK;
    return stamp != 0 && age <= ring->span && age < last ? last - age : 0;
}

static _Atomic uint64_t *word_of(struct cell *cell, uint32_t index)
{
    return &cell->counts[index / STAMPS_PER_WORD];
}
static uint32_t stamp_in(uint64_t word, uint32_t index)
{
    return (uint32_t)(word >> (index % STAMPS_PER_WORD) * 32);
}
static uint64_t with_stamp(uint64_t word, uint32_t index, uint32_t stamp)
{
    uint32_t shift = (index % STAMPS_PER_WORD) * 32;
    return (word & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)stamp << shift;
}

static void read_live(const struct cell *cell, const struct ring *ring,
                      struct cell_reading *ret_reading)
{
    ret_reading->used = 0;
    for (uint32_t i = 0; i < CELL_COUNT_WORDS; i++) {
        uint64_t word = atomic_load(&cell->counts[i]);
        for (uint32_t half = 0; half < STAMPS_PER_WORD; half++) {
            if (tick_of(ring, stamp_in(word, half), ring->epoch) >= ring->live_from) {
                ret_reading->used++;
            } else {
                word = with_stamp(word, half, 0);
            }
        }
        ret_reading->words[i] = word;
    }
}

int ring_look(const struct cell *cell, const struct ring *ring, struct cell_reading *ret_reading)
{
    uint64_t last = atomic_load(&cell->last);
    if (last > ring->epoch) {
        return -EAGAIN;
    }
    if (last < ring->live_from) {
        *ret_reading = (struct cell_reading){0};
        return 0;
    }
    read_live(cell, ring, ret_reading);
    return atomic_load(&cell->last) > ring->epoch ? -EAGAIN : 0;
}

int ring_raise(struct cell *cell, const struct ring *ring)
{
    uint64_t last = atomic_load(&cell->last);
    while (last < ring->epoch) {
        for (uint32_t i = 0; i < RING_LIMIT_MAX; i++) {
            uint64_t word = atomic_load(word_of(cell, i));
            uint32_t stamp = stamp_in(word, i);
            if (stamp == 0 || tick_of(ring, stamp, last) >= ring->live_from) {
                continue;
            }
            if (atomic_load(&cell->last) != last) {
                break; // the stamp may be newer than `last` tells: judge again
            }
            atomic_compare_exchange_strong(word_of(cell, i), &word, with_stamp(word, i, 0));
        }
        if (atomic_compare_exchange_strong(&cell->last, &last, ring->epoch)) {
            return 0;
        }
    }
    return last == ring->epoch ? 0 : -EAGAIN;
}

// Writes the present stamp into slot `index` if that is empty or dead. False when it is taken.
static int take_slot(struct cell *cell, const struct ring *ring, uint32_t index)
{
    uint64_t word = atomic_load(word_of(cell, index));
    do {
        if (atomic_load(&cell->last) != ring->epoch) {
            return -EAGAIN;
        }
        if (tick_of(ring, stamp_in(word, index), ring->epoch) >= ring->live_from) {
            return -EDQUOT;
        }
    } while (!atomic_compare_exchange_weak(word_of(cell, index), &word,
                                           with_stamp(word, index, stamp_of(ring->epoch))));
    return 0;
}

// The set of slots that took a stamp, `most` at the utmost.
static uint32_t take_slots(struct cell *cell, const struct ring *ring, uint64_t most)
{
    uint32_t taken = 0;
    int r = 0;
    for (uint32_t i = 0; i < ring->limit && most > 0 && r != -EAGAIN; i++) {
        r = take_slot(cell, ring, i);
        if (r == 0) {
            taken |= UINT32_C(1) << i;
            most--;
        }
    }
    return taken;
}

int ring_charge_late(struct cell *cell, const struct ring *ring, uint64_t cost,
                     uint32_t *ret_bucket, uint64_t *ret_tag)
{
    int r = ring_raise(cell, ring);
    if (r < 0) {
        return r;
    }
    *ret_bucket = take_slots(cell, ring, cost);
    *ret_tag = stamp_of(ring->epoch);
    if (atomic_load(&cell->last) == ring->epoch) {
        return 0;
    }
    ring_take_back(cell, *ret_bucket, *ret_tag);
    return -EAGAIN;
}

int ring_charge(struct cell *cell, const struct ring *ring, uint64_t cost, uint32_t *ret_bucket,
                uint64_t *ret_tag, struct cell_reading *ret_reading)
{
    int r = ring_raise(cell, ring);
    if (r < 0) {
        return r;
    }
    uint64_t stamp = stamp_of(ring->epoch);
    uint32_t taken = take_slots(cell, ring, cost);
    uint64_t missing = cost - (uint64_t)__builtin_popcount(taken);
    read_live(cell, ring, ret_reading);
    bool stale = atomic_load(&cell->last) != ring->epoch;
    if (missing == 0 && !stale && ret_reading->used <= ring->limit) {
        *ret_bucket = taken;
        *ret_tag = stamp;
        return 0;
    }
    ring_take_back(cell, taken, stamp);
    ret_reading->used -= cost - missing < ret_reading->used ? cost - missing : ret_reading->used;
    return stale ? -EAGAIN : -EDQUOT;
}

void ring_take_back(struct cell *cell, uint32_t bucket, uint64_t tag)
{
    for (uint32_t i = 0; i < RING_LIMIT_MAX; i++) {
        if (!(bucket & UINT32_C(1) << i)) {
            continue;
        }
        uint64_t word = atomic_load(word_of(cell, i));
        while (stamp_in(word, i) == tag &&
               !atomic_compare_exchange_weak(word_of(cell, i), &word, with_stamp(word, i, 0))) {
        }
    }
}

uint64_t ring_freed_ns(const struct ring *ring, const struct cell_reading *reading, uint64_t count)
{
    uint64_t ticks[RING_LIMIT_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < RING_LIMIT_MAX; i++) { // insertion sort, oldest first
        uint64_t tick =
            tick_of(ring, stamp_in(reading->words[i / STAMPS_PER_WORD], i), ring->epoch);
        if (tick == 0) {
            continue;
        }
        uint32_t at = n++;
        for (; at > 0 && ticks[at - 1] > tick; at--) {
            ticks[at] = ticks[at - 1];
        }
        ticks[at] = tick;
    }
    uint64_t tick = count > 0 && count <= n ? ticks[count - 1] : ring->epoch;
    return tick * ring->tick_ns; // dead from tick + span + 1 on, and ticks are biased by that
}
