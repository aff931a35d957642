#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/params.h"
#include "example.h"

static struct example_params params;
static struct problems problems;
static char folder[] = "/tmp/valvechain-param-XXXXXX";

static void setup(void)
{
    cr_assert_not_null(mkdtemp(folder));
}

static void teardown(void)
{
    const char *const files[] = {"T_SECRET", "T_COUNT", "value"};
    char path[128];
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
    param_group_fini(&example_group, &params);
    problems_fini(&problems);
}

TestSuite(param, .init = setup, .fini = teardown);

static const char *file(const char *name, const char *content, size_t len)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fwrite(content, 1, len, f);
    fclose(f);
    return path;
}

static void load_from(const struct param_sources *sources)
{
    int r = param_group_load(&example_group, sources, &params, &problems);
    cr_assert_eq(r, 0, "%s", problems.n ? problems.items[0] : "");
    cr_assert_eq(problems.n, 0);
}

static void load(void)
{
    load_from(NULL);
}

static void expect_refusal_from(const struct param_sources *sources, const char *problem)
{
    struct example_params untouched;
    memset(&untouched, 0x5a, sizeof(untouched));
    struct example_params copy = untouched;
    cr_expect_eq(param_group_load(&example_group, sources, &untouched, &problems), -EINVAL);
    cr_expect_eq(memcmp(&copy, &untouched, sizeof(copy)), 0, "the output stays untouched");
    cr_assert_eq(problems.n, 1, "'%s'", problem);
    cr_expect_str_eq(problems.items[0], problem, "got: %s", problems.items[0]);
    problems_fini(&problems);
}

static void expect_refusal(const char *name, const char *value, const char *problem)
{
    setenv(name, value, 1);
    expect_refusal_from(NULL, problem);
    unsetenv(name);
}

Test(param, defaults)
{
    load();
    cr_expect_eq(params.count, 10);
    cr_expect_eq(params.maybe, PARAM_UNSET);
    cr_expect(params.flag);
    cr_expect_str_eq(params.text, "hello");
    cr_expect_null(params.option);
    cr_expect_str_empty(params.secret);
    cr_expect_eq(params.mode, 0);
    cr_expect_not(params.later);
}

Test(param, every_type_from_the_environment)
{
    setenv("T_COUNT", "65535", 1);
    setenv("T_MAYBE", "0", 1);
    setenv("T_FLAG", "off", 1);
    setenv("T_TEXT", "", 1);
    setenv("T_OPTION", "given", 1);
    setenv("T_SECRET", "s3cret", 1);
    setenv("T_MODE", "Fast", 1);
    setenv("T_LATER", "no", 1); // the default, in other words
    setenv("T_LATER_TEXT", "none", 1);
    load();
    cr_expect_eq(params.count, 65535);
    cr_expect_eq(params.maybe, 0);
    cr_expect_not(params.flag);
    cr_expect_str_empty(params.text);
    cr_expect_str_eq(params.option, "given");
    cr_expect_str_eq(params.secret, "s3cret");
    cr_expect_eq(params.mode, 1);
}

Test(param, empty_is_the_default_for_all_but_text)
{
    const char *const names[] = {"T_COUNT", "T_MAYBE", "T_FLAG", "T_OPTION", "T_MODE", "T_LATER"};
    for (size_t i = 0; i < 6; i++)
        setenv(names[i], "", 1);
    load();
    cr_expect_eq(params.count, 10);
    cr_expect_eq(params.maybe, PARAM_UNSET);
    cr_expect(params.flag);
    cr_expect_null(params.option);
}

Test(param, refusals_name_value_and_what_is_allowed)
{
    expect_refusal("T_COUNT", "4",
                   "T_COUNT (environment): '4' is out of range, allowed 5 to 65535 things");
    expect_refusal("T_COUNT", "99999999999999999999999",
                   "T_COUNT (environment): '99999999999999999999999' is out of range, allowed 5 to "
                   "65535 things");
    expect_refusal("T_COUNT", "7 ",
                   "T_COUNT (environment): '7 ' is not a whole number, allowed 5 to 65535 things");
    expect_refusal("T_MAYBE", "10",
                   "T_MAYBE (environment): '10' is out of range, allowed 0 to 9, or unset");
    expect_refusal("T_FLAG", "maybe",
                   "T_FLAG (environment): 'maybe' is neither true nor false, allowed true, false "
                   "(or 1, 0, yes, no, on, off)");
    expect_refusal("T_MODE", "fas",
                   "T_MODE (environment): 'fas' is none of the choices, allowed slow, fast, other");
    expect_refusal("T_MODE_TOO", "fast|other",
                   "T_MODE_TOO (environment): 'fast|other' is none of the choices, allowed slow, "
                   "fast, other");
    expect_refusal("T_NAME", "a/b",
                   "T_NAME (environment): 'a/b' is not of the form, allowed 1 to 23 letters, "
                   "digits, '_' and '-'");
    expect_refusal("T_COUNT", "\033[2J\n",
                   "T_COUNT (environment): '?[2J?' is not a whole number, allowed 5 to 65535 "
                   "things");
}

Test(param, planned_ones_are_refused_not_ignored)
{
    expect_refusal("T_LATER", "true",
                   "T_LATER (environment): 'true' is not available in this version (Something for "
                   "later), allowed false");
    expect_refusal("T_LATER_TEXT", "some",
                   "T_LATER_TEXT (environment): 'some' is not available in this version (A text "
                   "for later), allowed none");
    expect_refusal("T_LATER", "7",
                   "T_LATER (environment): '7' is neither true nor false, allowed true, false (or "
                   "1, 0, yes, no, on, off)");
}

Test(param, all_problems_at_once)
{
    setenv("T_COUNT", "x", 1);
    setenv("T_FLAG", "x", 1);
    setenv("T_MODE", "x", 1);
    setenv("T_LATER", "1", 1);
    cr_assert_eq(param_group_load(&example_group, NULL, &params, &problems), -EINVAL);
    cr_assert_eq(problems.n, 4);
}

static const char *config_value(void *arg, const char *name)
{
    const char *const *pairs = arg;
    for (; *pairs; pairs += 2)
        if (strcmp(pairs[0], name) == 0)
            return pairs[1];
    return NULL;
}

static const char *config_place(void *arg, const char *name)
{
    return config_value(arg, name) ? "c.json:3:9" : NULL;
}

Test(param, later_sources_win)
{
    static const char *file_pairs[] = {"T_COUNT", "11",   "T_TEXT", "file",
                                       "T_MODE",  "fast", NULL,     NULL};
    const char *const assignments[] = {"T_TEXT=set once", "T_TEXT=set=twice", "T_COUNTER=9"};
    const struct param_sources sources = {.assignments = assignments,
                                          .n_assignments = 3,
                                          .config_value = config_value,
                                          .config_arg = file_pairs};
    setenv("T_COUNT", "12", 1);
    setenv("T_TEXT", "environment", 1);
    load_from(&sources);
    cr_expect_eq(params.count, 12);
    cr_expect_str_eq(params.text, "set=twice");
    cr_expect_eq(params.mode, 1);
}

Test(param, problems_name_the_source)
{
    static const char *file_pairs[] = {"T_COUNT", "1", NULL, NULL};
    const char *const assignments[] = {"T_COUNT="};
    struct param_sources sources = {.config_value = config_value, .config_arg = file_pairs};
    expect_refusal_from(&sources, "T_COUNT (configuration file): '1' is out of range, allowed 5 to "
                                  "65535 things");
    sources.config_place = config_place;
    expect_refusal_from(&sources, "c.json:3:9: T_COUNT: '1' is out of range, allowed 5 to 65535 "
                                  "things");
    sources.assignments = assignments;
    sources.n_assignments = 1;
    expect_refusal_from(&sources,
                        "T_COUNT (--set): '' is not a whole number, allowed 5 to 65535 things");
}

Test(param, alias_wins)
{
    setenv("T_MODE", "fast", 1);
    setenv("T_MODE_TOO", "other", 1);
    load();
    cr_expect_eq(params.mode, 2);
    param_group_fini(&example_group, &params);
    const char *const assignments[] = {"T_MODE=slow"};
    const struct param_sources sources = {.assignments = assignments, .n_assignments = 1};
    load_from(&sources);
    cr_expect_eq(params.mode, 0, "but --set wins over the environment by either name");
}

Test(param, values_from_files)
{
    setenv("T_SECRET_FILE", file("T_SECRET", "  top secret\r\n\n", 15), 1);
    setenv("T_SECRET", "", 1); // empty beside a file does not contradict it
    load();
    cr_expect_str_eq(params.secret, "  top secret");
}

Test(param, credentials_of_systemd)
{
    file("T_SECRET", "from systemd\n", 13);
    file("T_COUNT", "77", 2);
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    setenv("T_COUNT", "78", 1);
    load();
    cr_expect_str_eq(params.secret, "from systemd");
    cr_expect_eq(params.count, 78, "the environment wins");
}

Test(param, files_that_cannot_be_used)
{
    char expected[512], big[70000];
    expect_refusal("T_SECRET_FILE", "/does/not/exist",
                   "T_SECRET: cannot take its value from the file '/does/not/exist': No such file "
                   "or directory");
    const char *path = file("value", "a\0b", 3);
    snprintf(expected, sizeof(expected),
             "T_TEXT: cannot take its value from the file '%s': it holds a zero byte, allowed is "
             "text",
             path);
    expect_refusal("T_TEXT_FILE", path, expected);
    memset(big, 'x', sizeof(big));
    path = file("value", big, sizeof(big));
    snprintf(expected, sizeof(expected),
             "T_TEXT: cannot take its value from the file '%s': it is larger than 65536 bytes",
             path);
    expect_refusal("T_TEXT_FILE", path, expected);
    path = file("value", "nine", 4);
    snprintf(expected, sizeof(expected),
             "T_COUNT (file %s): 'nine' is not a whole number, allowed 5 to 65535 things", path);
    expect_refusal("T_COUNT_FILE", path, expected);
    setenv("T_TEXT", "given", 1);
    expect_refusal("T_TEXT_FILE", path,
                   "T_TEXT and T_TEXT_FILE are both set, allowed is one of them");
}

Test(param, a_secret_is_in_no_problem)
{
    static const struct param_row rows[] = {{.name = "T_PIN",
                                             .type = PARAM_TYPE_UINT,
                                             .default_text = "1",
                                             .max = 9999,
                                             .unit = "",
                                             .flags = PARAM_SECRET,
                                             .help = "A secret number"}};
    const struct param_group group = {.rows = rows, .n_rows = 1, .struct_bytes = 8};
    uint64_t pin;
    setenv("T_PIN", "12345", 1);
    cr_assert_eq(param_group_load(&group, NULL, &pin, &problems), -EINVAL);
    cr_expect_str_eq(problems.items[0],
                     "T_PIN (environment): '********' is out of range, allowed 0 to 9999");
}

Test(param, keep_for_a_reload)
{
    struct example_params fresh;
    struct strbuf names = STRBUF_INIT;
    load();
    setenv("T_COUNT", "20", 1); // may be reloaded
    setenv("T_TEXT", "new", 1);
    setenv("T_NAME", "two", 1); // may not
    setenv("T_FLAG", "false", 1);
    cr_assert_eq(param_group_load(&example_group, NULL, &fresh, &problems), 0);
    param_group_keep(&example_group, &params, &fresh, &names);
    cr_expect_str_eq(strbuf_text(&names), "T_FLAG, T_NAME");
    cr_expect_eq(fresh.count, 20);
    cr_expect_str_eq(fresh.text, "new");
    cr_expect_str_eq(fresh.name, "one");
    cr_expect(fresh.flag);
    strbuf_fini(&names);
    param_group_fini(&example_group, &fresh);
}

Test(param, redis_may_be_described_while_it_is_off)
{
    struct limits_params limits;
    setenv("REDIS_ENABLED", "false", 1);
    setenv("REDIS_HOST", "cache.internal", 1);
    cr_assert_eq(param_group_load(&limits_param_group, NULL, &limits, &problems), 0);
    cr_expect_str_eq(limits.redis_host, "cache.internal");
    cr_expect(!limits.redis_enabled);
    param_group_fini(&limits_param_group, &limits);
    setenv("REDIS_ENABLED", "true", 1);
    cr_assert_eq(param_group_load(&limits_param_group, NULL, &limits, &problems), 0);
    cr_expect(limits.redis_enabled);
    param_group_fini(&limits_param_group, &limits);
}

Test(param, what_is_planned_is_refused_by_name)
{
    struct suite_params suite;
    setenv("REGIONAL_SCALING", "true", 1);
    cr_assert_eq(param_group_load(&suite_param_group, NULL, &suite, &problems), -EINVAL);
    cr_expect_str_eq(problems.items[0],
                     "REGIONAL_SCALING (environment): 'true' is not available in this version "
                     "(Advice per region), allowed false");
}

Test(param, all_groups_load_their_defaults)
{
    const struct param_group *const groups[] = {&suite_param_group,      &limits_param_group,
                                                &breakers_param_group,   &upstreams_param_group,
                                                &monitoring_param_group, &autoscaling_param_group};
    for (size_t i = 0; i < 6; i++) {
        void *group_params = calloc(1, groups[i]->struct_bytes);
        cr_expect_eq(param_group_load(groups[i], NULL, group_params, &problems), 0);
        param_group_fini(groups[i], group_params);
        free(group_params);
    }
}

Test(param, valvechain_env_wins_over_node_env)
{
    struct suite_params suite;
    setenv("NODE_ENV", "production", 1);
    setenv("VALVECHAIN_ENV", "development", 1);
    cr_assert_eq(param_group_load(&suite_param_group, NULL, &suite, &problems), 0);
    cr_expect_eq(suite.environment, ENVIRONMENT_DEVELOPMENT);
    param_group_fini(&suite_param_group, &suite);
}
