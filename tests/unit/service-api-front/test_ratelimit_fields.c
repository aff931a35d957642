// Literals follow the drafts' own examples and express-rate-limit's; the denied case is a whole
// reply's fields.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>

#include "base/clock.h"
#include "limit/limit.h"
#include "ratelimit_fields.h"

static const struct ratelimit_item two[] = {
    {.policy = "permin",
     .limit = 50,
     .remaining = 12,
     .cost = 1,
     .window_ns = 60 * NS_PER_S,
     .reset_ns = 30 * NS_PER_S},
    {.policy = "perhr",
     .limit = 1000,
     .remaining = 412,
     .cost = 1,
     .window_ns = 3600 * NS_PER_S,
     .reset_ns = 1980 * NS_PER_S},
};

static void collect(void *arg, const char *name, const char *value)
{
    strbuf_printf(arg, "%s: %s\n", name, value);
}

// `expected`: all fields, one a line.
static void expect(const struct ratelimit_item *items, size_t n, uint32_t styles,
                   const char *expected)
{
    struct strbuf scratch = STRBUF_INIT, out = STRBUF_INIT;
    strbuf_puts(&scratch, "left over");
    ratelimit_fields(items, n, styles, 1790000000 * NS_PER_S - 1, &scratch, collect, &out);
    cr_expect_str_eq(strbuf_text(&out), expected, "got:\n%s", strbuf_text(&out));
    strbuf_fini(&scratch);
    strbuf_fini(&out);
}

Test(ratelimit_fields, admitted_lists_every_policy)
{
    expect(two, 2, RATELIMIT_IETF,
           "RateLimit-Policy: \"permin\";q=50;w=60, \"perhr\";q=1000;w=3600\n"
           "RateLimit: \"permin\";r=12;t=30, \"perhr\";r=412;t=1980\n");
}

Test(ratelimit_fields, denied_lists_only_violated_policies)
{
    struct ratelimit_item items[] = {two[0], two[1]};
    items[0].violated = true;
    items[0].reset_ns = 19 * NS_PER_S + 1;
    expect(items, 2, RATELIMIT_IETF,
           "RateLimit-Policy: \"permin\";q=50;w=60, \"perhr\";q=1000;w=3600\n"
           "RateLimit: \"permin\";r=0;t=20\n");
    expect(items, 2, RATELIMIT_DRAFT_7,
           "RateLimit-Policy: 50;w=60, 1000;w=3600\n"
           "RateLimit: limit=50, remaining=0, reset=20\n");
}

// Limit 5 in 60 s, first hit: the families of express-rate-limit.
Test(ratelimit_fields, older_generations)
{
    const struct ratelimit_item item = {.policy = "foo",
                                        .limit = 5,
                                        .remaining = 4,
                                        .cost = 1,
                                        .window_ns = 60 * NS_PER_S,
                                        .reset_ns = 60 * NS_PER_S};
    expect(&item, 1, RATELIMIT_LEGACY,
           "X-RateLimit-Limit: 5\nX-RateLimit-Remaining: 4\nX-RateLimit-Reset: 1790000060\n");
    expect(&item, 1, RATELIMIT_DRAFT_6,
           "RateLimit-Policy: 5;w=60\nRateLimit-Limit: 5\nRateLimit-Remaining: 4\n"
           "RateLimit-Reset: 60\n");
    expect(&item, 1, RATELIMIT_DRAFT_7,
           "RateLimit-Policy: 5;w=60\nRateLimit: limit=5, remaining=4, reset=60\n");
    expect(&item, 1, RATELIMIT_IETF | RATELIMIT_LEGACY,
           "RateLimit-Policy: \"foo\";q=5;w=60\nRateLimit: \"foo\";r=4;t=60\n"
           "X-RateLimit-Limit: 5\nX-RateLimit-Remaining: 4\nX-RateLimit-Reset: 1790000060\n");
    expect(&item, 1, 0, "");
}

Test(ratelimit_fields, the_tightest_policy_speaks_where_one_may)
{
    struct ratelimit_item items[] = {two[0], two[1]};
    expect(items, 2, RATELIMIT_LEGACY,
           "X-RateLimit-Limit: 50\nX-RateLimit-Remaining: 12\nX-RateLimit-Reset: 1790000030\n");
    items[1].cost = 100; // 4 more requests of this kind
    expect(items, 2, RATELIMIT_LEGACY,
           "X-RateLimit-Limit: 1000\nX-RateLimit-Remaining: 412\nX-RateLimit-Reset: 1790001980\n");
    items[0].violated = items[1].violated = true;
    expect(items, 2, RATELIMIT_LEGACY,
           "X-RateLimit-Limit: 1000\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1790001980\n");
}

Test(ratelimit_fields, what_admits_no_second_request_is_nothing)
{
    struct ratelimit_item item = two[0];
    item.cost = 13;
    expect(&item, 1, RATELIMIT_IETF,
           "RateLimit-Policy: \"permin\";q=50;w=60\nRateLimit: \"permin\";r=0;t=30\n");
}

Test(ratelimit_fields, concurrency_has_no_window_and_no_time)
{
    struct ratelimit_item item = {
        .policy = "slots", .limit = 5, .remaining = 2, .cost = 1, .concurrent = true};
    expect(&item, 1, RATELIMIT_IETF,
           "RateLimit-Policy: \"slots\";q=5;qu=\"concurrent-requests\"\n"
           "RateLimit: \"slots\";r=2\n");
    item.violated = true;
    item.reset_ns = NS_PER_S;
    expect(&item, 1, RATELIMIT_IETF,
           "RateLimit-Policy: \"slots\";q=5;qu=\"concurrent-requests\"\n"
           "RateLimit: \"slots\";r=0;t=1\n");
    expect(&item, 1, RATELIMIT_DRAFT_7, "RateLimit: limit=5, remaining=0, reset=1\n");
}

Test(ratelimit_fields, seconds_round_up_and_are_never_zero)
{
    cr_expect_eq(ratelimit_seconds(0), 1);
    cr_expect_eq(ratelimit_seconds(1), 1);
    cr_expect_eq(ratelimit_seconds(NS_PER_S), 1);
    cr_expect_eq(ratelimit_seconds(NS_PER_S + 1), 2);
    cr_expect_eq(ratelimit_seconds(900 * NS_PER_S), 900);
}

Test(ratelimit_fields, window_below_a_second_still_is_one)
{
    struct ratelimit_item item = {.policy = "burst", .limit = 0, .window_ns = 1};
    expect(&item, 1, RATELIMIT_IETF,
           "RateLimit-Policy: \"burst\";q=0;w=1\nRateLimit: \"burst\";r=0;t=1\n");
}

Test(ratelimit_fields, names_are_escaped_as_structured_field_strings)
{
    struct ratelimit_item item = {
        .policy = "a\"b\\c\nd\xc3\xa9", .limit = UINT64_MAX, .window_ns = NS_PER_S};
    expect(&item, 1, RATELIMIT_IETF,
           "RateLimit-Policy: \"a\\\"b\\\\cd\";q=18446744073709551615;w=1\n"
           "RateLimit: \"a\\\"b\\\\cd\";r=0;t=1\n");
}

Test(ratelimit_fields, no_policy_no_field)
{
    expect(NULL, 0, RATELIMIT_IETF | RATELIMIT_LEGACY, "");
}

Test(ratelimit_fields, a_wait_that_would_not_help_is_not_told)
{
    struct ratelimit_item items[] = {two[0], two[1]};
    items[0].violated = items[1].violated = true;
    items[0].reset_ns = LIMIT_NEVER;
    expect(items, 2, RATELIMIT_IETF,
           "RateLimit-Policy: \"permin\";q=50;w=60, \"perhr\";q=1000;w=3600\n"
           "RateLimit: \"permin\";r=0, \"perhr\";r=0;t=1980\n");
    expect(items, 2, RATELIMIT_DRAFT_7,
           "RateLimit-Policy: 50;w=60, 1000;w=3600\nRateLimit: limit=50, remaining=0\n");
    expect(items, 2, RATELIMIT_LEGACY, "X-RateLimit-Limit: 50\nX-RateLimit-Remaining: 0\n");
    struct strbuf out = STRBUF_INIT;
    ratelimit_problem_members(items, 2, LIMIT_NEVER, &out);
    cr_expect_str_eq(strbuf_text(&out),
                     "\"violated-policies\":[\"permin\",\"perhr\"],\"policy\":\"permin\","
                     "\"limit\":50,\"window\":60");
    strbuf_fini(&out);
}

Test(ratelimit_fields, styles)
{
    static const struct {
        const char *text;
        int result;
        uint32_t styles;
    } rows[] = {{"ietf", 0, RATELIMIT_IETF},
                {"draft-7", 0, RATELIMIT_DRAFT_7},
                {"draft-6,legacy", 0, RATELIMIT_DRAFT_6 | RATELIMIT_LEGACY},
                {"legacy, ietf", 0, RATELIMIT_IETF | RATELIMIT_LEGACY},
                {"none", 0, 0},
                {"", -EINVAL, 0},
                {"none,ietf", -EINVAL, 0},
                {"draft-8", -EINVAL, 0},
                {"ietf,ietf", -EINVAL, 0},
                {"legacy,draft-6,legacy", -EINVAL, 0},
                {"none,none", -EINVAL, 0},
                {"ietf,draft-7", -EINVAL, 0},
                {"draft-6,draft-7", -EINVAL, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t styles = 99;
        const char *why = NULL;
        cr_expect_eq(ratelimit_styles_parse(rows[i].text, &styles, &why), rows[i].result, "%s",
                     rows[i].text);
        cr_expect_eq(styles, rows[i].result == 0 ? rows[i].styles : 99, "%s", rows[i].text);
    }
}

Test(ratelimit_fields, problem_names_the_longest_wait)
{
    struct ratelimit_item items[] = {two[0], two[1]};
    items[0].violated = items[1].violated = true;
    struct strbuf out = STRBUF_INIT;
    ratelimit_problem_members(items, 2, 1980 * NS_PER_S, &out);
    cr_expect_str_eq(strbuf_text(&out),
                     "\"violated-policies\":[\"permin\",\"perhr\"],\"policy\":\"perhr\","
                     "\"limit\":1000,\"window\":3600,\"retry-after\":1980");
    strbuf_fini(&out);
}
