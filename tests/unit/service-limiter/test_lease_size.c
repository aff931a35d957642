// How large a lease is asked for: virtual time, one key.
#include <criterion/criterion.h>

#include "base/clock.h"
#include "lease_size.h"
#include "limit/lease.h"

#define LIFE_NS (300 * NS_PER_MS) // of a window of a minute

Test(lease_size, a_lease_lives_a_200th_of_its_window_and_ends_a_little_early)
{
    cr_assert_eq(lease_life_ns(60 * NS_PER_S), LIFE_NS);
    uint64_t end_ns = lease_end_ns(5000, LIFE_NS);
    cr_assert_lt(end_ns, 5000 + LIFE_NS - LIFE_NS / 1000,
                 "our clock may be slower than the store's");
    cr_assert_gt(end_ns, 5000 + LIFE_NS - LIFE_NS / 256);
}

Test(lease_size, a_key_that_asks_for_the_first_time_gets_what_waits)
{
    struct lease_history none = {0};
    cr_assert_eq(lease_want(&none, 1, LIFE_NS, NS_PER_S), 1);
    cr_assert_eq(lease_want(&none, 7, LIFE_NS, NS_PER_S), 7);
    cr_assert_eq(lease_want(&none, 0, LIFE_NS, NS_PER_S), 1);
}

Test(lease_size, a_key_that_has_been_quiet_for_a_life_is_new_again)
{
    struct lease_history old = {.granted_ns = NS_PER_S, .granted = 500};
    cr_assert_eq(lease_want(&old, 2, LIFE_NS, NS_PER_S + LIFE_NS + 1), 2);
}

Test(lease_size, a_hot_key_reaches_three_quarters_of_a_life_in_a_few_steps)
{
    const uint64_t per_ms = 10; // requests
    struct lease_history history = {.granted_ns = NS_PER_S, .granted = 1};
    uint64_t now_ns = NS_PER_S, size = 1;
    int steps = 0;
    for (; size < per_ms * 200 && steps < 100; steps++) {
        uint64_t lasts_ns = size * NS_PER_MS / per_ms;
        now_ns += lasts_ns > NS_PER_MS ? lasts_ns : NS_PER_MS;
        uint64_t grown = lease_want(&history, 1, LIFE_NS, now_ns);
        cr_assert_leq(grown, 4 * size + 1, "fourfold at most");
        cr_assert_geq(grown, size);
        size = grown;
        history = (struct lease_history){.granted_ns = now_ns, .granted = size};
    }
    cr_assert_lt(steps, 10);
    now_ns += size * NS_PER_MS / per_ms;
    uint64_t settled = lease_want(&history, 1, LIFE_NS, now_ns);
    cr_assert(settled > per_ms * 220 && settled < per_ms * 230, "%lu", settled);
}

Test(lease_size, a_key_that_slows_down_shrinks_at_once)
{
    struct lease_history history = {.granted_ns = NS_PER_S, .granted = 2000, .unspent = 1900};
    uint64_t size = lease_want(&history, 0, LIFE_NS, NS_PER_S + LIFE_NS / 2);
    cr_assert(size >= 100 && size <= 200, "100 in half a life: %lu", size);
    history.unspent = 5000; // somebody has put back: never less than nothing
    cr_assert_eq(lease_want(&history, 0, LIFE_NS, NS_PER_S + LIFE_NS / 2), 1);
}

Test(lease_size, no_lease_is_larger_than_a_cell_holds)
{
    struct lease_history history = {.granted_ns = NS_PER_S, .granted = LEASE_TOKENS_MAX};
    cr_assert_eq(lease_want(&history, LEASE_TOKENS_MAX, 24 * 3600 * NS_PER_S, NS_PER_S + 1),
                 LEASE_TOKENS_MAX);
}

Test(lease_size, small_leases_are_not_worth_asking_ahead)
{
    cr_assert_eq(lease_low_mark(1), 0);
    cr_assert_eq(lease_low_mark(3), 0);
    cr_assert_eq(lease_low_mark(400), 100);
}
