// Concurrency: how many requests of a key are under way. A wide cell has a word for each of five
// processes (slot and generation, an era, its holds, when their lease ends), and one that all
// further processes share.
//
// Bound: never more holds than the limit at one instant, counted over all processes. A hold ends
// when it is released, or with its lease (not renewed for hold_ns, at most hold_ns/6 later: its
// process was stopped), or with its process (found out by whoever would be refused otherwise,
// within HOLD_CHECK_NS; in the shared word only the lease ends it).
//
// Holds of one process on one key share their lease: a new one, or a renewal, extends it for all.
// A release names word, process and era: the era is new whenever a word is taken anew, so that a
// hold which its lease has ended releases nothing that came after it.
//
// Pure: no clock of its own. Thread: any process, one `struct hold` each.
#ifndef VALVECHAIN_LIMIT_HOLD_H
#define VALVECHAIN_LIMIT_HOLD_H

#include "limit/cell.h"

#define HOLD_LIMIT_MAX       65535U
#define HOLD_GENERATION_BITS 10                        // of the process's slot
#define HOLD_CHECK_NS        (UINT64_C(100) * 1000000) // a process is looked up this often at most

struct hold {
    uint64_t limit, tick_ns, hold_ns;
    uint32_t holder;              // slot and generation, as in a word
    uint16_t *era;                // the process's count of words taken
    uint64_t start_ns, live_from; // the present tick
};

// `slot` below 62. `era` outlives every hold of the process.
void hold_init(struct hold *hold, uint64_t limit, uint64_t hold_ns, uint32_t slot,
               uint32_t generation, uint16_t *era);
void hold_set_clock(struct hold *hold, uint64_t now_ns);
bool hold_has(const struct hold *hold, uint64_t now_ns);

void hold_look(const struct cell *cell, const struct hold *hold, struct cell_reading *ret_reading);
// Zeroes dead words, then raises `last` to when a lease that begins now ends.
void hold_raise(struct cell *cell, const struct hold *hold);
// Takes `cost` holds. 0 or -EDQUOT; `ret_bucket` and `ret_tag` name them for the release.
int hold_charge(struct cell *cell, const struct hold *hold, uint64_t cost, uint32_t *ret_bucket,
                uint64_t *ret_tag, struct cell_reading *ret_reading);
void hold_release(struct cell *cell, uint64_t cost, uint32_t bucket, uint64_t tag);
// Extends the lease. False: the hold has ended before.
bool hold_renew(struct cell *cell, const struct hold *hold, uint32_t bucket, uint64_t tag);
// Ends what dead processes hold. True: something was freed. `generation` is the lower 10 bits.
bool hold_free_dead(struct cell *cell, const struct hold *hold,
                    bool (*is_dead)(void *arg, uint32_t slot, uint32_t generation), void *arg);
// Nobody knows when others release: says a lease from now, a second at most.
uint64_t hold_freed_ns(const struct hold *hold);

#endif
