// Literals follow the draft's own examples; the denied case is a whole reply's three fields.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "base/clock.h"
#include "ratelimit_fields.h"

static const struct ratelimit_item two[] = {
    {.policy = "permin",
     .key = "client-address",
     .limit = 50,
     .remaining = 12,
     .window_ns = 60 * NS_PER_S,
     .reset_ns = 30 * NS_PER_S},
    {.policy = "perhr",
     .key = "subject",
     .limit = 1000,
     .remaining = 412,
     .window_ns = 3600 * NS_PER_S,
     .reset_ns = 1980 * NS_PER_S},
};

Test(ratelimit_fields, policies_stand_in_one_list)
{
    struct strbuf out = STRBUF_INIT;
    ratelimit_policy_field(two, 2, &out);
    cr_expect_str_eq(strbuf_text(&out), "\"permin\";q=50;w=60, \"perhr\";q=1000;w=3600");
    strbuf_fini(&out);
}

Test(ratelimit_fields, admitted_lists_every_policy)
{
    struct strbuf out = STRBUF_INIT;
    ratelimit_field(two, 2, &out);
    cr_expect_str_eq(strbuf_text(&out), "\"permin\";r=12;t=30, \"perhr\";r=412;t=1980");
    strbuf_fini(&out);
}

Test(ratelimit_fields, denied_lists_only_violated_policies)
{
    struct ratelimit_item items[] = {two[0], two[1]};
    items[0].violated = true;
    items[0].reset_ns = 19 * NS_PER_S + 1;
    struct strbuf out = STRBUF_INIT;
    ratelimit_field(items, 2, &out);
    cr_expect_str_eq(strbuf_text(&out), "\"permin\";r=0;t=20");
    strbuf_fini(&out);
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
    struct strbuf out = STRBUF_INIT;
    ratelimit_policy_field(&item, 1, &out);
    cr_expect_str_eq(strbuf_text(&out), "\"burst\";q=0;w=1");
    strbuf_fini(&out);
}

Test(ratelimit_fields, names_are_escaped_as_structured_field_strings)
{
    struct ratelimit_item item = {
        .policy = "a\"b\\c\nd\xc3\xa9", .limit = UINT64_MAX, .window_ns = NS_PER_S};
    struct strbuf out = STRBUF_INIT;
    ratelimit_policy_field(&item, 1, &out);
    cr_expect_str_eq(strbuf_text(&out), "\"a\\\"b\\\\cd\";q=18446744073709551615;w=1");
    strbuf_fini(&out);
}

Test(ratelimit_fields, problem_names_the_longest_wait)
{
    struct ratelimit_item items[] = {two[0], two[1]};
    items[0].violated = items[1].violated = true;
    struct strbuf out = STRBUF_INIT;
    ratelimit_problem_members(items, 2, 1980 * NS_PER_S, &out);
    cr_expect_str_eq(strbuf_text(&out),
                     "\"violated-policies\":[\"permin\",\"perhr\"],\"limit\":1000,"
                     "\"window\":3600,\"retry-after\":1980,\"key\":\"subject\"");
    strbuf_fini(&out);
}

Test(ratelimit_fields, no_policy_no_text)
{
    struct strbuf out = STRBUF_INIT;
    ratelimit_policy_field(NULL, 0, &out);
    ratelimit_field(NULL, 0, &out);
    cr_expect_str_eq(strbuf_text(&out), "");
    strbuf_fini(&out);
}
