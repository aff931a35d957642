#include <criterion/criterion.h>
#include <math.h>

#include "feed.h"

static const double bounds[] = {0.001, 0.01, 0.1};

Test(feed, a_quantile_is_linear_in_its_bucket)
{
    const uint64_t counts[] = {0, 100, 0, 0};
    cr_assert_float_eq(feed_quantile(bounds, counts, 3, 0.5), 0.0055, 1e-12);
    cr_assert_float_eq(feed_quantile(bounds, counts, 3, 1), 0.01, 1e-12);
    const uint64_t two[] = {98, 0, 2, 0};
    cr_assert_float_eq(feed_quantile(bounds, two, 3, 0.99), 0.055, 1e-12);
}

Test(feed, beyond_the_last_bound_is_the_last_bound_and_nothing_is_not_zero)
{
    const uint64_t slow[] = {0, 0, 1, 99};
    cr_assert_float_eq(feed_quantile(bounds, slow, 3, 0.99), 0.1, 1e-12);
    const uint64_t none[] = {0, 0, 0, 0};
    cr_assert(isnan(feed_quantile(bounds, none, 3, 0.99)));
}
