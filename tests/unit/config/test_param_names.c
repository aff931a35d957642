#include <criterion/criterion.h>

#include "config/param.h"

Test(param_names, known_to_the_suite)
{
    const char *nearest = "untouched";
    cr_expect(param_is_known("GLOBAL_RATE_MAX", &nearest));
    cr_expect(param_is_known("VALVECHAIN_ENV", &nearest), "an alias is a name");
    cr_expect_str_eq(nearest, "untouched");
    cr_expect_not(param_is_known("GLOBAL_RATE_MAXX", &nearest));
    cr_expect_str_eq(nearest, "GLOBAL_RATE_MAX");
    cr_expect_not(param_is_known("global_rate_max", &nearest));
    cr_expect_str_eq(nearest, "GLOBAL_RATE_MAX");
    cr_expect_not(param_is_known("QQQQQQQQQQQQQQQQQQQ", &nearest));
    cr_expect_null(nearest);
}

Test(param_names, assignments)
{
    struct problems problems = PROBLEMS_INIT;
    const char *const texts[] = {"CB_TIMEOUT=1", "CB_TIMOUT=1", "CB_TIMEOUT", "=1", "", "ZZZZZZ=="};
    const struct param_sources sources = {.assignments = texts, .n_assignments = 6};
    param_check_assignments(&sources, &problems);
    cr_assert_eq(problems.n, 5);
    cr_expect_str_eq(problems.items[0],
                     "--set: there is no parameter 'CB_TIMOUT'; did you mean CB_TIMEOUT?");
    cr_expect_str_eq(problems.items[1],
                     "--set: 'CB_TIMEOUT' is not of the form, allowed NAME=VALUE");
    cr_expect_str_eq(problems.items[2], "--set: '' is not of the form, allowed NAME=VALUE");
    cr_expect_str_eq(problems.items[4], "--set: there is no parameter 'ZZZZZZ', --help lists them");
    problems_fini(&problems);
}

Test(param_names, forms)
{
    cr_expect(param_is_name("valve-chain_1"));
    cr_expect(param_is_name("abcdefghijklmnopqrstuvw"));
    const char *const bad_names[] = {"",        "abcdefghijklmnopqrstuvwx", "a b", "a.b", "../x",
                                     "\xc3\xbc"};
    for (size_t i = 0; i < 6; i++)
        cr_expect_not(param_is_name(bad_names[i]), "%s", bad_names[i]);
    const char *const paths[] = {"/", "/metrics", "/api/health", "/a.b/..c/.d/", "/~x-_+"};
    for (size_t i = 0; i < 5; i++)
        cr_expect(param_is_url_path(paths[i]), "%s", paths[i]);
    const char *const bad_paths[] = {"",     "metrics", "//",   "/a//b", "/.",    "/a/..",
                                     "/./b", "/a?x",    "/a#x", "/a b",  "/a%2f", "/\xff"};
    for (size_t i = 0; i < 12; i++)
        cr_expect_not(param_is_url_path(bad_paths[i]), "%s", bad_paths[i]);
    cr_expect(param_is_dir("/dev/shm"));
    cr_expect_not(param_is_dir("shm"));
    cr_expect_not(param_is_dir(""));
}
