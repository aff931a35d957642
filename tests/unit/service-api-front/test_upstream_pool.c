#include <criterion/criterion.h>

#include "upstream_pool.h"

Test(upstream_choose, takes_none_when_none_is_usable)
{
    struct upstream_candidate none[3] = {{false, 0}, {false, 1}, {false, 2}};
    cr_assert_eq(upstream_choose(none, 3, 0), 3);
    cr_assert_eq(upstream_choose(none, 0, 0), 0);
}

Test(upstream_choose, leaves_the_unusable_out)
{
    struct upstream_candidate c[4] = {{false, 0}, {true, 9}, {false, 0}, {true, 8}};
    for (uint32_t random = 0; random < 100000; random += 97) {
        size_t chosen = upstream_choose(c, 4, random * 2654435761u);
        cr_assert(chosen == 3, "%zu", chosen); // the two usable ones meet, the lighter wins
    }
}

Test(upstream_choose, shares_evenly_among_idle_ones)
{
    struct upstream_candidate c[3] = {{true, 0}, {true, 0}, {true, 0}};
    for (size_t n = 2; n <= 3; n++) {
        unsigned hits[3] = {0};
        for (uint32_t i = 0; i < 6000; i++) {
            hits[upstream_choose(c, n, i * 2654435761u)]++;
        }
        for (size_t k = 0; k < n; k++) {
            cr_assert(hits[k] > 5000 / n && hits[k] < 7000 / n, "%zu of %zu: %u", k, n, hits[k]);
        }
    }
}

Test(upstream_choose, prefers_the_lighter_of_two_and_reaches_all_equals)
{
    struct upstream_candidate c[3] = {{true, 1}, {true, 1}, {true, 7}};
    unsigned hits[3] = {0};
    for (uint32_t i = 0; i < 3000; i++) {
        hits[upstream_choose(c, 3, i * 2654435761u)]++;
    }
    cr_assert_eq(hits[2], 0); // always beside a lighter one
    cr_assert_gt(hits[0], 500);
    cr_assert_gt(hits[1], 500);
}
