#include <criterion/criterion.h>
#include <string.h>

#include "check_facts.h"
#include "config/model.h"

static struct check_text text_of(const char *text)
{
    return (struct check_text){text, strlen(text)};
}

static struct check_request check_of(const char *client, const char *path)
{
    struct check_request check;
    cr_assert(check_wire_read("", 0, &check));
    check.client = text_of(client);
    check.path = text_of(path);
    return check;
}

Test(check_facts, what_is_left_out_has_its_default)
{
    struct check_request check = check_of("192.0.2.7", "");
    struct limit_facts facts;
    cr_assert_null(check_facts_read(NULL, NULL, &check, &facts));
    cr_expect_eq(facts.client.family, 4);
    cr_expect_eq(facts.cost, 1);
    cr_expect_eq(facts.method, HTTP_GET);
    cr_expect_eq(facts.tier, LIMIT_TIER_FREE);
    cr_expect_not(facts.tier_verified);
    cr_expect_eq(facts.region, LIMIT_REGION_US_EAST);
    cr_expect_eq(facts.path_len, 0);
}

Test(check_facts, a_named_tier_is_believed_and_a_peek_costs_nothing)
{
    struct check_request check = check_of("2001:db8::1", "/a");
    struct limit_facts facts;
    check.tier = text_of("premium");
    check.region = text_of("asia");
    check.method = text_of("DELETE");
    check.cost = CHECK_COST_MAX;
    cr_assert_null(check_facts_read(NULL, NULL, &check, &facts));
    cr_expect(facts.tier_verified);
    cr_expect_eq(facts.tier, LIMIT_TIER_PREMIUM);
    cr_expect_eq(facts.region, LIMIT_REGION_ASIA);
    cr_expect_eq(facts.method, HTTP_DELETE);
    cr_expect_eq(facts.cost, CHECK_COST_MAX);
    check.peek = true;
    cr_assert_null(check_facts_read(NULL, NULL, &check, &facts));
    cr_expect_eq(facts.cost, 0);
}

Test(check_facts, paths_that_lead_elsewhere_are_refused)
{
    static const char *const good[] = {"/",      "/a",  "/a/",  "/a/.b",
                                       "/a/..b", "/a.", "/...", "/a b\xc3\xa4"};
    static const char *const bad[] = {"a",    "//",    "//a",   "/a//", "/.",
                                      "/./a", "/a/..", "/../a", "/a/.", "/a//b"};
    struct limit_facts facts;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct check_request check = check_of("192.0.2.7", good[i]);
        cr_expect_null(check_facts_read(NULL, NULL, &check, &facts), "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct check_request check = check_of("192.0.2.7", bad[i]);
        cr_expect_not_null(check_facts_read(NULL, NULL, &check, &facts), "%s", bad[i]);
    }
}

Test(check_facts, names_are_read_as_gateways_read_them)
{
    struct check_request check = check_of("192.0.2.7", "/a");
    struct limit_facts facts;
    check.tier = text_of("PREMIUM");
    check.region = text_of("US_West");
    cr_assert_null(check_facts_read(NULL, NULL, &check, &facts));
    cr_expect_eq(facts.tier, LIMIT_TIER_PREMIUM);
    cr_expect_eq(facts.region, LIMIT_REGION_US_WEST);
    check.tier = text_of("premium-");
    cr_expect_not_null(check_facts_read(NULL, NULL, &check, &facts));
    check.tier = text_of("");
    check.region = text_of("mars");
    cr_expect_not_null(check_facts_read(NULL, NULL, &check, &facts));
}
