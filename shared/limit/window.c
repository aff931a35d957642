#include "limit/window.h"

#include <errno.h>
#include <stddef.h>

#include "base/assert.h"

// Why the bound holds. Suppose more than `limit` admissions lie in one trailing window, and let A
// be the one that added last. Each of them counted in the epoch of its instant (its clock was read
// after its sum and lay in the epoch), so each is at most `span` epochs from A's. None of their
// counts was zeroed before A's sum: whoever zeroes has read a clock by which the epoch is dead, A
// reads its own clock later, and would be more than a window away. Adds of one epoch meet in one
// word, so A's own CAS saw those; the others A reads afterwards. So A's sum had them all, exceeded
// the limit, and A was not admitted.
//
// A tag is compared for equality only, and only once `last` was seen to equal the present epoch
// AFTER the word was read: `last` is raised before anything is added, so a word of a newer group
// cannot be mistaken for a dead one. Before `last` is raised, dead words are zeroed, judged by the
// old `last`, so that a tag that comes round again (8 bits: after 1 536 groups) finds no old count.

#define GROUPS CELL_COUNT_WORDS

// Lanes and tag share a word: at least 8 bits of tag, the rest for as many lanes as go in.
static const struct layout {
    uint32_t count_bits, lanes;
} layouts[] = {{8, 7}, {11, 5}, {14, 4}, {16, 3}};
#define N_LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

static uint32_t lanes_of(uint32_t count_bits)
{
    for (size_t i = 0; i < N_LAYOUTS; i++) {
        if (layouts[i].count_bits == count_bits) {
            return layouts[i].lanes;
        }
    }
    return 0;
}

uint32_t window_count_bits(uint64_t limit_max)
{
    for (size_t i = 0; i < N_LAYOUTS; i++) {
        if (limit_max >> layouts[i].count_bits == 0) {
            return layouts[i].count_bits;
        }
    }
    return 0;
}

void window_init(struct window *window, uint64_t limit, uint32_t count_bits, uint64_t window_ns)
{
    uint32_t lanes = lanes_of(count_bits);
    ASSERT(lanes != 0);
    *window = (struct window){.limit = limit,
                              .count_bits = count_bits,
                              .lanes = lanes,
                              .tag_shift = lanes * count_bits,
                              .lane_max = (UINT64_C(1) << count_bits) - 1,
                              .all_lanes = (UINT64_C(1) << lanes * count_bits) - 1};
    window->span = window->lanes * (GROUPS - 1);
    window->bucket_ns = (window_ns + window->span - 1) / window->span;
    if (window->bucket_ns == 0) {
        window->bucket_ns = 1;
    }
}

static uint64_t tag_of_group(const struct window *window, uint64_t group)
{
    return (group / GROUPS) << window->tag_shift; // the upper bits of the group's number fall off
}

void window_set_clock(struct window *window, uint64_t now_ns)
{
    if (window->epoch != 0 && window_has(window, now_ns)) {
        return;
    }
    uint64_t ordinal = now_ns / window->bucket_ns;
    uint64_t bias = window->span + 1; // live_from is at least 1
    window->epoch = ordinal + bias;
    window->start_ns = ordinal * window->bucket_ns;
    window->end_ns = window->start_ns + window->bucket_ns;
    window->live_from = window->epoch - window->span;
    uint64_t newest = window->epoch / window->lanes;
    uint32_t lane = (uint32_t)(window->epoch % window->lanes);
    window->slot = (uint32_t)(newest % GROUPS);
    window->shift = lane * window->count_bits;
    for (uint64_t back = 0; back < GROUPS; back++) {
        uint64_t slot = (newest - back) % GROUPS;
        window->tags[slot] = tag_of_group(window, newest - back);
        window->masks[slot] = window->all_lanes;
    }
    uint32_t oldest = (window->slot + 1) % GROUPS;
    window->masks[oldest] = window->all_lanes & ~((UINT64_C(1) << window->shift) - 1);
}

// Sums one layout, with everything about it a constant of the code: this runs for every request.
// `own`, if any, replaces the present epoch's word: what our CAS left there. Lanes are added in two
// halves, each with a neighbour's room for the carry.
static inline __attribute__((always_inline)) void
sum_layout(const struct cell *cell, const struct window *window, const uint64_t *own,
           struct cell_reading *ret_reading, uint32_t bits, uint32_t lanes)
{
    const uint32_t tag_shift = lanes * bits, step = 2 * bits;
    const uint64_t pair_max = (UINT64_C(1) << step) - 1;
    uint64_t even_lanes = 0, pairs = 0, total = 0;
    for (uint32_t bit = 0; bit < tag_shift; bit += step) {
        even_lanes |= ((UINT64_C(1) << bits) - 1) << bit;
    }
    for (uint32_t i = 0; i < GROUPS; i++) {
        uint64_t word = own && i == window->slot ? *own : atomic_load(&cell->counts[i]);
        uint64_t live = (word ^ window->tags[i]) >> tag_shift ? 0 : word & window->masks[i];
        ret_reading->words[i] = live;
        pairs += (live & even_lanes) + (live >> bits & even_lanes);
    }
    for (uint32_t bit = 0; bit < tag_shift; bit += step) {
        total += pairs >> bit & pair_max;
    }
    ret_reading->used = total;
}

static void read_live(const struct cell *cell, const struct window *window, const uint64_t *own,
                      struct cell_reading *ret_reading)
{
    switch (window->count_bits) {
    case 8:
        sum_layout(cell, window, own, ret_reading, 8, 7);
        break;
    case 11:
        sum_layout(cell, window, own, ret_reading, 11, 5);
        break;
    case 14:
        sum_layout(cell, window, own, ret_reading, 14, 4);
        break;
    default:
        sum_layout(cell, window, own, ret_reading, 16, 3);
    }
}

int window_look(const struct cell *cell, const struct window *window,
                struct cell_reading *ret_reading)
{
    uint64_t last = atomic_load(&cell->last);
    if (last > window->epoch) {
        return -EAGAIN;
    }
    if (last < window->live_from) {
        *ret_reading = (struct cell_reading){0}; // whatever the tags look like by now
        return 0;
    }
    read_live(cell, window, NULL, ret_reading);
    return 0;
}

// Is anything in this word live at `live_from`, when the cell's last epoch is `last`?
static bool word_is_live(const struct window *window, uint32_t slot, uint64_t word, uint64_t last,
                         uint64_t live_from)
{
    uint64_t newest = last / window->lanes;
    uint64_t back = (newest % GROUPS + GROUPS - slot) % GROUPS;
    if (back > newest || (word ^ tag_of_group(window, newest - back)) >> window->tag_shift) {
        return false;
    }
    return (newest - back + 1) * window->lanes > live_from; // its newest epoch
}

int window_raise(struct cell *cell, const struct window *window)
{
    uint64_t last = atomic_load(&cell->last);
    while (last < window->epoch) {
        for (uint32_t i = 0; i < GROUPS; i++) {
            uint64_t word = atomic_load(&cell->counts[i]);
            if (word == 0 || word_is_live(window, i, word, last, window->live_from)) {
                continue;
            }
            if (atomic_load(&cell->last) != last) {
                break; // the word may be newer than `last` tells: judge again
            }
            atomic_compare_exchange_strong(&cell->counts[i], &word, 0);
        }
        if (atomic_compare_exchange_strong(&cell->last, &last, window->epoch)) {
            return 0;
        }
    }
    return last == window->epoch ? 0 : -EAGAIN;
}

// Adds to the present epoch's lane. 0, -EAGAIN, or -EDQUOT when the lane is full; a late cost fills
// what there is.
static int add(struct cell *cell, const struct window *window, uint64_t cost, bool is_late,
               uint64_t *ret_word)
{
    _Atomic uint64_t *slot = &cell->counts[window->slot];
    uint64_t word = atomic_load(slot), added;
    do {
        if (atomic_load(&cell->last) != window->epoch) {
            return -EAGAIN;
        }
        uint64_t tag = window->tags[window->slot];
        uint64_t counts = (word ^ tag) >> window->tag_shift ? 0 : word & window->all_lanes;
        uint64_t room = window->lane_max - (counts >> window->shift & window->lane_max);
        if (cost > room && !is_late) {
            return -EDQUOT;
        }
        cost = cost < room ? cost : room;
        added = tag | (counts + (cost << window->shift));
    } while (!atomic_compare_exchange_weak(slot, &word, added));
    *ret_word = added;
    return 0;
}

int window_charge(struct cell *cell, const struct window *window, uint64_t cost,
                  struct cell_reading *ret_reading)
{
    int r = atomic_load(&cell->last) == window->epoch ? 0 : window_raise(cell, window);
    if (r < 0) {
        return r;
    }
    uint64_t own = 0;
    r = add(cell, window, cost, false, &own);
    if (r < 0) {
        return r;
    }
    read_live(cell, window, &own, ret_reading);
    bool stale = atomic_load(&cell->last) != window->epoch;
    if (!stale && ret_reading->used <= window->limit) {
        return 0;
    }
    window_take_back(cell, window->count_bits, window_bucket(window), window->tags[window->slot],
                     cost);
    ret_reading->used -= cost;
    return stale ? -EAGAIN : -EDQUOT;
}

int window_charge_late(struct cell *cell, const struct window *window, uint64_t cost,
                       struct cell_reading *ret_reading)
{
    int r = atomic_load(&cell->last) == window->epoch ? 0 : window_raise(cell, window);
    uint64_t own = 0;
    r = r < 0 ? r : add(cell, window, cost, true, &own);
    *ret_reading = (struct cell_reading){0};
    return r;
}

void window_take_back(struct cell *cell, uint32_t count_bits, uint32_t bucket, uint64_t tag,
                      uint64_t cost)
{
    uint32_t slot = bucket & 0xff, shift = bucket >> 8;
    uint32_t tag_shift = lanes_of(count_bits) * count_bits;
    if (slot >= GROUPS || shift + count_bits > tag_shift) {
        return; // a verdict that was not ours
    }
    uint64_t lane_max = (UINT64_C(1) << count_bits) - 1;
    uint64_t word = atomic_load(&cell->counts[slot]), less;
    do {
        if ((word ^ tag) >> tag_shift || (word >> shift & lane_max) < cost) {
            return;
        }
        less = word - (cost << shift);
        if (less << (64 - tag_shift) == 0) {
            less = 0;
        }
    } while (!atomic_compare_exchange_weak(&cell->counts[slot], &word, less));
}

uint64_t window_freed_ns(const struct window *window, const struct cell_reading *reading,
                         uint64_t count)
{
    uint64_t freed = 0;
    uint32_t slot = window->slot;
    for (uint32_t back = GROUPS; back-- > 0;) { // from the oldest group on
        slot = slot + 1 < GROUPS ? slot + 1 : 0;
        uint64_t word = reading->words[slot];
        while (word != 0) { // its lanes that are not empty
            uint32_t lane = (uint32_t)__builtin_ctzll(word) / window->count_bits;
            uint64_t lane_bits = window->lane_max << lane * window->count_bits;
            freed += (word & lane_bits) >> lane * window->count_bits;
            if (freed >= count) { // dead from epoch + span + 1 on, and epochs are biased by that
                uint64_t group = window->epoch / window->lanes - back;
                return (group * window->lanes + lane) * window->bucket_ns;
            }
            word &= ~lane_bits;
        }
    }
    return window->end_ns + window->span * window->bucket_ns;
}
