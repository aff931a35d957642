// The policies of a configuration file, compiled and asked: what the table of envoyproxy/ratelimit
// (its README and tests) says of configured limits, and what ours add to it.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "config/model.h"
#include "fixture.h"
#include "limit/match.h"

static struct limit_policy_set set;
static struct problems problems;
static struct config_model *model;

static void cleanup(void)
{
    problems_fini(&problems);
    memset(&problems, 0, sizeof(problems));
    config_model_destroy(&model);
}
TestSuite(policy_file, .fini = cleanup);

// `limits`: what stands in "limits". `assignment` NULL: none.
static int compile(const char *limits, const char *assignment)
{
    struct limits_params params;
    struct param_sources sources = {.assignments = &assignment,
                                    .n_assignments = assignment != NULL};
    char text[4096];
    cleanup();
    snprintf(text, sizeof(text), "{\"limits\": {%s}}", limits);
    cr_assert_eq(param_group_load(&limits_param_group, &sources, &params, &problems), 0);
    cr_assert_eq(config_model_parse("c.json", text, strlen(text), &problems, &model), 0, "%s",
                 problems.n ? problems.items[0] : "");
    int r = limit_compile(&params, model, ENVIRONMENT_PRODUCTION, &problems, &set);
    param_group_fini(&limits_param_group, &params);
    return r;
}

struct world {
    struct fixture table;
    struct limit_view *view;
};
static void start(struct world *w, const char *limits, const char *assignment)
{
    cr_assert_eq(compile(limits, assignment), 0, "%s", problems.n ? problems.items[0] : limits);
    fixture_init(&w->table, 8192);
    w->view = fixture_view(&w->table, 1);
    cr_assert_eq(limit_publish(w->view, &set, LIMIT_PUBLISH_REPLACE), 0);
}
static void stop(struct world *w)
{
    free(w->view);
    fixture_fini(&w->table);
}

static struct limit_facts facts_of(const char *path)
{
    struct limit_facts facts = fixture_facts(1);
    facts.path = path;
    facts.path_len = strlen(path);
    return facts;
}

// The names of the policies that bound the request, in order.
static const char *bound_by(struct world *w, const struct limit_facts *facts)
{
    static char text[256];
    struct limit_verdict verdict;
    limit_decide(w->view, facts, &verdict);
    text[0] = '\0';
    for (uint32_t i = 0; i < verdict.n; i++) {
        const struct limit_policy *policy = limit_policy_at(w->view, verdict.charges[i].policy);
        strcat(text, i > 0 ? " " : "");
        strcat(text, policy->name);
    }
    return text;
}

static unsigned admitted(struct world *w, const struct limit_facts *facts, unsigned tries)
{
    unsigned n = 0;
    for (unsigned i = 0; i < tries; i++) {
        struct limit_verdict verdict;
        limit_decide(w->view, facts, &verdict);
        n += verdict.admitted;
    }
    return n;
}

static const char *header_of(const void *arg, const char *name, size_t *ret_len)
{
    const char *const *pairs = arg; // name, value, ..., NULL
    for (; *pairs; pairs += 2) {
        if (strcmp(pairs[0], name) == 0) {
            *ret_len = strlen(pairs[1]);
            return pairs[1];
        }
    }
    return NULL;
}

#define P(name, limit, more)                                                                       \
    "{\"name\": \"" name "\", \"window_ms\": 60000, \"limit\": " #limit more "}"

Test(policy_file, most_policies_at_once_are_counted_by_path_and_host)
{
    // Nine of their own paths are fine, since no request meets two.
    char text[4096] = "\"policies\": [", one[256];
    for (int i = 0; i < 9; i++) {
        snprintf(one, sizeof(one),
                 "%s{\"name\": \"p%d\", \"window_ms\": 1000, \"limit\": 1, "
                 "\"match\": {\"paths\": [\"/p%d\"], \"hosts\": [\"h%d\"]}}",
                 i ? "," : "", i, i, i % 2);
        strcat(text, one);
    }
    strcat(text, "]");
    cr_assert_eq(compile(text, NULL), 0, "%s", problems.n ? problems.items[0] : "");
    // Below one another they meet: with tier and global more than eight.
    strcpy(text, "\"policies\": [");
    for (int i = 0; i < 7; i++) {
        snprintf(one, sizeof(one),
                 "%s{\"name\": \"p%d\", \"window_ms\": 1000, \"limit\": 1, "
                 "\"match\": {\"paths\": [\"/p%.*s\"]}}",
                 i ? "," : "", i, 2 * i, "/1/2/3/4/5/6/7");
        strcat(text, one);
    }
    strcat(text, "]");
    cr_assert_eq(compile(text, NULL), -EINVAL);
    cr_assert_eq(problems.n, 1U);
    cr_expect_not_null(strstr(problems.items[0], "9 policies can bind one and the same request, "
                                                 "allowed are 8"),
                       "%s", problems.items[0]);
    cr_expect_eq(strncmp(problems.items[0], "c.json:1:", 9), 0, "%s", problems.items[0]);
}

Test(policy_file, match)
{
    static const char text[] =
        "\"tiers\": [{\"name\": \"gold\", \"limit\": 50}], \"policies\": ["
        "{\"name\": \"path\", \"window_ms\": 60000, \"limit\": 9,"
        " \"match\": {\"paths\": [\"/a\", \"/b/c\"]}},"
        "{\"name\": \"post\", \"window_ms\": 60000, \"limit\": 9,"
        " \"match\": {\"methods\": [\"POST\"]}},"
        "{\"name\": \"asia\", \"window_ms\": 60000, \"limit\": 9,"
        " \"match\": {\"regions\": [\"asia\"], \"tiers\": [\"gold\"]}},"
        "{\"name\": \"known\", \"window_ms\": 60000, \"limit\": 9,"
        " \"match\": {\"callers\": \"authenticated\"}},"
        "{\"name\": \"host\", \"window_ms\": 60000, \"limit\": 9,"
        " \"match\": {\"hosts\": [\"h.example\"], \"callers\": \"anonymous\"}},"
        "{\"name\": \"team\", \"window_ms\": 60000, \"limit\": 9,"
        " \"match\": {\"headers\": [{\"name\": \"X-T\", \"value\": \"a\"}]}}]";
    struct world w;
    start(&w, text, NULL);
    static const char *const beta[] = {"x-t", "b", NULL}, *const team[] = {"x-t", "a", NULL};
    const struct {
        const char *path, *host, *subject;
        unsigned method;
        uint32_t tier, region;
        const char *const *headers;
        const char *bound_by;
    } rows[] = {
        {"/", "", "", HTTP_GET, 0, 0, NULL, "tier-free global"},
        {"/a/x", "", "", HTTP_GET, 0, 0, NULL, "tier-free global path"},
        {"/b/c", "", "", HTTP_GET, 0, 0, NULL, "tier-free global path"},
        {"/b", "", "", HTTP_GET, 0, 0, NULL, "tier-free global"},
        {"/ax", "", "", HTTP_POST, 0, 0, NULL, "tier-free global post"},
        {"/A", "", "", HTTP_GET, 0, 0, NULL, "tier-free global"}, // case counts
        {"/", "", "", HTTP_GET, 3, LIMIT_REGION_ASIA, NULL, "tier-gold global asia"},
        {"/", "", "", HTTP_GET, 0, LIMIT_REGION_ASIA, NULL, "tier-free global"},
        {"/", "h.example", "", HTTP_GET, 0, 0, NULL, "tier-free global host"},
        {"/", "h.example", "me", HTTP_GET, 0, 0, NULL, "tier-free global known"},
        {"/", "h.example.org", "", HTTP_GET, 0, 0, NULL, "tier-free global"},
        {"/", "", "", HTTP_GET, 0, 0, beta, "tier-free global"},
        {"/", "", "", HTTP_GET, 0, 0, team, "tier-free global team"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct limit_facts facts = facts_of(rows[i].path);
        facts.host = rows[i].host;
        facts.host_len = strlen(rows[i].host);
        facts.subject = rows[i].subject;
        facts.subject_len = strlen(rows[i].subject);
        facts.method = rows[i].method;
        facts.tier = rows[i].tier;
        facts.region = rows[i].region;
        facts.header = rows[i].headers ? header_of : NULL;
        facts.header_arg = rows[i].headers;
        cr_expect_str_eq(bound_by(&w, &facts), rows[i].bound_by, "row %zu: %s", i,
                         bound_by(&w, &facts));
    }
    cr_expect_str_eq(limit_tier_name(w.view, 3), "gold");
    cr_expect_null(limit_tier_name(w.view, 4));
    stop(&w);
}

// envoyproxy/ratelimit: `requests_per_unit: 0` is always over the limit.
Test(policy_file, zero_is_a_ban)
{
    struct world w;
    start(&w, "\"policies\": [" P("ban", 0, ", \"match\": {\"paths\": [\"/x\"]}") "]", NULL);
    struct limit_facts banned = facts_of("/x"), other = facts_of("/");
    cr_expect_eq(admitted(&w, &banned, 3), 0U);
    cr_expect_eq(admitted(&w, &other, 3), 3U);
    stop(&w);
}

// envoyproxy/ratelimit: unlimited is OK at once; `replaces` takes the others' place.
Test(policy_file, unlimited_takes_the_place_of_what_it_replaces)
{
    struct world w;
    start(&w,
          "\"policies\": [{\"name\": \"ours\", \"unlimited\": true, \"match\": {\"paths\": "
          "[\"/in\"]}, \"replaces\": [\"tier-free\", \"global\", \"late\"]}," P("late", 1, "") "]",
          "TIER_FREE_MAX=2");
    struct limit_facts ours = facts_of("/in"), others = facts_of("/");
    cr_expect_str_eq(bound_by(&w, &ours), "");
    cr_expect_eq(admitted(&w, &ours, 100), 100U);
    cr_expect_eq(admitted(&w, &others, 9), 1U, "`late` binds the rest");
    stop(&w);
}

Test(policy_file, the_order_of_policies_changes_nothing)
{
    static const char *const orders[] = {
        P("a", 5, ", \"replaces\": [\"b\"]") "," P("b", 5, ", \"replaces\": [\"c\"]") "," P("c", 5,
                                                                                            ""),
        P("c", 5, "") "," P("b", 5, ", \"replaces\": [\"c\"]") "," P("a", 5,
                                                                     ", \"replaces\": [\"b\"]")};
    for (size_t i = 0; i < 2; i++) {
        struct world w;
        char text[1024];
        snprintf(text, sizeof(text), "\"policies\": [%s]", orders[i]);
        start(&w, text, NULL);
        struct limit_facts facts = facts_of("/");
        cr_expect_str_eq(bound_by(&w, &facts), "tier-free global a");
        stop(&w);
    }
}

// envoyproxy/ratelimit: `shadow_mode` counts and is reported OK.
Test(policy_file, a_shadow_policy_changes_nothing)
{
    struct world w;
    start(
        &w,
        "\"policies\": [" P("dim", 2, ", \"mode\": \"shadow\", \"replaces\": [\"tier-free\"]") "]",
        "TIER_FREE_MAX=5");
    struct limit_facts facts = facts_of("/");
    cr_expect_str_eq(bound_by(&w, &facts), "tier-free global dim", "it replaces no other");
    cr_expect_eq(admitted(&w, &facts, 9), 4U);
    stop(&w);
    // All in shadow: then it does, so that what is counted is what would be.
    start(
        &w,
        "\"policies\": [" P("dim", 2, ", \"mode\": \"shadow\", \"replaces\": [\"tier-free\"]") "]",
        "LIMITS_MODE=shadow");
    cr_expect_str_eq(bound_by(&w, &facts), "global dim");
    stop(&w);
}

// envoyproxy/ratelimit: several descriptors in a request, over the limit if any is; but unlike
// there a refused request is charged to none.
Test(policy_file, all_or_nothing)
{
    struct world w;
    start(&w,
          "\"policies\": [" P("wide", 5, "") "," P("narrow", 1,
                                                   ", \"match\": {\"paths\": [\"/n\"]}") "]",
          NULL);
    struct limit_facts narrow = facts_of("/n"), wide = facts_of("/w");
    cr_expect_eq(admitted(&w, &narrow, 4), 1U);
    cr_expect_eq(admitted(&w, &wide, 9), 4U, "the refused ones took nothing of it");
    stop(&w);
}

// envoyproxy/ratelimit: hits_addend.
Test(policy_file, costs_multiply)
{
    struct world w;
    start(&w, "\"policies\": [" P("dear", 12, ", \"cost\": 3") "]", NULL);
    struct limit_facts facts = facts_of("/");
    facts.cost = 2; // of the route
    cr_expect_eq(admitted(&w, &facts, 9), 2U);
    facts.cost = 0; // looks
    cr_expect_eq(admitted(&w, &facts, 9), 0U);
    stop(&w);
    start(&w, "\"policies\": [" P("dear", 12, ", \"cost\": 3") "]", NULL);
    cr_expect_eq(admitted(&w, &facts, 9), 9U);
    struct limit_verdict verdict;
    facts.cost = 1;
    limit_decide(w.view, &facts, &verdict);
    limit_refund_charge(w.view, &verdict, 2);
    cr_expect_eq(admitted(&w, &facts, 9), 4U, "given back alone");
    stop(&w);
}

Test(policy_file, keys)
{
    struct world w;
    start(&w,
          "\"policies\": [" P("by-team", 1,
                              ", \"key\": [\"header:X-Team\", \"client-address\"], "
                              "\"replaces\": [\"tier-free\"]") "]",
          NULL);
    static const char *const a[] = {"x-team", "a", NULL}, *const b[] = {"x-team", "b", NULL};
    struct limit_facts facts = facts_of("/");
    facts.header = header_of;
    facts.header_arg = a;
    cr_expect_eq(admitted(&w, &facts, 3), 1U);
    facts.header_arg = b;
    cr_expect_eq(admitted(&w, &facts, 3), 1U);
    facts.client.bytes[0] ^= 1;
    cr_expect_eq(admitted(&w, &facts, 3), 1U);
    facts.header = NULL;
    cr_expect_eq(admitted(&w, &facts, 3), 1U, "without the header: one key of its own");
    stop(&w);
    start(&w, "\"policies\": [" P("by-route", 1, ", \"key\": [\"route\"]") "]", NULL);
    facts.route = "one";
    cr_expect_eq(admitted(&w, &facts, 3), 1U);
    facts.client.bytes[0] ^= 1;
    cr_expect_eq(admitted(&w, &facts, 3), 0U);
    facts.route = "two";
    cr_expect_eq(admitted(&w, &facts, 3), 1U);
    stop(&w);
}

Test(policy_file, overrides)
{
    struct world w;
    start(&w,
          "\"policies\": [" P("own", 1,
                              ", \"replaces\": [\"tier-free\", \"global\"], "
                              "\"overrides\": [{\"subject\": \"alice\", \"limit\": 300},"
                              "{\"subject\": \"root\", \"unlimited\": true}, {\"subject\": "
                              "\"mallory\", \"limit\": 0},"
                              "{\"api_key\": \"alice\", \"limit\": 3}, {\"client_address\": "
                              "\"10.0.0.9\", \"limit\": 2}]") "]",
          NULL);
    const struct {
        const char *subject, *api_key, *address;
        unsigned admitted;
    } rows[] = {{"alice", "", "10.0.0.1", 300}, {"root", "", "10.0.0.1", 400},
                {"mallory", "", "10.0.0.1", 0}, {"bob", "", "10.0.0.1", 1},
                {"", "alice", "10.0.0.1", 3},   {"", "", "10.0.0.9", 2},
                {"", "", "10.0.0.8", 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct limit_facts facts = facts_of("/");
        cr_assert_eq(address_parse(rows[i].address, strlen(rows[i].address), &facts.client), 0);
        facts.subject = rows[i].subject;
        facts.subject_len = strlen(rows[i].subject);
        facts.api_key = rows[i].api_key;
        facts.api_key_len = strlen(rows[i].api_key);
        cr_expect_eq(admitted(&w, &facts, 400), rows[i].admitted, "row %zu", i);
    }
    stop(&w);
}

Test(policy_file, any_host_and_all_headers)
{
    static const char *const both[] = {"x-a", "1", "x-b", "", NULL};
    static const char *const one[] = {"x-a", "1", NULL}, *const other[] = {"x-b", "2", NULL};
    static const char *const wrong[] = {"x-a", "2", "x-b", "1", NULL};
    struct world w;
    start(&w,
          "\"policies\": [" P("both", 9,
                              ", \"match\": {\"hosts\": [\"A.example\", \"b.example\"], "
                              "\"headers\": [{\"name\": \"X-A\", \"value\": \"1\"}, "
                              "{\"name\": \"X-B\"}]}") "]",
          NULL);
    const struct {
        const char *host;
        const char *const *headers;
        bool binds;
    } rows[] = {{"a.example", both, true},  {"b.example", both, true}, {"c.example", both, false},
                {"", both, false},          {"a.example", one, false}, {"a.example", other, false},
                {"a.example", wrong, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct limit_facts facts = facts_of("/");
        facts.host = rows[i].host;
        facts.host_len = strlen(rows[i].host);
        facts.header = header_of;
        facts.header_arg = rows[i].headers;
        cr_expect_str_eq(bound_by(&w, &facts),
                         rows[i].binds ? "tier-free global both" : "tier-free global", "row %zu",
                         i);
    }
    stop(&w);
}

Test(policy_file, overrides_of_a_key_of_several_parts)
{
    static const char *const red[] = {"x-team", "red", NULL}, *const blue[] = {"x-team", "blue",
                                                                               NULL};
    struct world w;
    start(&w,
          "\"policies\": [" P("own", 1,
                              ", \"replaces\": [\"tier-free\", \"global\"], "
                              "\"key\": [\"caller\", \"route\", \"header:X-Team\"], "
                              "\"overrides\": [{\"subject\": \"alice\", \"route\": \"app\", "
                              "\"headers\": [{\"name\": \"X-Team\", \"value\": \"red\"}], "
                              "\"limit\": 3}]") "]",
          NULL);
    const struct {
        const char *subject, *route;
        const char *const *headers;
        unsigned admitted;
    } rows[] = {{"alice", "app", red, 3},
                {"alice", "app", blue, 1},
                {"alice", "b", red, 1},
                {"bob", "app", red, 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct limit_facts facts = facts_of("/");
        facts.subject = rows[i].subject;
        facts.subject_len = strlen(rows[i].subject);
        facts.route = rows[i].route;
        facts.header = header_of;
        facts.header_arg = rows[i].headers;
        cr_expect_eq(admitted(&w, &facts, 5), rows[i].admitted, "row %zu", i);
    }
    stop(&w);
}

Test(policy_file, tiers_of_the_file)
{
    struct world w;
    start(&w,
          "\"tiers\": [{\"name\": \"gold\", \"limit\": 7}, {\"name\": \"trial\", \"limit\": 3, "
          "\"window_ms\": 1000, \"global\": true}]",
          NULL);
    struct limit_facts facts = facts_of("/");
    facts.tier_verified = true;
    facts.tier = 3;
    cr_expect_str_eq(bound_by(&w, &facts), "tier-gold");
    facts.tier = 4;
    cr_expect_str_eq(bound_by(&w, &facts), "tier-trial global");
    stop(&w);
}

// A new limit goes on with the counts, if the cells can count that far.
Test(policy_file, a_new_limit_keeps_the_counts)
{
    static const struct {
        const char *before, *after;
        unsigned first, then; // admitted before and after the change
    } rows[] = {
        {P("p", 100, ""), P("p", 120, ""), 100, 20},
        {P("p", 100, ""), P("p", 5, ""), 100, 0},   // an exact ring would begin anew
        {P("p", 300, ""), P("p", 200, ""), 300, 0}, // so would narrower counts
        {P("p", 0, ", \"limit_max\": 99"), P("p", 50, ""), 0, 50},
        {P("p", 100, ", \"limit_max\": 1000"), P("p", 300, ", \"limit_max\": 1000"), 100, 200},
        {P("p", 100, ""), P("p", 120, ", \"mode\": \"shadow\""), 100, 400},
        {P("p", 100, ""), P("p", 300, ""), 100, 300},                         // beyond: anew
        {P("p", 100, ""), P("p", 120, ", \"key\": [\"subject\"]"), 100, 120}, // another key
        {P("p", 100, ", \"key\": [\"header:a\"]"), P("p", 100, ", \"key\": [\"header:b\"]"), 100,
         100},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world w;
        char text[512];
        struct limit_facts facts = facts_of("/");
        const char *unbound = ", {\"name\": \"u\", \"unlimited\": true, \"replaces\": "
                              "[\"tier-free\", \"global\"]}";
        snprintf(text, sizeof(text), "\"policies\": [%s%s]", rows[i].before, unbound);
        start(&w, text, NULL);
        cr_expect_eq(admitted(&w, &facts, 400), rows[i].first, "row %zu", i);
        snprintf(text, sizeof(text), "\"policies\": [%s%s]", rows[i].after, unbound);
        cr_assert_eq(compile(text, NULL), 0);
        cr_assert_eq(limit_publish(w.view, &set, LIMIT_PUBLISH_REPLACE), 0);
        cr_expect_eq(admitted(&w, &facts, 400), rows[i].then, "row %zu", i);
        stop(&w);
    }
}

static const char algorithms[] =
    "\"policies\": [{\"name\": \"u\", \"unlimited\": true, \"replaces\": [\"tier-free\", "
    "\"global\"]},"
    "{\"name\": \"slide\", \"window_ms\": 60000, \"limit\": 9, \"match\": {\"paths\": [\"/s\"]}},"
    "{\"name\": \"fix\", \"window_ms\": 60000, \"limit\": 8, \"match\": {\"paths\": [\"/f\"]},"
    " \"algorithm\": \"fixed_window\"},"
    "{\"name\": \"even\", \"window_ms\": 60000, \"limit\": 60, \"match\": {\"paths\": [\"/g\"]},"
    " \"algorithm\": \"gcra\", \"burst\": 7},"
    "{\"name\": \"whole\", \"window_ms\": 60000, \"limit\": 6, \"match\": {\"paths\": [\"/w\"]},"
    " \"algorithm\": \"gcra\"},"
    "{\"name\": \"shut\", \"window_ms\": 60000, \"limit\": 0, \"match\": {\"paths\": [\"/0\"]},"
    " \"algorithm\": \"gcra\"},"
    "{\"name\": \"slots\", \"limit\": 5, \"match\": {\"paths\": [\"/c\"]},"
    " \"algorithm\": \"concurrency\"}]";

Test(policy_file, every_algorithm)
{
    struct world w;
    start(&w, algorithms, NULL);
    static const struct {
        const char *path;
        unsigned admitted;
    } rows[] = {{"/s", 9}, {"/f", 8}, {"/g", 7}, {"/w", 6}, {"/0", 0}, {"/c", 5}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct limit_facts facts = facts_of(rows[i].path);
        cr_expect_eq(admitted(&w, &facts, 20), rows[i].admitted, "%s", rows[i].path);
    }
    w.table.now_ns += NS_PER_S;
    struct limit_facts facts = facts_of("/g");
    cr_expect_eq(admitted(&w, &facts, 20), 1U, "one a second");
    stop(&w);
}

Test(policy_file, a_distributed_policy_needs_redis)
{
    cr_assert_eq(compile("\"policies\": [{\"name\": \"p\", \"limit\": 1, \"window_ms\": 1000, "
                         "\"scope\": \"distributed\"}]",
                         NULL),
                 -EINVAL);
    cr_expect_not_null(strstr(problems.items[0], "c.json:1:26: limits.policies: 'p': scope "
                                                 "distributed needs Redis"),
                       "%s", problems.items[0]);
}

Test(policy_file, too_many_are_refused)
{
    static char text[4096];
    strcpy(text, "\"policies\": [");
    for (int i = 0; i < 60; i++) {
        char one[128];
        snprintf(one, sizeof(one),
                 "%s{\"name\": \"p%d\", \"unlimited\": true, \"replaces\": "
                 "[\"auth\"]}",
                 i ? "," : "", i);
        strcat(text, one);
    }
    strcat(text, "]");
    cr_assert_eq(compile(text, NULL), -EINVAL);
    cr_expect_eq(problems.n, 1U);
    cr_expect_not_null(strstr(problems.items[0], "'p59' is one too many: at most 64 policies"),
                       "%s", problems.items[0]);
}

static void refused(const char *limits, const char *assignment, const char *problem)
{
    cr_assert_eq(compile(limits, assignment), -EINVAL, "%s", limits);
    cr_assert_eq(problems.n, 1U);
    cr_expect_not_null(strstr(problems.items[0], problem), "%s\n  told: %s", limits,
                       problems.items[0]);
}

Test(policy_file, what_is_replaced_is_there)
{
    const char *region = "\"policies\": [" P("own", 1, ", \"replaces\": [\"region-asia\"]") "]";
    const char *global = "\"policies\": [" P("own", 1, ", \"replaces\": [\"global\"]") "]";
    refused(region, NULL,
            "'own': replaces 'region-asia', which is not there with REGIONAL_RATE_LIMITING=false; "
            "allowed is global");
    refused(
        global, "REGIONAL_RATE_LIMITING=true",
        "'own': replaces 'global', which is not there with REGIONAL_RATE_LIMITING=true; allowed "
        "is region-NAME");
    cr_expect_eq(compile(region, "REGIONAL_RATE_LIMITING=true"), 0);
    cr_expect_eq(compile(global, NULL), 0);
}

Test(policy_file, a_burst_that_takes_too_long_is_named_with_its_bound)
{
    refused(
        "\"policies\": [{\"name\": \"slow\", \"algorithm\": \"gcra\", \"limit\": 1, "
        "\"window_ms\": 86400000, \"burst\": 30000}]",
        NULL,
        "'slow': burst: '30000' would take more than 73 years to drain at this limit, allowed 1 "
        "to 26687");
    cr_expect_eq(compile("\"policies\": [{\"name\": \"slow\", \"algorithm\": \"gcra\", \"limit\": "
                         "1, \"window_ms\": 86400000, \"burst\": 26687}]",
                         NULL),
                 0);
}

#define OVERRIDES(a, b)                                                                            \
    "\"policies\": [" P("own", 1,                                                                  \
                        ", \"key\": [\"client-address\"], \"overrides\": ["                        \
                        "{\"client_address\": \"192.0.2.1\", \"limit\": 2}, "                      \
                        "{\"client_address\": \"" a "\", \"limit\": 3}, "                          \
                        "{\"client_address\": \"" b "\", \"limit\": 4}]") "]"

Test(policy_file, a_subnet_has_one_override)
{
    refused(OVERRIDES("2001:db8:0:1::1", "2001:db8:0:2::1"), NULL,
            "overrides[2]: '2001:db8:0:2::1' lies in the /56 of overrides[1], and IPv6 clients are "
            "counted by that (IPV6_SUBNET)");
    cr_expect_eq(compile(OVERRIDES("2001:db8:0:1::1", "2001:db8:0:2::1"), "IPV6_SUBNET=64"), 0);
    cr_expect_eq(compile(OVERRIDES("192.0.2.2", "192.0.2.3"), NULL), 0);
    cr_expect_eq(compile(OVERRIDES("64:ff9b::c000:202", "64:ff9b::c000:203"), NULL), 0,
                 "behind NAT64 each is one of its own");
}
