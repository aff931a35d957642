#include <criterion/criterion.h>
#include <errno.h>

#include "base/buckets.h"

Test(buckets, the_default_is_the_list)
{
    static const double expected[] = {BUCKETS_LATENCY_S};
    struct buckets buckets;
    cr_assert_eq(buckets_parse(BUCKETS_LATENCY_DEFAULT, &buckets), 0);
    cr_assert_eq(buckets.n, sizeof(expected) / sizeof(expected[0]));
    cr_assert_arr_eq(buckets.upper, expected, sizeof(expected));
}

Test(buckets, blanks_and_one_bound_are_fine)
{
    struct buckets buckets;
    cr_assert_eq(buckets_parse(" 0.5 ,86400", &buckets), 0);
    cr_assert_eq(buckets.n, 2);
    cr_assert_eq(buckets_parse("3", &buckets), 0);
    cr_assert_eq(buckets.n, 1);
    cr_assert_float_eq(buckets.upper[0], 3, 0);
}

Test(buckets, what_is_no_ascending_finite_list_is_refused)
{
    static const char *const bad[] = {"",
                                      ",",
                                      "0",
                                      "0.0",
                                      "-1",
                                      "1,1",
                                      "2,1",
                                      "inf",
                                      "nan",
                                      "1e3",
                                      "0x1",
                                      "1.",
                                      ".5",
                                      "1.5.2",
                                      "+1",
                                      "86401",
                                      "1 2",
                                      "ten",
                                      "1,2,x",
                                      "1,\xff",
                                      "1\n2",
                                      "0.1,0.05",
                                      "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
                                      "0.0000000000000000000000001"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct buckets buckets = {.n = 4711};
        cr_expect_eq(buckets_parse(bad[i], &buckets), -EINVAL, "'%s'", bad[i]);
        cr_expect_eq(buckets.n, 4711, "'%s' was written", bad[i]);
        cr_expect_not(buckets_are_valid(bad[i]));
    }
}
