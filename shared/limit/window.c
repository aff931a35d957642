#include "limit/window.h"

#include <errno.h>
#include <stddef.h>

#include "base/assert.h"

// Why the bound holds. Suppose more than `limit` admissions lie in one trailing window, and let A
// be the one that added last. Each of them counted in the epoch of its instant (its clock was read
// after its sum and lay in the epoch), so each is less than `buckets` epochs from A's. None of
// their lanes was zeroed before A's sum: whoever zeroes has read a clock by which the lane's epoch
// is dead, A reads its own clock later, and would not be in its epoch. Adds of one epoch meet in
// one word, so A's own CAS saw those; the others A reads afterwards. So A's sum had them all,
// exceeded the limit, and A was not admitted.
//
// `last` says which epochs the lanes stand for: those up to it. Before it is raised the lanes of
// the epochs in between are zeroed, so at `last` itself nothing dead is left, and a reader of a
// later epoch leaves out the lanes in between. Whoever was about to add meanwhile may leave a count
// in a lane that has begun anew: it makes the key stricter until the lane is zeroed again.
//
// A tag is no part of a lane's meaning. It is the epoch of the word's latest change (its lower
// bits), so that a zeroing judged by an old `last` fails when the word was counted in since: only a
// process that stands still between its last look and its CAS for a whole turn of the tag, 16
// epochs or a multiple at the least, and then finds the very same counts in all lanes, is deceived.

#define GROUPS CELL_COUNT_WORDS

// Lanes and tag share a word: at least 4 bits of tag, the rest for as many lanes as go in.
static const struct layout {
    uint32_t count_bits, lanes;
} layouts[] = {{8, 7},  {9, 6},  {10, 6}, {11, 5}, {12, 5},
               {14, 4}, {15, 4}, {16, 3}, {20, 3}, {24, 2}};
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
                              .buckets = lanes * GROUPS,
                              .lane_max = (UINT64_C(1) << count_bits) - 1,
                              .lane_share = (UINT32_C(1) << 16) / count_bits + 1,
                              .all_lanes = (UINT64_C(1) << lanes * count_bits) - 1};
    for (uint32_t lane = 0; lane < lanes; lane += 2) {
        window->even_lanes |= window->lane_max << lane * count_bits;
        window->pairs++;
    }
    uint64_t span = window->buckets - 1;
    window->bucket_ns = (window_ns + span - 1) / span;
    if (window->bucket_ns == 0) {
        window->bucket_ns = 1;
    }
}

void window_turn_to(struct window *window, uint64_t now_ns)
{
    uint64_t ordinal = now_ns / window->bucket_ns;
    window->epoch = ordinal + window->buckets; // live_from is at least 1
    window->start_ns = ordinal * window->bucket_ns;
    window->end_ns = window->start_ns + window->bucket_ns;
    window->live_from = ordinal + 1;
    window->tag = window->epoch << window->tag_shift; // the upper bits fall off
    window->position = (uint32_t)(window->epoch % window->buckets);
    window->slot = window->position / window->lanes;
    window->shift = window->position % window->lanes * window->count_bits;
}

// The bits of those lanes of a word that lie at the positions from `from` on and before `to`.
static uint64_t lanes_between(const struct window *window, uint32_t slot, uint32_t from,
                              uint32_t to)
{
    uint32_t first = slot * window->lanes, end = first + window->lanes;
    from = from < first ? first : from > end ? end : from;
    to = to < from ? from : to > end ? end : to;
    return ((UINT64_C(1) << (to - first) * window->count_bits) - 1) &
           ~((UINT64_C(1) << (from - first) * window->count_bits) - 1);
}

// The lanes of a word that stood for an epoch at `last` and do not any more.
static uint64_t dead_lanes(const struct window *window, uint32_t slot, uint64_t last)
{
    uint64_t passed = window->epoch - last;
    if (passed >= window->buckets) {
        return window->all_lanes;
    }
    uint32_t end = window->position + 1, n = (uint32_t)passed;
    if (n <= end) {
        return lanes_between(window, slot, end - n, end);
    }
    return lanes_between(window, slot, 0, end) |
           lanes_between(window, slot, end + window->buckets - n, window->buckets);
}

// A word's lanes as two halves, each lane with a neighbour's room for the carry.
static inline uint64_t fold(const struct window *window, uint64_t lanes)
{
    return (lanes & window->even_lanes) + (lanes >> window->count_bits & window->even_lanes);
}

static inline uint64_t add_pairs(const struct window *window, uint64_t pairs)
{
    uint32_t bits = 2 * window->count_bits;
    uint64_t pair_max = (UINT64_C(1) << bits) - 1, total = pairs & pair_max;
    for (uint32_t i = 1; i < window->pairs; i++) {
        total += (pairs >>= bits) & pair_max;
    }
    return total;
}

// Reads and sums the whole cell, for a `last` in the present epoch: no lane is dead. `own`, if any,
// stands for the present epoch's word: what our CAS left there.
static void read_all(const struct cell *cell, const struct window *window, const uint64_t *own,
                     struct cell_reading *ret_reading)
{
    const uint64_t all_lanes = window->all_lanes, even_lanes = window->even_lanes;
    uint64_t even = 0, odd = 0; // each lane with room for the carries of six
#pragma GCC unroll 6
    for (uint32_t i = 0; i < GROUPS; i++) {
        uint64_t word = atomic_load(&cell->counts[i]) & all_lanes;
        even += word & even_lanes;
        odd += word & ~even_lanes;
        ret_reading->words[i] = word;
    }
    uint64_t pairs = even + (odd >> window->count_bits);
    if (own) {
        pairs += fold(window, *own & all_lanes) - fold(window, ret_reading->words[window->slot]);
        ret_reading->words[window->slot] = *own & all_lanes;
    }
    ret_reading->used = add_pairs(window, pairs);
}

// Whether nothing but our CAS has changed the cell since `look` was read; then it is brought up to
// date, and no sum is needed.
static bool is_unchanged(const struct cell *cell, const struct window *window, uint64_t cost,
                         uint64_t own, struct cell_reading *look)
{
    const uint64_t all_lanes = window->all_lanes;
    uint64_t changed = 0, before = look->words[window->slot];
    look->words[window->slot] = own & all_lanes;
#pragma GCC unroll 6
    for (uint32_t i = 0; i < GROUPS; i++) {
        changed |= atomic_load(&cell->counts[i]) ^ look->words[i];
    }
    if ((changed & all_lanes) != 0 || before + (cost << window->shift) != (own & all_lanes)) {
        return false;
    }
    look->used += cost;
    return true;
}

// As of a `last` that lies behind, but not by a window: leaves dead lanes out.
static void read_behind(const struct cell *cell, const struct window *window, uint64_t last,
                        struct cell_reading *ret_reading)
{
    uint64_t pairs = 0;
    for (uint32_t i = 0; i < GROUPS; i++) {
        uint64_t live = window->all_lanes & ~dead_lanes(window, i, last);
        live &= atomic_load(&cell->counts[i]);
        ret_reading->words[i] = live;
        pairs += fold(window, live);
    }
    ret_reading->used = add_pairs(window, pairs);
}

int window_look(const struct cell *cell, const struct window *window,
                struct cell_reading *ret_reading)
{
    uint64_t last = atomic_load(&cell->last);
    if (last > window->epoch) {
        return -EAGAIN;
    }
    if (last < window->live_from) {
        *ret_reading = (struct cell_reading){0}; // whatever the lanes hold
        return 0;
    }
    if (last == window->epoch) {
        read_all(cell, window, NULL, ret_reading);
    } else {
        read_behind(cell, window, last, ret_reading);
    }
    return 0;
}

// Zeroes the lanes of one word that are dead. False: `last` has changed, judge again.
static bool zero_dead(struct cell *cell, const struct window *window, uint32_t slot, uint64_t last)
{
    uint64_t word = atomic_load(&cell->counts[slot]);
    uint64_t dead = dead_lanes(window, slot, last);
    while (word & dead) {
        if (atomic_load(&cell->last) != last) {
            return false;
        }
        uint64_t rest = window->tag | (word & window->all_lanes & ~dead);
        if (atomic_compare_exchange_strong(&cell->counts[slot], &word, rest)) {
            break;
        }
    }
    return true;
}

int window_raise(struct cell *cell, const struct window *window)
{
    uint64_t last = atomic_load(&cell->last);
    while (last < window->epoch) {
        bool is_clean = true;
        for (uint32_t i = 0; i < GROUPS && is_clean; i++) {
            is_clean = zero_dead(cell, window, i, last);
        }
        if (!is_clean) {
            last = atomic_load(&cell->last);
        } else if (atomic_compare_exchange_strong(&cell->last, &last, window->epoch)) {
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
        uint64_t counts = word & window->all_lanes;
        uint64_t room = window->lane_max - (counts >> window->shift & window->lane_max);
        if (cost > room && !is_late) {
            return -EDQUOT;
        }
        added = window->tag | (counts + ((cost < room ? cost : room) << window->shift));
    } while (!atomic_compare_exchange_weak(slot, &word, added));
    *ret_word = added;
    return 0;
}

int window_charge(struct cell *cell, const struct window *window, uint64_t cost,
                  struct cell_reading *reading)
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
    if (!is_unchanged(cell, window, cost, own, reading)) {
        read_all(cell, window, &own, reading);
    }
    bool stale = atomic_load(&cell->last) != window->epoch;
    if (!stale && reading->used <= window->limit) {
        return 0;
    }
    window_take_back(cell, window->count_bits, window_bucket(window), window->epoch, cost);
    reading->used -= cost;
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

void window_take_back(struct cell *cell, uint32_t count_bits, uint32_t bucket, uint64_t epoch,
                      uint64_t cost)
{
    uint32_t slot = bucket & 0xff, shift = bucket >> 8, lanes = lanes_of(count_bits);
    if (slot >= GROUPS || shift + count_bits > lanes * count_bits) {
        return; // a verdict that was not ours
    }
    uint64_t lane_max = (UINT64_C(1) << count_bits) - 1;
    uint64_t word = atomic_load(&cell->counts[slot]);
    do {
        // Whoever raises `last` so far zeroes the lane first, and that changes the word.
        if (atomic_load(&cell->last) - epoch >= (uint64_t)lanes * GROUPS ||
            (word >> shift & lane_max) < cost) {
            return;
        }
    } while (!atomic_compare_exchange_weak(&cell->counts[slot], &word, word - (cost << shift)));
}

// From the oldest lane on, how many words are empty: the present epoch's has the oldest lanes and,
// a turn later, the `newer` ones.
static uint32_t first_step(const struct window *window, const struct cell_reading *reading,
                           uint64_t newer)
{
    if (reading->words[window->slot] & ~newer) {
        return 0;
    }
    uint32_t filled = 0;
#pragma GCC unroll 6
    for (uint32_t i = 0; i < GROUPS; i++) {
        filled |= (uint32_t)(reading->words[i] != 0) << i;
    }
    filled |= filled << GROUPS | UINT32_C(1) << 2 * GROUPS;
    return 1 + (uint32_t)__builtin_ctz(filled >> (window->slot + 1));
}

uint64_t window_freed_lane_ns(const struct window *window, const struct cell_reading *reading,
                              uint64_t count)
{
    uint64_t freed = 0;
    uint64_t newer = (UINT64_C(1) << window->shift << window->count_bits) - 1;
    for (uint32_t step = first_step(window, reading, newer); step <= GROUPS; step++) {
        uint32_t slot = window->slot + step;
        slot -= slot >= GROUPS ? GROUPS : 0;
        uint64_t word = reading->words[slot];
        word &= step == 0 ? ~newer : step == GROUPS ? newer : UINT64_MAX;
        while (word != 0) { // its lanes that are not empty
            uint32_t lane = (uint32_t)__builtin_ctzll(word) * window->lane_share >> 16;
            uint32_t shift = lane * window->count_bits;
            freed += word >> shift & window->lane_max;
            if (freed >= count) { // dead from epoch + buckets on, and epochs are biased by that
                uint32_t position = slot * window->lanes + lane;
                uint32_t age = window->position - position; // epochs ago, or a turn less
                age += position > window->position ? window->buckets : 0;
                return (window->epoch - age) * window->bucket_ns;
            }
            word &= ~(window->lane_max << shift);
        }
    }
    return window->end_ns + (window->buckets - 1) * window->bucket_ns;
}
