// The `limits` section: what a user may write, and what he is told otherwise.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/problems.h"
#include "config/model.h"

static struct problems problems;
static struct config_model *model;

static void cleanup(void)
{
    problems_fini(&problems);
    memset(&problems, 0, sizeof(problems));
    config_model_destroy(&model);
}
TestSuite(model_limits, .fini = cleanup);

static int parse(const char *text)
{
    cleanup();
    return config_model_parse("c.json", text, strlen(text), &problems, &model);
}

static const char full[] =
    "{\"limits\": {\n"
    " \"tiers\": [{\"name\": \"startup\", \"limit\": 300},\n"
    "  {\"name\": \"trial\", \"limit\": 10, \"window_ms\": 60000, \"global\": true}],\n"
    " \"regions\": [{\"region\": \"asia\", \"networks\": [\"10.1.0.0/16\", \"2001:db8::/32\"]}],\n"
    " \"policies\": [\n"
    "  {\"name\": \"search\", \"limit\": 100, \"window_ms\": 1000},\n"
    "  {\"name\": \"all\", \"match\": {\"paths\": [\"/api/\", \"/\"], \"methods\": [\"GET\"],\n"
    "    \"tiers\": [\"free\", \"trial\"], \"regions\": [\"asia\"], \"callers\": \"anonymous\",\n"
    "    \"hosts\": [\"API.Example.com\", \"b\"],\n"
    "    \"headers\": [{\"name\": \"X-Beta\", \"value\": \"on\"}, {\"name\": \"X-B\"}]},\n"
    "   \"key\": [\"client-address\", \"route\", \"header:X-Team\"],\n"
    "   \"limit\": 100, \"limit_max\": 2000, \"window_ms\": 86400000, \"cost\": 2,\n"
    "   \"cost_header\": \"X-Cost\", \"keep_cost_header\": true, \"count\": \"failed\",\n"
    "   \"mode\": \"shadow\", \"replaces\": [\"global\", \"tier-startup\", \"search\"]},\n"
    "  {\"name\": \"spread\", \"algorithm\": \"gcra\", \"limit\": 1000000, \"burst\": 50,\n"
    "   \"window_ms\": 60000, \"overrides\": [{\"subject\": \"alice\", \"limit\": 7},\n"
    "    {\"api_key\": \"k\", \"unlimited\": true}, {\"client_address\": \"::1\", \"limit\": "
    "0}]},\n"
    "  {\"name\": \"year\", \"limit\": 16777215,\n"
    "   \"window_ms\": 31622400000, \"scope\": \"distributed\", \"on_store_failure\": "
    "\"closed\"},\n"
    "  {\"name\": \"slots\", \"algorithm\": \"concurrency\", \"limit\": 5},\n"
    "  {\"name\": \"ban\", \"limit\": 0, \"window_ms\": 1000},\n"
    "  {\"name\": \"ours\", \"unlimited\": true, \"match\": {\"paths\": [\"/internal\"]},\n"
    "   \"replaces\": [\"auth\", \"region-asia\"]}]}}";

Test(model_limits, everything)
{
    cr_assert_eq(parse(full), 0, "%s", problems.n ? problems.items[0] : "");
    const struct config_limits *limits = &model->limits;
    cr_assert_eq(limits->n_tiers, 2U);
    cr_expect_str_eq(limits->tiers[0].name, "startup");
    cr_expect_eq(limits->tiers[0].window_ms, CONFIG_UNSET);
    cr_expect_not(limits->tiers[0].global);
    cr_expect_eq(limits->tiers[1].window_ms, 60000);
    cr_expect(limits->tiers[1].global);
    cr_assert_eq(limits->n_regions, 1U);
    cr_expect_eq(limits->regions[0].region, 3U);
    cr_expect_str_eq(limits->regions[0].networks[1], "2001:db8::/32");
    cr_assert_eq(limits->n_policies, 7U);
    const struct config_policy *search = &limits->policies[0], *all = &limits->policies[1],
                               *spread = &limits->policies[2], *year = &limits->policies[3];
    cr_expect_str_eq(search->place, "c.json:6:3");
    cr_expect_null(search->key);
    cr_expect_eq(search->algorithm, (uint32_t)POLICY_SLIDING_WINDOW);
    cr_expect_eq(search->mode, (uint32_t)POLICY_ENFORCE);
    cr_expect_eq(search->cost, 1U);
    cr_expect_eq(search->limit_max, CONFIG_UNSET);
    cr_expect_eq(search->match.methods, 0U);
    cr_expect_str_eq(all->match.paths[0], "/api");
    cr_expect_str_eq(all->match.paths[1], "/");
    cr_expect_eq(all->match.methods, (unsigned)HTTP_GET);
    cr_expect_str_eq(all->match.tiers[1], "trial");
    cr_expect_eq(all->match.regions, 8U);
    cr_expect_eq(all->match.callers, (uint32_t)POLICY_CALLERS_ANONYMOUS);
    cr_expect_str_eq(all->match.hosts[0], "api.example.com");
    cr_assert_eq(all->match.n_headers, 2U);
    cr_expect_str_eq(all->match.headers[0].name, "x-beta");
    cr_expect_str_eq(all->match.headers[0].value, "on");
    cr_expect_null(all->match.headers[1].value);
    cr_expect_str_eq(all->key[2], "header:x-team");
    cr_expect_str_eq(all->cost_header, "x-cost");
    cr_expect(all->keep_cost_header);
    cr_expect_eq(all->count, (uint32_t)POLICY_COUNT_FAILED);
    cr_expect_eq(all->mode, (uint32_t)POLICY_SHADOW);
    cr_expect_eq(spread->burst, 50U);
    cr_assert_eq(spread->n_overrides, 3U);
    cr_expect_str_eq(spread->overrides[0].subject, "alice");
    cr_expect(spread->overrides[1].unlimited);
    cr_expect_eq(year->scope, (uint32_t)POLICY_DISTRIBUTED);
    cr_expect_eq(year->on_store_failure, (uint32_t)POLICY_FAIL_CLOSED);
    cr_expect_eq(limits->policies[4].window_ms, CONFIG_UNSET);
    cr_expect(limits->policies[6].unlimited);
}

Test(model_limits, a_file_without_them_has_none)
{
    cr_assert_eq(parse("{}"), 0);
    cr_expect_eq(model->limits.n_policies, 0U);
}

// `policies`: what stands in limits.policies; `problem`: the only one, in this text.
static void refused(const char *policies, const char *problem)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "{\"limits\": {\"tiers\": [{\"name\": \"gold\", \"limit\": 5}], \"policies\": [%s]}}",
             policies);
    cr_expect_eq(parse(text), -EINVAL, "%s", policies);
    cr_assert_eq(problems.n, 1, "%zu problems in %s, first: %s", problems.n, policies,
                 problems.n ? problems.items[0] : "");
    cr_expect_not_null(strstr(problems.items[0], problem), "%s\n  told: %s", policies,
                       problems.items[0]);
    cr_expect_eq(strncmp(problems.items[0], "c.json:1:", 9), 0, "%s", problems.items[0]);
}

#define POLICY(more) "{\"name\": \"p\", \"limit\": 5, \"window_ms\": 1000" more "}"

Test(model_limits, each_mistake_is_told_with_what_is_allowed)
{
    static const struct {
        const char *policies, *problem;
    } rows[] = {
        {"{\"limit\": 1, \"window_ms\": 1000}", "policies[0]: the field 'name' is missing"},
        {POLICY("") "," POLICY(""), "policies[1].name: 'p' is already the name of another policy"},
        {POLICY("") ", {\"name\": \"global\", \"limit\": 1, \"window_ms\": 1000}",
         "policies[1].name: 'global' is a built-in policy; change it by its parameters"},
        {"{\"name\": \"tier-gold\", \"limit\": 1, \"window_ms\": 1000}", "is a built-in policy"},
        {"{\"name\": \"p\", \"window_ms\": 1000}", "needs either 'limit' or 'unlimited'"},
        {"{\"name\": \"p\", \"limit\": 1}", "the field 'window_ms' is missing"},
        {"{\"name\": \"p\", \"limit\": 1, \"window_ms\": 999}",
         "window_ms: '999' is out of range, allowed 1000 to 31622400000 ms"},
        {"{\"name\": \"p\", \"limit\": 1, \"window_ms\": 86400001}",
         "'86400001' is out of range, allowed 1000 to 86400000 ms with scope local"},
        {"{\"name\": \"p\", \"limit\": 16777216, \"window_ms\": 1000}",
         "limit: '16777216' is above what a sliding_window counts, allowed 0 to 16777215; gcra"},
        {"{\"name\": \"p\", \"limit\": 16777216, \"window_ms\": 1000, \"algorithm\": "
         "\"fixed_window\"}",
         "above what a fixed_window counts, allowed 0 to 16777215"},
        {"{\"name\": \"p\", \"limit\": 10000001, \"window_ms\": 1000, \"algorithm\": \"gcra\"}",
         "above what a gcra counts in this window, allowed 0 to 10000000"},
        {"{\"name\": \"p\", \"limit\": 65536, \"algorithm\": \"concurrency\"}",
         "above what a concurrency counts, allowed 0 to 65535"},
        {POLICY(", \"algorithm\": \"gcra\", \"burst\": 2, \"cost\": 3"),
         "limit: '2' is below the cost of one request (3)"},
        {POLICY(", \"unlimitted\": true"), "did you mean unlimited?"},
        {"{\"name\": \"p\", \"unlimited\": true, \"limit\": 5, \"replaces\": [\"auth\"]}",
         "policies[0].limit: does not go with 'unlimited'"},
        {"{\"name\": \"p\", \"unlimited\": true, \"mode\": \"shadow\", \"replaces\": [\"auth\"]}",
         "mode"},
        {"{\"name\": \"p\", \"unlimited\": true}", "replaces nothing, so it does nothing"},
        {POLICY(", \"replaces\": [\"p\"]"), "replaces[0]: 'p' is the policy itself"},
        {POLICY(", \"replaces\": [\"auth\", \"tier-silver\"]"),
         "replaces[1]: there is no policy 'tier-silver'; allowed are those of limits.policies and "
         "auth, tier-NAME, global, region-NAME"},
        {POLICY(", \"replaces\": [\"\"]"), "replaces[0]: '' is not of the form"},
        {POLICY(", \"burst\": 3"), "only the algorithm gcra has a burst, this is sliding_window"},
        {POLICY(", \"algorithm\": \"fixed_window\", \"scope\": \"distributed\""),
         "scope: only the algorithm sliding_window is distributed, this is fixed_window"},
        {POLICY(", \"algorithm\": \"token\""),
         "'token' is none of the choices, allowed sliding_window, fixed_window, gcra, concurrency"},
        {POLICY(", \"algorithm\": \"gcra\", \"limit_max\": 9"),
         "only the algorithm sliding_window"},
        {POLICY(", \"algorithm\": \"concurrency\""),
         "policies[0].window_ms: the algorithm concurrency counts requests in flight"},
        {POLICY(", \"limit_max\": 4"), "limit_max: '4' is below the limit itself (5)"},
        {POLICY(", \"cost\": 6"), "limit: '5' is below the cost of one request (6)"},
        {POLICY(", \"cost\": 0"), "cost: '0' is out of range, allowed 1 to 65535"},
        {POLICY(", \"cost_header\": \"a b\""), "'a b' is not of the form"},
        {POLICY(", \"keep_cost_header\": true"), "there is no 'cost_header' to keep"},
        {POLICY(", \"on_store_failure\": \"open\""), "only a policy of scope distributed"},
        {POLICY(", \"key\": []"), "key: is empty, at least one is needed"},
        {POLICY(", \"key\": [\"ip\"]"), "'ip' is not of the form, allowed client-address, subject, "
                                        "api-key, route, caller, header:NAME"},
        {POLICY(", \"key\": [\"route\", \"route\"]"), "key[1]: 'route' stands here twice"},
        {POLICY(", \"key\": [\"caller\", \"subject\"]"), "has 'caller' beside what it stands for"},
        {POLICY(", \"key\": [\"header:a\", \"header:b\", \"header:c\"]"), "allowed are 2"},
        {POLICY(", \"match\": {\"tiers\": [\"silver\"]}"),
         "match.tiers[0]: there is no tier 'silver'; allowed are free, premium, enterprise and"},
        {POLICY(", \"match\": {\"paths\": [\"api\"]}"), "match.paths[0]: 'api' is not of the form"},
        {POLICY(", \"match\": {\"regions\": [\"mars\"]}"),
         "'mars' is none of the choices, allowed us-east, us-west, europe, asia"},
        {POLICY(", \"match\": {\"headers\": [{\"value\": \"x\"}]}"),
         "headers[0]: the field 'name' is missing"},
        {POLICY(", \"match\": {\"headers\": [{\"name\": \"X-A\"}, {\"name\": \"x-a\"}]}"),
         "match.headers[1]: 'x-a' stands here twice"},
        {POLICY(", \"match\": {\"headers\": [{\"name\": \"a\"}, {\"name\": \"b\"}, {\"name\": "
                "\"c\"}, {\"name\": \"d\"}, {\"name\": \"e\"}]}"),
         "match.headers: has 5 items, allowed 0 to 4"},
        {POLICY(", \"match\": {\"hosts\": [\"a:80\"]}"),
         "match.hosts[0]: 'a:80' is not of the form"},
        {POLICY(", \"overrides\": [{\"limit\": 1}]"), "overrides[0]: needs its key"},
        {POLICY(", \"overrides\": [{\"subject\": \"a\", \"api_key\": \"b\", \"limit\": 1}]"),
         "needs its key: one of"},
        {POLICY(", \"overrides\": [{\"subject\": \"a\"}]"), "needs either 'limit' or 'unlimited'"},
        {POLICY(", \"overrides\": [{\"subject\": \"a\", \"limit\": 16777216}]"),
         "overrides[0].limit: '16777216' is above"},
        {POLICY(", \"overrides\": [{\"client_address\": \"10.0.0.1:80\", \"limit\": 1}]"),
         "'10.0.0.1:80' is not of the form, allowed an address"},
        {POLICY(", \"overrides\": [{\"subject\": \"a\", \"limit\": 6}, {\"subject\": \"a\", "
                "\"limit\": 7}]"),
         "overrides[1]: has the key of overrides[0], too"},
        {POLICY(", \"key\": [\"api-key\"], \"overrides\": [{\"subject\": \"a\", \"limit\": 6}]"),
         "there is no 'api-key'"},
        {POLICY(", \"key\": [\"subject\", \"route\"], \"overrides\": [{\"subject\": \"a\", "
                "\"limit\": 6}]"),
         "overrides[0]: needs all of the policy's key, there is no 'route'"},
        {POLICY(", \"overrides\": [{\"subject\": \"a\", \"route\": \"r\", \"limit\": 6}]"),
         "overrides[0]: the policy's key has no 'route'"},
        {POLICY(", \"overrides\": [{\"subject\": \"a\", \"limit\": 6, \"headers\": [{\"name\": "
                "\"X-A\", \"value\": \"1\"}]}]"),
         "overrides[0]: the policy's key has no 'header:x-a'"},
        {POLICY(", \"key\": [\"header:X-A\"], \"overrides\": [{\"limit\": 6, \"headers\": "
                "[{\"name\": \"x-a\"}]}]"),
         "overrides[0]: needs the value of 'x-a'"},
        {POLICY(", \"key\": [\"route\"], \"overrides\": [{\"route\": \"reprots\", \"limit\": 6}]"),
         "overrides[0].route: there is no route 'reprots'; allowed are app, database, blockchain, "
         "email"},
        {"{\"name\": \"deny\", \"limit\": 5, \"window_ms\": 1000}",
         "name: 'deny' stands in answers for the networks"},
        {"{\"name\": \"allow\", \"limit\": 5, \"window_ms\": 1000}",
         "name: 'allow' stands in answers for the networks"},
        {POLICY(", \"cost_header\": \"Content-Length\""),
         "cost_header: 'content-length' says how the answer is to be read"},
        {POLICY(", \"cost_header\": \"TE\""), "cost_header: 'te' says how the answer"},
        {POLICY(", \"cost_header\": \"transfer-encoding\", \"keep_cost_header\": true"),
         "allowed is a field of your own, such as X-Cost"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        refused(rows[i].policies, rows[i].problem);
}

Test(model_limits, all_mistakes_are_told_at_once)
{
    cr_assert_eq(
        parse("{\"limits\": {\n"
              " \"tiers\": [{\"name\": \"free\", \"limit\": 5}],\n"
              " \"policies\": [\n"
              "  {\"name\": \"a\", \"limit\": 1, \"window_ms\": 5, \"replaces\": [\"b\"]},\n"
              "  {\"name\": \"b\", \"limit\": 70000000, \"window_ms\": 1000,\n"
              "   \"replaces\": [\"a\"]}]}}"),
        -EINVAL);
    static const char *const told[] = {
        "c.json:2:21: limits.tiers[0].name: 'free' is built in; its limit is the parameter TIER_",
        "c.json:4:42: limits.policies[0].window_ms: '5' is out of range",
        "c.json:5:26: limits.policies[1].limit: '70000000' is above",
        "c.json:4:58: limits.policies[0].replaces[0]: 'b' replaces this policy in turn",
        "c.json:6:17: limits.policies[1].replaces[0]: 'a' replaces this policy in turn"};
    cr_assert_eq(problems.n, 5U, "%zu", problems.n);
    for (size_t i = 0; i < 5; i++)
        cr_expect_eq(strncmp(problems.items[i], told[i], strlen(told[i])), 0, "%s",
                     problems.items[i]);
}

Test(model_limits, a_network_lies_in_one_region)
{
    cr_expect_eq(
        parse("{\"limits\": {\"regions\": [\n"
              "{\"region\": \"asia\", \"networks\": [\"10.1.0.0/16\", \"10.0.0.0/8\"]},\n"
              "{\"region\": \"asia\", \"networks\": [\"10.1.0.0/16\", \"2001:db8::/32\"]},\n"
              "{\"region\": \"europe\", \"networks\": [\"10.1.0.0/24\"]}]}}"),
        0, "%s", problems.n ? problems.items[0] : "");
    cr_expect_eq(
        parse("{\"limits\": {\"regions\": [\n"
              "{\"region\": \"asia\", \"networks\": [\"10.0.0.0/8\", \"10.1.0.0/16\"]},\n"
              "{\"region\": \"europe\", \"networks\": [\"2001:db8::/32\", \"10.1.2.3/16\"]},\n"
              "{\"region\": \"us-west\", \"networks\": [\"2001:db8:0::1/32\"]}]}}"),
        -EINVAL);
    cr_assert_eq(problems.n, 2U);
    cr_expect_str_eq(
        problems.items[0],
        "c.json:3:52: limits.regions[1].networks[1]: '10.1.2.3/16' stands in "
        "regions[0].networks[1], too, as another region; allowed is one region a network");
    cr_expect_not_null(strstr(problems.items[1],
                              "regions[2].networks[0]: '2001:db8:0::1/32' stands in "
                              "regions[1].networks[0]"),
                       "%s", problems.items[1]);
}

Test(model_limits, tiers_are_eight_at_most)
{
    cr_assert_eq(parse("{\"limits\": {\"tiers\": [{\"name\": \"a\", \"limit\": 1},"
                       "{\"name\": \"b\", \"limit\": 1}, {\"name\": \"c\", \"limit\": 1},"
                       "{\"name\": \"d\", \"limit\": 1}, {\"name\": \"e\", \"limit\": 1},"
                       "{\"name\": \"f\", \"limit\": 1}]}}"),
                 -EINVAL);
    cr_assert_eq(problems.n, 1U);
    cr_expect_not_null(strstr(problems.items[0], "tiers[5]: is one tier too many"), "%s",
                       problems.items[0]);
}

static int parse_override_of(const char *route)
{
    char config[512];
    snprintf(config, sizeof(config),
             "{\"limits\": {\"policies\": [{\"name\": \"p\", \"key\": [\"route\"], \"limit\": 5, "
             "\"window_ms\": 1000, \"overrides\": [{\"route\": \"%s\", \"limit\": 6}]}]}, "
             "\"upstreams\": [{\"name\": \"a\", \"url\": \"http://a\"}], \"routes\": ["
             "{\"path\": \"/x\", \"upstream\": \"a\"}, "
             "{\"name\": \"y\", \"path\": \"/y\", \"upstream\": \"a\"}]}",
             route);
    return parse(config);
}

Test(model_limits, an_override_names_a_route_of_the_file_or_of_a_variable)
{
    static const char *const good[] = {"/x", "y", "app", "database", "blockchain", "email"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect_eq(parse_override_of(good[i]), 0, "%s: %s", good[i],
                     problems.n ? problems.items[0] : "");
    cr_assert_eq(parse_override_of("/y"), -EINVAL, "its name is y");
    cr_expect_not_null(
        strstr(problems.items[0], "there is no route '/y'; allowed are /x, y, app, "), "%s",
        problems.items[0]);
}

Test(model_limits, a_route_has_a_cost)
{
    cr_assert_eq(parse("{\"upstreams\": [{\"name\": \"a\", \"url\": \"http://a\"}], \"routes\": ["
                       "{\"path\": \"/\", \"upstream\": \"a\"},"
                       "{\"path\": \"/x\", \"upstream\": \"a\", \"cost\": 7}]}"),
                 0);
    cr_expect_eq(model->routes[0].cost, 1U);
    cr_expect_eq(model->routes[1].cost, 7U);
}
