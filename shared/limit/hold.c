#include "limit/hold.h"

#include <errno.h>

#include "base/clock.h"

// A word, from the top: slot (6 bits; all set: the word that many share), generation (10), era
// (16), holds (16), lease end (16: the lower bits of a tick). A tick is 1/64 of the lease.
//
// `last` is the latest lease end of the cell, in full width; it is raised before a word is written,
// and words whose lease has ended are zeroed before it is raised. While it has not passed, every
// word's end lies within 2^15 ticks of the present one, and its lower bits tell which it is. Once
// it has passed, all words are dead.
//
// Why the bound holds: holds are added by CAS and then all words are summed. Of any set of holds
// that stand at one instant the one whose adder summed last saw all the others.

#define SHARED_HOLDER 0xffffU // slot and generation of the word that many share
#define SHARED_WORD   (CELL_COUNT_WORDS - 1)
#define SLOT_SHIFT    HOLD_GENERATION_BITS
#define GENERATION    ((1U << HOLD_GENERATION_BITS) - 1)
#define COUNT_SHIFT   16
#define TICKS         64 // in a lease
#define SLACK_TICKS   8  // from the first reading of the clock to the last

static uint32_t holder_of(uint64_t word)
{
    return (uint32_t)(word >> 48);
}
static uint64_t count_of(uint64_t word)
{
    return word >> COUNT_SHIFT & 0xffff;
}
static uint64_t make_word(uint64_t tag, uint64_t count, uint64_t end)
{
    return tag << 32 | count << COUNT_SHIFT | (end & 0xffff);
}

void hold_init(struct hold *hold, uint64_t limit, uint64_t hold_ns, uint32_t slot,
               uint32_t generation, uint16_t *era)
{
    *hold = (struct hold){.limit = limit,
                          .tick_ns = hold_ns / TICKS + 1,
                          .hold_ns = hold_ns,
                          .holder = slot << SLOT_SHIFT | (generation & GENERATION),
                          .era = era};
}

void hold_set_clock(struct hold *hold, uint64_t now_ns)
{
    if (hold->live_from != 0 && now_ns - hold->start_ns < hold->tick_ns) {
        return;
    }
    uint64_t ordinal = now_ns / hold->tick_ns;
    hold->start_ns = ordinal * hold->tick_ns;
    hold->live_from = ordinal + 1;
}

bool hold_has(const struct hold *hold, uint64_t now_ns)
{
    return now_ns - hold->start_ns < SLACK_TICKS * hold->tick_ns;
}

static uint64_t lease_end(const struct hold *hold)
{
    return hold->live_from + TICKS + SLACK_TICKS + 1;
}

// `word` of a cell whose `last` has not passed.
static bool is_live(const struct hold *hold, uint64_t word)
{
    return count_of(word) > 0 && (int16_t)(uint16_t)(word - hold->live_from) >= 0;
}

void hold_look(const struct cell *cell, const struct hold *hold, struct cell_reading *ret_reading)
{
    ret_reading->used = 0;
    if (atomic_load(&cell->last) < hold->live_from) {
        return;
    }
    for (uint32_t i = 0; i < CELL_COUNT_WORDS; i++) {
        uint64_t word = atomic_load(&cell->counts[i]);
        ret_reading->used += is_live(hold, word) ? count_of(word) : 0;
    }
}

void hold_raise(struct cell *cell, const struct hold *hold)
{
    uint64_t last = atomic_load(&cell->last), end = lease_end(hold);
    while (last < end) {
        for (uint32_t i = 0; i < CELL_COUNT_WORDS; i++) {
            uint64_t word = atomic_load(&cell->counts[i]);
            if (word == 0 || (last >= hold->live_from && is_live(hold, word))) {
                continue;
            }
            if (atomic_load(&cell->last) != last) {
                break; // the word may be newer than `last` tells: judge again
            }
            atomic_compare_exchange_strong(&cell->counts[i], &word, 0);
        }
        if (atomic_compare_exchange_strong(&cell->last, &last, end)) {
            return;
        }
    }
}

// The word this process adds to: its own, else a free one, else the one that is shared.
static uint32_t choose_word(const struct cell *cell, const struct hold *hold)
{
    uint32_t free_word = SHARED_WORD;
    for (uint32_t i = SHARED_WORD; i-- > 0;) {
        uint64_t word = atomic_load(&cell->counts[i]);
        if (!is_live(hold, word)) {
            free_word = i;
        } else if (holder_of(word) == hold->holder) {
            return i;
        }
    }
    return free_word;
}

// Whoever's clock is behind must not shorten a lease.
static uint64_t later_end(const struct hold *hold, uint64_t word)
{
    uint64_t end = lease_end(hold);
    return (int16_t)(uint16_t)(word - end) > 0 ? word : end;
}

// False: the word was taken by somebody else meanwhile, or holds as many as it can.
static bool add(struct cell *cell, const struct hold *hold, uint32_t index, uint64_t cost,
                uint64_t *ret_tag)
{
    uint32_t holder = index == SHARED_WORD ? SHARED_HOLDER : hold->holder;
    uint64_t word = atomic_load(&cell->counts[index]), next;
    do {
        uint64_t count = 0, end = lease_end(hold);
        if (!is_live(hold, word)) {
            *ret_tag = (uint64_t)holder << 16 | ++*hold->era;
        } else if (holder_of(word) == holder) {
            *ret_tag = word >> 32;
            count = count_of(word);
            end = later_end(hold, word);
        } else {
            return false;
        }
        if (count + cost > HOLD_LIMIT_MAX) {
            return false;
        }
        next = make_word(*ret_tag, count + cost, end);
    } while (!atomic_compare_exchange_weak(&cell->counts[index], &word, next));
    return true;
}

int hold_charge(struct cell *cell, const struct hold *hold, uint64_t cost, uint32_t *ret_bucket,
                uint64_t *ret_tag, struct cell_reading *ret_reading)
{
    if (atomic_load(&cell->last) < lease_end(hold)) {
        hold_raise(cell, hold);
    }
    uint32_t index = choose_word(cell, hold);
    if (!add(cell, hold, index, cost, ret_tag)) {
        hold_look(cell, hold, ret_reading);
        return -EDQUOT;
    }
    *ret_bucket = index;
    hold_look(cell, hold, ret_reading);
    if (ret_reading->used <= hold->limit) {
        return 0;
    }
    hold_release(cell, cost, index, *ret_tag);
    ret_reading->used -= cost;
    return -EDQUOT;
}

void hold_release(struct cell *cell, uint64_t cost, uint32_t bucket, uint64_t tag)
{
    if (bucket >= CELL_COUNT_WORDS) {
        return; // a verdict that was not ours
    }
    uint64_t word = atomic_load(&cell->counts[bucket]), less;
    do {
        if (word >> 32 != tag || count_of(word) < cost) {
            return; // its lease has ended
        }
        less = count_of(word) == cost ? 0 : word - (cost << COUNT_SHIFT);
    } while (!atomic_compare_exchange_weak(&cell->counts[bucket], &word, less));
}

bool hold_renew(struct cell *cell, const struct hold *hold, uint32_t bucket, uint64_t tag)
{
    if (bucket >= CELL_COUNT_WORDS || atomic_load(&cell->last) < hold->live_from) {
        return false;
    }
    hold_raise(cell, hold);
    uint64_t word = atomic_load(&cell->counts[bucket]);
    do {
        if (word >> 32 != tag || !is_live(hold, word)) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&cell->counts[bucket], &word,
                                           make_word(tag, count_of(word), later_end(hold, word))));
    return true;
}

bool hold_free_dead(struct cell *cell, const struct hold *hold,
                    bool (*is_dead)(void *arg, uint32_t slot, uint32_t generation), void *arg)
{
    bool freed = false;
    for (uint32_t i = 0; i < SHARED_WORD; i++) {
        uint64_t word = atomic_load(&cell->counts[i]);
        uint32_t holder = holder_of(word);
        if (is_live(hold, word) && holder != hold->holder &&
            is_dead(arg, holder >> SLOT_SHIFT, holder & GENERATION)) {
            freed |= atomic_compare_exchange_strong(&cell->counts[i], &word, 0);
        }
    }
    return freed;
}

uint64_t hold_freed_ns(const struct hold *hold)
{
    return hold->start_ns + (hold->hold_ns < NS_PER_S ? hold->hold_ns : NS_PER_S) + hold->tick_ns;
}
