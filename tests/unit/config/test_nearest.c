#include <criterion/criterion.h>

#include "config/nearest.h"

Test(nearest, distance)
{
    cr_expect_eq(nearest_distance("", ""), 0);
    cr_expect_eq(nearest_distance("abc", ""), 3);
    cr_expect_eq(nearest_distance("", "abc"), 3);
    cr_expect_eq(nearest_distance("kitten", "sitting"), 3);
    cr_expect_eq(nearest_distance("PROT", "port"), 1);
    cr_expect_eq(nearest_distance("upstraem", "upstream"), 1);
    char long_name[200];
    for (int i = 0; i < 199; i++)
        long_name[i] = 'a';
    long_name[199] = '\0';
    cr_expect_eq(nearest_distance(long_name, ""), 63);
}

Test(nearest, name)
{
    static const char *const names[] = {"name", "path", "host", "methods", "strip_path"};
    cr_expect_str_eq(nearest_name("method", names, 5), "methods");
    cr_expect_str_eq(nearest_name("stripPath", names, 5), "strip_path");
    cr_expect_str_eq(nearest_name("hots", names, 5), "host");
    cr_expect_null(nearest_name("colour", names, 5));
    cr_expect_null(nearest_name("", names, 5));
    cr_expect_null(nearest_name("x", names, 0));
}
