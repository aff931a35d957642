#include <criterion/criterion.h>

#include "base/problems.h"

Test(problems, collects_in_order)
{
    struct problems problems = PROBLEMS_INIT;
    for (int i = 0; i < 100; i++)
        problems_add(&problems, "%s: '%d' is wrong", "NAME", i);
    cr_assert_eq(problems.n, 100);
    cr_assert_str_eq(problems.items[0], "NAME: '0' is wrong");
    cr_assert_str_eq(problems.items[99], "NAME: '99' is wrong");
    problems_fini(&problems);
    cr_assert_eq(problems.n, 0);
    cr_assert_null(problems.items);
    problems_fini(&problems);
}
