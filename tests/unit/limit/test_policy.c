// The built-in policies from the parameters.
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "limit/limit.h"
#include "limit/match.h"
#include "limit/policy.h"

static void load(struct limits_params *params, const char *const *assignments, size_t n)
{
    struct problems problems = PROBLEMS_INIT;
    struct param_sources sources = {.assignments = assignments, .n_assignments = n};
    int r = param_group_load(&limits_param_group, &sources, params, &problems);
    cr_assert_eq(r, 0, "%s", problems.n ? problems.items[0] : "");
    problems_fini(&problems);
}

#define COMPILE(environment, set, ...)                                                             \
    do {                                                                                           \
        const char *assignments_[] = {__VA_ARGS__};                                                \
        struct limits_params params_;                                                              \
        struct problems problems_ = PROBLEMS_INIT;                                                 \
        load(&params_, assignments_, sizeof(assignments_) / sizeof(assignments_[0]));              \
        cr_assert_eq(limit_compile(&params_, NULL, environment, &problems_, set), 0);              \
        cr_assert_eq(problems_.n, 0);                                                              \
        param_group_fini(&limits_param_group, &params_);                                           \
    } while (0)

static const struct limit_policy *named(const struct limit_policy_set *set, const char *name)
{
    for (uint32_t i = 0; i < set->n; i++) {
        if (strcmp(set->policies[i].name, name) == 0) {
            return &set->policies[i];
        }
    }
    cr_assert_fail("no policy %s", name);
    return NULL;
}

static struct limit_policy_set set, other;

Test(policy, defaults_are_those_of_the_specification)
{
    COMPILE(ENVIRONMENT_PRODUCTION, &set, "LIMITS_MODE=enforce");
    static const struct {
        const char *name;
        uint64_t limit;
        uint32_t algorithm, tiers, key_parts, skip_verified;
    } rows[] = {{"auth", 3, LIMIT_RING, 0, LIMIT_KEY_CLIENT, 0},
                {"tier-free", 100, LIMIT_SLIDING_WINDOW, 1, LIMIT_KEY_CALLER, 0},
                {"tier-premium", 1000, LIMIT_SLIDING_WINDOW, 2, LIMIT_KEY_CALLER, 0},
                {"tier-enterprise", 10000, LIMIT_SLIDING_WINDOW, 4, LIMIT_KEY_CALLER, 0},
                {"global", 1000, LIMIT_SLIDING_WINDOW, 0, LIMIT_KEY_CLIENT, 6}};
    cr_assert_eq(set.n, 5);
    for (size_t i = 0; i < 5; i++) {
        const struct limit_policy *policy = named(&set, rows[i].name);
        cr_assert_eq(policy->limit, rows[i].limit);
        cr_assert_eq(policy->algorithm, rows[i].algorithm);
        cr_assert_eq(policy->tiers, rows[i].tiers);
        cr_assert_eq(policy->key_parts, rows[i].key_parts);
        cr_assert_eq(policy->skip_verified_tiers, rows[i].skip_verified);
        cr_assert_eq(policy->window_ns, 900 * NS_PER_S);
        cr_assert_eq(policy->mode, (uint32_t)LIMIT_ENFORCE);
        cr_assert(policy_is_sound(policy));
        cr_assert_eq(policy->endpoint_type,
                     (uint32_t)(i == 0 ? LIMIT_ENDPOINT_AUTH : LIMIT_ENDPOINT_API));
    }
    cr_assert_eq(named(&set, "auth")->n_paths, 3U);
    cr_assert_str_eq(named(&set, "auth")->paths[0], "/api/auth");
}

Test(policy, attempts_at_login_follow_the_environment_unless_set)
{
    COMPILE(ENVIRONMENT_DEVELOPMENT, &set, "LIMITS_MODE=enforce");
    cr_assert_eq(named(&set, "auth")->limit, 20);
    COMPILE(ENVIRONMENT_TEST, &set, "LIMITS_MODE=enforce");
    cr_assert_eq(named(&set, "auth")->limit, 20);
    COMPILE(ENVIRONMENT_DEVELOPMENT, &set, "AUTH_RATE_MAX=5", "AUTH_RATE_WINDOW=60000");
    cr_assert_eq(named(&set, "auth")->limit, 5);
    cr_assert_eq(named(&set, "auth")->window_ns, 60 * NS_PER_S);
}

Test(policy, regions_take_the_place_of_global)
{
    COMPILE(ENVIRONMENT_PRODUCTION, &set, "REGIONAL_RATE_LIMITING=true", "GLOBAL_RATE_MAX=7");
    static const struct {
        const char *name;
        uint64_t limit;
    } rows[] = {{"region-us-east", 2000},
                {"region-us-west", 2000},
                {"region-europe", 1500},
                {"region-asia", 1000}};
    cr_assert_eq(set.n, 8U);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(named(&set, rows[i].name)->limit, rows[i].limit);
        cr_assert_eq(named(&set, rows[i].name)->regions, 1U << i);
    }
}

Test(policy, switches)
{
    COMPILE(ENVIRONMENT_PRODUCTION, &set, "ADVANCED_RATE_LIMITING=false");
    cr_assert_eq(set.n, 0);
    COMPILE(ENVIRONMENT_PRODUCTION, &set, "LIMITS_MODE=shadow");
    for (uint32_t i = 0; i < set.n; i++) {
        cr_assert_eq(set.policies[i].mode, (uint32_t)LIMIT_SHADOW);
    }
}

Test(policy, identity_outlives_a_new_limit_and_not_a_new_window)
{
    COMPILE(ENVIRONMENT_PRODUCTION, &set, "TIER_FREE_MAX=100");
    COMPILE(ENVIRONMENT_PRODUCTION, &other, "TIER_FREE_MAX=200", "LIMITS_MODE=shadow");
    cr_assert_eq(named(&set, "tier-free")->identity, named(&other, "tier-free")->identity);
    COMPILE(ENVIRONMENT_PRODUCTION, &other, "TIER_RATE_WINDOW=1000");
    cr_assert_neq(named(&set, "tier-free")->identity, named(&other, "tier-free")->identity);
    COMPILE(ENVIRONMENT_PRODUCTION, &other, "TIER_FREE_MAX=300"); // wider counts
    cr_assert_neq(named(&set, "tier-free")->identity, named(&other, "tier-free")->identity);
}

static void refused(const char *assignment, const char *expected)
{
    struct limits_params params;
    struct problems problems = PROBLEMS_INIT;
    load(&params, &assignment, 1);
    memset(&set, 0xee, sizeof(set));
    cr_assert_eq(limit_compile(&params, NULL, ENVIRONMENT_PRODUCTION, &problems, &set), -EINVAL);
    cr_assert_eq(set.n, 0xeeeeeeeeU, "the output is left alone");
    cr_assert_geq(problems.n, 1);
    cr_assert_not_null(strstr(problems.items[0], expected), "%s", problems.items[0]);
    problems_fini(&problems);
    param_group_fini(&limits_param_group, &params);
}

Test(policy, bad_paths_are_refused_with_what_is_allowed)
{
    char text[300];
    memset(text, 'a', sizeof(text));
    memcpy(text, "AUTH_PATHS=/", 12);
    text[12 + 127] = 0; // 128 bytes of path
    refused(text, "at most 127 bytes");
    refused("AUTH_PATHS=login", "must begin with /");
    refused("AUTH_PATHS=/1,/2,/3,/4,/5,/6,/7,/8,/9", "at most 8");
    refused("AUTH_PATHS=,", "names no path");
}

Test(policy, limits_beyond_the_count_name_gcra)
{
    struct limits_params params;
    struct problems problems = PROBLEMS_INIT;
    load(&params, NULL, 0);
    params.tier_enterprise_max = 16777216;
    params.global_max = 20000000;
    cr_assert_eq(limit_compile(&params, NULL, ENVIRONMENT_PRODUCTION, &problems, &set), -EINVAL);
    cr_assert_eq(problems.n, 2, "all at once");
    cr_assert_not_null(strstr(problems.items[0], "gcra"), "%s", problems.items[0]);
    cr_assert_not_null(strstr(problems.items[1], "GLOBAL_RATE_MAX"), "%s", problems.items[1]);
    problems_fini(&problems);
    param_group_fini(&limits_param_group, &params);
}

Test(policy, a_damaged_policy_is_not_sound)
{
    COMPILE(ENVIRONMENT_PRODUCTION, &set, "LIMITS_MODE=enforce");
    struct limit_policy good = *named(&set, "tier-free"), bad;
#define UNSOUND(change)                                                                            \
    do {                                                                                           \
        bad = good;                                                                                \
        bad.change;                                                                                \
        cr_assert_not(policy_is_sound(&bad), #change);                                             \
    } while (0)
    UNSOUND(algorithm = 0);
    UNSOUND(algorithm = LIMIT_RING);
    UNSOUND(count_bits = 13);
    UNSOUND(count_bits = 0);
    UNSOUND(count_bits = 77);
    UNSOUND(limit = 256);
    UNSOUND(limit = UINT64_MAX);
    UNSOUND(window_ns = 0);
    UNSOUND(window_ns = UINT64_MAX);
    UNSOUND(window_ns = LIMIT_WINDOW_MAX_NS + 1);
    UNSOUND(n_paths = 9);
    UNSOUND(ipv6_prefix_bits = 129);
    UNSOUND(mode = 2);
    memset(bad.name, 'x', sizeof(bad.name));
    bad = good;
    memset(bad.name, 'x', sizeof(bad.name));
    cr_assert_not(policy_is_sound(&bad));
}

Test(match, prefixes_end_on_segment_boundaries)
{
    static const struct {
        const char *prefix, *path;
        bool matches;
    } rows[] = {{"/login", "/login", true},      {"/login", "/login/x", true},
                {"/login", "/loginx", false},    {"/login", "/logi", false},
                {"/login", "/api/login", false}, {"", "/anything", true},
                {"/a/b", "/a/b/", true},         {"/a/b", "/a", false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(match_path(rows[i].prefix, rows[i].path, strlen(rows[i].path)),
                     rows[i].matches, "%s %s", rows[i].prefix, rows[i].path);
    }
}
