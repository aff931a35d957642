#include <criterion/criterion.h>
#include <errno.h>

#include "breaker/definition.h"
#include "breaker_fixture.h"

static const struct breakers_params defaults = {.enabled = true,
                                                .timeout_ms = 3000,
                                                .error_threshold_percent = 50,
                                                .reset_timeout_ms = 30000,
                                                .rolling_timeout_ms = 10000,
                                                .rolling_buckets = 10,
                                                .capacity = 10,
                                                .app_capacity = 1024,
                                                .volume_threshold = 10,
                                                .probes = 1,
                                                .reset_backoff_percent = 150,
                                                .reset_timeout_max_ms = 300000,
                                                .probe_lease_ms = 15000};

static char app[] = "app", email[] = "email", partner[] = "partner", root[] = "/", part[] = "/p";
static struct config_upstream upstreams[3];
static struct config_route routes[2];
static struct config_model model;

static void setup(void)
{
    memset(upstreams, 0, sizeof(upstreams));
    upstreams[0].name = app;
    upstreams[1].name = email;
    upstreams[2].name = partner;
    routes[0] = (struct config_route){.path = root, .upstream = 0};
    routes[1] = (struct config_route){.path = part, .upstream = 2};
    model = (struct config_model){
        .upstreams = upstreams, .n_upstreams = 3, .routes = routes, .n_routes = 2};
}

TestSuite(definition, .init = setup);

static struct breaker_definition_set compile(const struct breakers_params *params)
{
    struct breaker_definition_set set;
    struct problems problems = PROBLEMS_INIT;
    int rc = breaker_compile(params, &model, &problems, &set);
    cr_assert_eq(rc, 0, "%s", problems.n > 0 ? problems.items[0] : "");
    problems_fini(&problems);
    return set;
}

static const struct breaker_definition *named(const struct breaker_definition_set *set,
                                              const char *name)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (strcmp(set->items[i].name, name) == 0)
            return &set->items[i];
    cr_assert_fail("no breaker %s", name);
    return NULL;
}

Test(definition, specs_three_exist_with_their_own_defaults)
{
    model = (struct config_model){0};
    struct breaker_definition_set set = compile(&defaults);
    cr_assert_eq(set.n, 3);
    cr_assert_eq(named(&set, "database")->timeout_ns, 5 * S);
    cr_assert_eq(named(&set, "database")->error_threshold_percent, 30);
    cr_assert_eq(named(&set, "blockchain")->timeout_ns, 10 * S);
    cr_assert_eq(named(&set, "blockchain")->error_threshold_percent, 60);
    cr_assert_eq(named(&set, "email")->timeout_ns, 8 * S);
    cr_assert_eq(named(&set, "email")->error_threshold_percent, 40);
    cr_assert_eq(named(&set, "email")->reset_timeout_ns, 30 * S);
    cr_assert_eq(named(&set, "email")->capacity, 10);
}

Test(definition, other_upstreams_take_the_parameters)
{
    struct breaker_definition_set set = compile(&defaults);
    cr_assert_eq(set.n, 5);
    const struct breaker_definition *item = named(&set, "partner");
    cr_assert_eq(item->timeout_ns, 3 * S);
    cr_assert_eq(item->error_threshold_percent, 50);
    cr_assert_eq(item->rolling_timeout_ns, 10 * S);
    cr_assert_eq(item->rolling_buckets, 10);
    cr_assert_eq(item->volume_threshold, 10);
    cr_assert_eq(item->probes, 1);
    cr_assert_eq(item->capacity, 10);
    cr_assert_eq(item->enabled, 1);
    cr_assert_eq(named(&set, "app")->capacity, 1024); // behind the default route
}

Test(definition, fields_of_the_model_win)
{
    upstreams[1].breaker = (struct config_breaker){.error_threshold_percent = 70, .capacity = 3};
    upstreams[2].breaker = (struct config_breaker){.timeout_ms = 250,
                                                   .reset_timeout_ms = 600000,
                                                   .rolling_timeout_ms = 2000,
                                                   .volume_threshold = 5,
                                                   .rolling_buckets = 4,
                                                   .probes = 2};
    upstreams[0].breaker = (struct config_breaker){.capacity = 99};
    struct breaker_definition_set set = compile(&defaults);
    cr_assert_eq(named(&set, "email")->error_threshold_percent, 70);
    cr_assert_eq(named(&set, "email")->timeout_ns, 8 * S);
    cr_assert_eq(named(&set, "email")->capacity, 3);
    cr_assert_eq(named(&set, "app")->capacity, 99);
    const struct breaker_definition *item = named(&set, "partner");
    cr_assert_eq(item->timeout_ns, 250 * MS);
    cr_assert_eq(item->reset_timeout_ns, 600 * S);
    cr_assert_eq(item->reset_timeout_max_ns, 600 * S); // asked for more than the bound
    cr_assert_eq(item->rolling_timeout_ns, 2 * S);
    cr_assert_eq(item->rolling_buckets, 4);
    cr_assert_eq(item->volume_threshold, 5);
    cr_assert_eq(item->probes, 2);
}

Test(definition, a_zero_of_the_model_switches_off_what_the_parameters_switch_on)
{
    struct breakers_params params = defaults;
    params.slow_threshold_percent = 40;
    params.consecutive = 5;
    params.ramp_ms = 1000;
    upstreams[2].breaker = (struct config_breaker){
        .slow_threshold_percent = UINT32_MAX, .consecutive = UINT32_MAX, .ramp_ms = UINT64_MAX};
    struct breaker_definition_set set = compile(&params);
    const struct breaker_definition *item = named(&set, "partner");
    cr_assert_eq(item->slow_threshold_percent, 0);
    cr_assert_eq(item->consecutive, 0);
    cr_assert_eq(item->ramp_ns, 0);
    cr_assert_eq(named(&set, "email")->consecutive, 5);
}

Test(definition, the_flag_switches_all_off)
{
    struct breakers_params params = defaults;
    params.enabled = false;
    struct breaker_definition_set set = compile(&params);
    for (uint32_t i = 0; i < set.n; i++)
        cr_assert_eq(set.items[i].enabled, 0);
}

static void refuses(const char *expected)
{
    struct breaker_definition_set set = {.n = 77};
    struct problems problems = PROBLEMS_INIT;
    cr_assert_eq(breaker_compile(&defaults, &model, &problems, &set), -EINVAL);
    cr_assert_eq(problems.n, 1);
    cr_assert(strstr(problems.items[0], expected) != NULL, "%s", problems.items[0]);
    cr_assert_eq(set.n, 77); // untouched
    problems_fini(&problems);
}

Test(definition, bad_values_are_named_with_what_is_allowed)
{
    upstreams[2].breaker = (struct config_breaker){.rolling_timeout_ms = 10, .rolling_buckets = 20};
    refuses("breaker 'partner': a rolling window of 10 ms in 20 buckets");
    upstreams[2].breaker = (struct config_breaker){.probes = 256};
    refuses("256 probes, allowed are 1 to 255");
    upstreams[2].breaker = (struct config_breaker){.capacity = 65536};
    refuses("capacity 65536, allowed is 1 to 65535");
    upstreams[2].breaker = (struct config_breaker){.error_threshold_percent = 101};
    refuses("error threshold 101 percent");
    upstreams[2].breaker = (struct config_breaker){.rolling_buckets = 61};
    refuses("61 buckets, allowed are 1 to 60");
}

Test(definition, more_upstreams_than_breakers_are_refused)
{
    static char names[BREAKER_MAX][8];
    static struct config_upstream many[BREAKER_MAX];
    for (int i = 0; i < BREAKER_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "u%d", i);
        many[i].name = names[i];
    }
    model = (struct config_model){.upstreams = many, .n_upstreams = BREAKER_MAX};
    refuses("need more than 64 breakers");
    model.n_upstreams = BREAKER_MAX - 3;
    cr_assert_eq(compile(&defaults).n, BREAKER_MAX);
}

static struct breaker_definition_set set_of(const char *a, const char *b)
{
    struct breaker_definition_set set = {.n = b != NULL ? 2 : 1, .items = {definition_named(a)}};
    if (b != NULL)
        set.items[1] = definition_named(b);
    return set;
}

Test(definition, a_name_keeps_its_index)
{
    struct breaker_table table = {0};
    bool is_changed;
    struct breaker_definition_set set = set_of("a", "b");
    cr_assert_eq(definition_merge(&table, &set, BREAKER_PUBLISH_REPLACE, &table, &is_changed), 0);
    cr_assert(is_changed);
    set = set_of("c", "b");
    set.items[1].capacity = 5;
    cr_assert_eq(definition_merge(&table, &set, BREAKER_PUBLISH_REPLACE, &table, &is_changed), 0);
    cr_assert_eq(definition_find(&table, "b"), 1);
    cr_assert_eq(table.items[1].capacity, 5);
    cr_assert_eq(definition_find(&table, "c"), 2);
    cr_assert_eq(definition_find(&table, "a"), -ENOENT);
    set = set_of("a", NULL); // comes back to its own place
    cr_assert_eq(definition_merge(&table, &set, BREAKER_PUBLISH_REPLACE, &table, &is_changed), 0);
    cr_assert_eq(definition_find(&table, "a"), 0);
    cr_assert_eq(definition_find(&table, "b"), -ENOENT);
    cr_assert_eq(definition_merge(&table, &set, BREAKER_PUBLISH_REPLACE, &table, &is_changed), 0);
    cr_assert(!is_changed);
}

Test(definition, if_absent_adds_and_changes_nothing_else)
{
    struct breaker_table table = {0};
    bool is_changed;
    struct breaker_definition_set set = set_of("a", NULL);
    cr_assert_eq(definition_merge(&table, &set, BREAKER_PUBLISH_REPLACE, &table, &is_changed), 0);
    set = set_of("a", "b");
    set.items[0].capacity = 99;
    cr_assert_eq(definition_merge(&table, &set, BREAKER_PUBLISH_IF_ABSENT, &table, &is_changed), 0);
    cr_assert(is_changed);
    cr_assert_eq(table.items[0].capacity, 10);
    cr_assert_eq(definition_find(&table, "b"), 1);
    cr_assert_eq(definition_merge(&table, &set, BREAKER_PUBLISH_IF_ABSENT, &table, &is_changed), 0);
    cr_assert(!is_changed);
}

Test(definition, a_full_table_says_so)
{
    struct breaker_table table = {.n = BREAKER_MAX}, result = {.n = 5};
    struct breaker_definition_set set = set_of("new", NULL);
    bool is_changed;
    for (int i = 0; i < BREAKER_MAX; i++)
        snprintf(table.items[i].name, sizeof(table.items[i].name), "u%d", i);
    cr_assert_eq(definition_merge(&table, &set, BREAKER_PUBLISH_REPLACE, &result, &is_changed),
                 -ENOSPC);
    cr_assert_eq(result.n, 5);
}

Test(definition, damaged_tables_are_brought_into_range)
{
    struct breaker_table table;
    memset(&table, 0xff, sizeof(table));
    definition_clamp(&table);
    cr_assert_eq(table.n, BREAKER_MAX);
    cr_assert_eq(strlen(table.items[9].name), BREAKER_NAME_MAX - 1);
    cr_assert_eq(table.items[9].rolling_buckets, BREAKER_BUCKETS_MAX);
    cr_assert_eq(table.items[9].probes, 255);
    memset(&table, 0, sizeof(table));
    definition_clamp(&table);
    cr_assert_eq(table.items[9].rolling_buckets, 1);
    cr_assert_eq(table.items[9].capacity, 1);
    cr_assert_eq(table.items[9].error_threshold_percent, 1);
}
