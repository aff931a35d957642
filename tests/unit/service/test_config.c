// Loading a configuration as a whole, and what a reload may change of it.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service/service_config.h"

static int check_upstreams(void *const *params, const struct config_model *model,
                           struct problems *problems)
{
    const struct limits_params *limits = params[0];

    if (limits->global_max != 13)
        return 0;
    problems_add(problems, "13 is not a number we like, with %zu upstreams", model->n_upstreams);
    return -EINVAL;
}

static const struct param_group *const groups[] = {&limits_param_group, &upstreams_param_group,
                                                   NULL};
static const struct service_descriptor descriptor = {
    .name = "test", .groups = groups, .check = check_upstreams};

static struct problems problems;

static int load(struct service_config *config, const char *const *assignments)
{
    struct service_args args = {.assignments = (const char **)(uintptr_t)assignments};

    while (assignments[args.n_assignments])
        args.n_assignments++;
    problems = PROBLEMS_INIT;
    return service_config_load(&descriptor, &args, &problems, config);
}

static const struct limits_params *limits_of(const struct service_config *config)
{
    return config->params[0];
}

static void setup(void)
{
    clearenv();
}

static void done(void)
{
    problems_fini(&problems);
}

TestSuite(config, .init = setup, .fini = done);

Test(config, defaults_and_upstreams_of_the_environment)
{
    struct service_config config;

    setenv("UPSTREAM_URL", "http://127.0.0.1:8080", 1);
    cr_assert_eq(load(&config, (const char *const[]){"GLOBAL_RATE_MAX=7", NULL}), 0);
    cr_assert_str_eq(config.suite.name, "valvechain");
    cr_assert_eq(limits_of(&config)->global_max, 7);
    cr_assert_eq(config.model->n_upstreams, 1);
    service_config_fini(&descriptor, &config);
    cr_assert_null(config.model);
}

Test(config, the_file_gives_values_and_stronger_sources_win)
{
    struct service_config config;
    char path[] = "/tmp/vct-XXXXXX", assignment[64];
    int fd = mkstemp(path);

    dprintf(fd, "{\"parameters\":{\"GLOBAL_RATE_MAX\":5,\"TIER_FREE_MAX\":6}}");
    close(fd);
    snprintf(assignment, sizeof(assignment), "CONFIG_FILE=%s", path);
    setenv("TIER_FREE_MAX", "9", 1);
    cr_assert_eq(load(&config, (const char *const[]){assignment, NULL}), 0, "%s",
                 problems.n ? problems.items[0] : "");
    cr_assert_eq(limits_of(&config)->global_max, 5);
    cr_assert_eq(limits_of(&config)->tier_free_max, 9);
    service_config_fini(&descriptor, &config);
    unlink(path);
}

Test(config, all_problems_of_all_sources_at_once)
{
    struct service_config config;

    setenv("LIMITS_MODE", "dream", 1);
    setenv("INSTANCE", "a b", 1);
    cr_assert_eq(load(&config, (const char *const[]){"GLOBAL_RATE_MAX=x", "NOBODY=1", "PORT=1",
                                                     "CONFIG_FILE=/nonexistent", NULL}),
                 -EINVAL);
    cr_assert_eq(problems.n, 6, "%zu", problems.n);
}

Test(config, a_bad_file_hides_neither_bad_values_nor_bad_urls)
{
    struct service_config config;
    char path[] = "/tmp/vct-XXXXXX", assignment[64], place[64];
    int fd = mkstemp(path);

    dprintf(fd, "{\"nonsense\":1,\n\"parameters\":{\"TIER_FREE_MAX\":\"many\"}}");
    close(fd);
    snprintf(assignment, sizeof(assignment), "CONFIG_FILE=%s", path);
    snprintf(place, sizeof(place), "%s:2:", path);
    setenv("UPSTREAM_URL", "gopher://x", 1);
    cr_assert_eq(load(&config, (const char *const[]){assignment, "GLOBAL_RATE_MAX=x", NULL}),
                 -EINVAL);
    unlink(path);
    cr_assert_eq(problems.n, 4, "%zu", problems.n);
    cr_assert(strstr(problems.items[0], "nonsense"), "%s", problems.items[0]);
    cr_assert(strstr(problems.items[1], "GLOBAL_RATE_MAX"), "%s", problems.items[1]);
    cr_assert(strncmp(problems.items[2], place, strlen(place)) == 0, "%s", problems.items[2]);
    cr_assert(strstr(problems.items[3], "gopher"), "%s", problems.items[3]);
}

Test(config, the_service_checks_the_whole)
{
    struct service_config config;

    setenv("UPSTREAM_URL", "http://127.0.0.1:8080", 1);
    cr_assert_eq(load(&config, (const char *const[]){"GLOBAL_RATE_MAX=13", NULL}), -EINVAL);
    cr_assert_eq(problems.n, 1);
    cr_assert_str_eq(problems.items[0], "13 is not a number we like, with 1 upstreams");
}

Test(config, a_bad_upstream_is_a_problem)
{
    struct service_config config;

    setenv("UPSTREAM_URL", "gopher://x", 1);
    cr_assert_eq(load(&config, (const char *const[]){NULL}), -EINVAL);
    cr_assert_gt(problems.n, 0);
    cr_assert(strstr(problems.items[0], "UPSTREAM_URL"), "%s", problems.items[0]);
}

Test(config, keeping_fixed_rows_undoes_itself)
{
    struct service_config old, fresh;
    struct strbuf names = STRBUF_INIT, again = STRBUF_INIT;

    cr_assert_eq(load(&old, (const char *const[]){"SHM_DIR=/old", "LIMIT_TABLE_CELLS=2048",
                                                  "GLOBAL_RATE_MAX=1", NULL}),
                 0);
    cr_assert_eq(load(&fresh, (const char *const[]){"SHM_DIR=/new", "LIMIT_TABLE_CELLS=4096",
                                                    "GLOBAL_RATE_MAX=2", NULL}),
                 0);
    service_config_keep_fixed(&descriptor, &old, &fresh, &names);
    cr_assert_str_eq(strbuf_text(&names), "SHM_DIR, LIMIT_TABLE_CELLS");
    cr_assert_str_eq(fresh.suite.shm_dir, "/old");
    cr_assert_eq(fresh.suite.limit_table_cells, 2048);
    cr_assert_eq(limits_of(&fresh)->global_max, 2);

    service_config_keep_fixed(&descriptor, &fresh, &old, &again);
    cr_assert_str_eq(old.suite.shm_dir, "/old");
    cr_assert_eq(old.suite.limit_table_cells, 2048);
    cr_assert_eq(limits_of(&old)->global_max, 1);
    strbuf_fini(&names);
    strbuf_fini(&again);
    service_config_fini(&descriptor, &old);
    service_config_fini(&descriptor, &fresh);
}

Test(config, log_level_auto_follows_the_environment)
{
    static const struct {
        const char *environment, *level;
        enum log_level expected;
    } rows[] = {{"NODE_ENV=development", "LOG_LEVEL=auto", LOG_LEVEL_DEBUG},
                {"NODE_ENV=production", "LOG_LEVEL=auto", LOG_LEVEL_INFO},
                {"NODE_ENV=test", "LOG_LEVEL=auto", LOG_LEVEL_INFO},
                {"NODE_ENV=development", "LOG_LEVEL=error", LOG_LEVEL_ERROR},
                {"NODE_ENV=production", "LOG_LEVEL=debug", LOG_LEVEL_DEBUG},
                {"NODE_ENV=production", "LOG_LEVEL=warn", LOG_LEVEL_WARN}};
    struct service_config config;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(load(&config, (const char *const[]){rows[i].environment, rows[i].level, NULL}),
                     0);
        cr_assert_eq(service_log_level(&config.suite), rows[i].expected, "row %zu", i);
        service_config_fini(&descriptor, &config);
    }
}
