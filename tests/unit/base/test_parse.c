#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/parse.h"

static void expect_u64(const char *text, uint64_t min, uint64_t max, int result, uint64_t value)
{
    uint64_t got = 4711;
    cr_expect_eq(parse_u64(text, min, max, &got), result, "'%s'", text);
    cr_expect_eq(got, result == 0 ? value : 4711, "'%s' gave %lu", text, (unsigned long)got);
}

Test(parse, u64)
{
    expect_u64("0", 0, UINT64_MAX, 0, 0);
    expect_u64("8080", 1, 65535, 0, 8080);
    expect_u64("007", 0, 10, 0, 7);
    expect_u64("18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX);
    expect_u64("18446744073709551616", 0, UINT64_MAX, -ERANGE, 0);
    expect_u64("99999999999999999999999999", 0, UINT64_MAX, -ERANGE, 0);
    expect_u64("99999999999999999999999999x", 0, UINT64_MAX, -EINVAL, 0);
    expect_u64("0", 1, 10, -ERANGE, 0);
    expect_u64("11", 1, 10, -ERANGE, 0);
    const char *const bad[] = {"", " 1", "1 ", "+1", "-1", "1.0", "0x10", "1e3", "ten", "1,0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_u64(bad[i], 0, UINT64_MAX, -EINVAL, 0);
}

Test(parse, u64_of_a_part)
{
    uint64_t value;
    cr_assert_eq(parse_u64_n("12345", 3, 0, 1000, &value), 0);
    cr_assert_eq(value, 123);
    cr_assert_eq(parse_u64_n("12345", 0, 0, 1000, &value), -EINVAL);
    cr_assert_eq(parse_u64_n("1\0002", 3, 0, 1000, &value), -EINVAL);
}

Test(parse, bool_words)
{
    const char *const yes[] = {"true", "TRUE", "1", "yes", "Yes", "on"};
    const char *const no[] = {"false", "False", "0", "no", "off", "OFF"};
    const char *const bad[] = {"", "2", "tru", "truee", " true", "enabled"};
    for (size_t i = 0; i < 6; i++) {
        bool value = false;
        cr_expect_eq(parse_bool(yes[i], &value), 0);
        cr_expect(value, "%s", yes[i]);
        cr_expect_eq(parse_bool(no[i], &value), 0);
        cr_expect_not(value, "%s", no[i]);
        cr_expect_eq(parse_bool(bad[i], &value), -EINVAL, "'%s'", bad[i]);
    }
}

static void expect_list(const char *text, const char *joined)
{
    char got[256] = "";
    const char *cursor = text, *item;
    size_t len;
    while (parse_list_next(&cursor, &item, &len)) {
        strncat(got, item, len);
        strcat(got, "|");
    }
    cr_expect_str_eq(got, joined, "'%s' gave '%s'", text, got);
    cr_expect_not(parse_list_next(&cursor, &item, &len), "the end stays the end");
}

Test(parse, list)
{
    expect_list("", "");
    expect_list(" , ,, ", "");
    expect_list("a", "a|");
    expect_list("a,b", "a|b|");
    expect_list("  a b ,\tc\t,,d", "a b|c|d|");
    expect_list(",x,", "x|");
}
