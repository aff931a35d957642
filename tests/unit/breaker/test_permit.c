#include <criterion/criterion.h>

#include "breaker/permit.h"
#include "breaker_fixture.h"

static struct breaker_window_section *window;
static _Atomic uint64_t slots_seen;

static void setup(void)
{
    window = calloc(1, sizeof(*window));
    atomic_store(&slots_seen, 4);
}

static void teardown(void)
{
    free(window);
}

TestSuite(permit, .init = setup, .fini = teardown);

static struct permit_pool pool_of(uint32_t slot)
{
    return (struct permit_pool){.window = window,
                                .breaker = 3,
                                .slot = slot,
                                .slot_generation = slot + 100,
                                .slots_seen = &slots_seen};
}

static bool take(const struct permit_pool *pool, uint32_t capacity)
{
    uint32_t tag;
    if (!permit_take(pool, capacity, &tag))
        return false;
    cr_assert_eq(tag, share_tag_of(pool->slot_generation));
    return true;
}

static void give_back(const struct permit_pool *pool)
{
    permit_give_back(&window->lines[pool->slot][3].share, share_tag_of(pool->slot_generation));
}

static int take_all(const struct permit_pool *pool, uint32_t capacity)
{
    int n = 0;
    while (n < 100000 && take(pool, capacity))
        n++;
    return n;
}

Test(permit, one_process_alone_gets_all_of_it)
{
    struct permit_pool a = pool_of(0);
    for (uint32_t capacity = 1; capacity <= 65535; capacity = capacity * 3 + 1) {
        cr_assert_eq(take_all(&a, capacity), (int)capacity);
        cr_assert_eq(permit_in_flight(&a), capacity);
        for (uint32_t i = 0; i < capacity; i++)
            give_back(&a);
        permit_trim(&a);
    }
    cr_assert_eq(take_all(&a, 65535), 65535);
}

Test(permit, what_one_does_not_use_others_get_to_the_last)
{
    struct permit_pool a = pool_of(0), b = pool_of(2);
    cr_assert_eq(take_all(&a, 10), 10);
    cr_assert(!take(&b, 10));
    give_back(&a); // a keeps the share, unused
    cr_assert(take(&b, 10));
    cr_assert(!take(&b, 10));
    cr_assert(!take(&a, 10));
    for (int i = 0; i < 9; i++)
        give_back(&a);
    cr_assert_eq(take_all(&b, 10), 9);
    cr_assert_eq(permit_in_flight(&b), 10);
}

Test(permit, capacity_one_wanders)
{
    struct permit_pool a = pool_of(0), b = pool_of(1), c = pool_of(3);
    for (int i = 0; i < 5; i++) {
        cr_assert(take(&a, 1));
        cr_assert(!take(&b, 1));
        give_back(&a);
        cr_assert(take(&b, 1));
        cr_assert(!take(&c, 1));
        give_back(&b);
        cr_assert(take(&c, 1));
        give_back(&c);
    }
}

Test(permit, a_process_that_comes_later_counts)
{
    atomic_store(&slots_seen, 1);
    struct permit_pool a = pool_of(0), late = pool_of(7);
    cr_assert_eq(take_all(&a, 5), 5);
    atomic_store(&slots_seen, 8);
    cr_assert(!take(&late, 5));
    give_back(&a);
    cr_assert(take(&late, 5));
    cr_assert(!take(&a, 5));
}

Test(permit, a_lowered_capacity_holds_once_calls_have_ended)
{
    struct permit_pool a = pool_of(0), b = pool_of(1);
    cr_assert_eq(take_all(&a, 6), 6);
    permit_trim(&a); // as a refresh of the definitions does
    cr_assert(!take(&b, 4));
    for (int i = 0; i < 3; i++) {
        give_back(&a);
        permit_trim(&a);
    }
    cr_assert(take(&b, 4));
    cr_assert(!take(&b, 4));
    cr_assert(!take(&a, 4));
}

Test(permit, giving_back_what_is_not_held_changes_nothing)
{
    struct permit_pool a = pool_of(0);
    give_back(&a);
    cr_assert_eq(permit_in_flight(&a), 0);
    cr_assert_eq(take_all(&a, 3), 3);
}

// One process, step by step, against three that do as they like: the sum never exceeds it.
Test(permit, random_walk_of_four_stays_within)
{
    struct permit_pool pools[4] = {pool_of(0), pool_of(1), pool_of(2), pool_of(3)};
    uint32_t held[4] = {0}, total = 0;
    uint64_t x = 7;
    for (int i = 0; i < 200000; i++) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        uint32_t who = (uint32_t)(x >> 62), capacity = 7;
        if (x >> 40 & 1) {
            bool got = take(&pools[who], capacity);
            cr_assert_eq(got, total < capacity); // nobody races here: exact both ways
            held[who] += got;
            total += got;
        } else if (held[who] > 0) {
            give_back(&pools[who]);
            held[who]--;
            total--;
        }
        cr_assert_eq(permit_in_flight(&pools[0]), total);
    }
}

// A holder who was given up for dead goes on: what he gives back now was taken away already.
Test(permit, a_share_that_was_taken_away_is_not_given_back_twice)
{
    struct permit_pool a = pool_of(0), b = pool_of(1);
    _Atomic uint64_t *word = &window->lines[0][3].share;
    cr_assert_eq(take_all(&a, 3), 3);
    atomic_store(word, share_taken_away(atomic_load(word)));
    cr_assert_eq(permit_in_flight(&a), 0);
    cr_assert_eq(take_all(&b, 3), 3);
    give_back(&b);
    uint32_t tag;
    cr_assert(permit_take(&a, 3, &tag)); // his own again, under another tag
    cr_assert_neq(tag, share_tag_of(a.slot_generation));
    cr_assert(share_tag_is_of(tag, a.slot_generation));
    give_back(&a); // one of the old three
    cr_assert_eq(permit_in_flight(&a), 3);
    permit_give_back(word, tag);
    cr_assert_eq(permit_in_flight(&a), 2);
}

Test(permit, probes_are_noted_by_generation)
{
    struct permit_pool a = pool_of(1);
    _Atomic uint64_t *word = &window->lines[1][3].probes;
    permit_note_probe(&a, 5);
    permit_note_probe(&a, 5);
    cr_assert_eq(probes_out(*word), 2);
    cr_assert_eq(probes_generation(*word), 5);
    cr_assert_eq(probes_slot_generation(*word), 101);
    permit_strike_probe(&a, 4); // an older generation's: not in the note any more
    cr_assert_eq(probes_out(*word), 2);
    permit_strike_probe(&a, 5);
    permit_note_probe(&a, 6); // a new generation: the old notes mean nothing
    cr_assert_eq(probes_out(*word), 1);
}
