// The command line of valvectl, and what it says of a segment with numbers that JSON has not.
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "metric/metric.h"
#include "service/service.h"
#include "valvectl.h"

static char dir[] = "/tmp/vc-unit-valvectl-XXXXXX";
static char said[65536];

static void setup(void)
{
    cr_redirect_stdout();
    cr_redirect_stderr();
    cr_assert_not_null(mkdtemp(dir));
}

static void teardown(void)
{
    DIR *open = opendir(dir);

    for (struct dirent *file; (file = readdir(open)) != NULL;)
        if (file->d_name[0] != '.')
            unlinkat(dirfd(open), file->d_name, 0);
    closedir(open);
    rmdir(dir);
}

TestSuite(valvectl, .init = setup, .fini = teardown);

#define ARGUMENTS_MAX 80

// Runs it with these words; what it wrote to `out` is in `said`.
static int run(FILE *out, const char *const *words, size_t n)
{
    char *argv[ARGUMENTS_MAX] = {(char[]){"valvectl"}};
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        argv[i + 1] = strdup(words[i]);
    int code = valvectl_run((int)n + 1, argv);
    fflush(stdout);
    fflush(stderr);
    fcntl(fileno(out), F_SETFL, O_NONBLOCK);
    for (size_t got; (got = fread(said + len, 1, sizeof(said) - 1 - len, out)) > 0;)
        len += got;
    said[len] = '\0';
    for (size_t i = 0; i < n; i++)
        free(argv[i + 1]);
    return code;
}

#define RUN(out, ...)                                                                              \
    run(out, (const char *const[]){__VA_ARGS__},                                                   \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

Test(valvectl, without_a_command_it_says_which_there_are)
{
    cr_assert_eq(run(cr_get_redirected_stderr(), NULL, 0), VALVECTL_FINDING);
    cr_assert(strstr(said, "usage:") && strstr(said, "config check") && strstr(said, "exit codes"));
}

Test(valvectl, an_unknown_command_is_named)
{
    cr_assert_eq(RUN(cr_get_redirected_stderr(), "config", "chek"), VALVECTL_FINDING);
    cr_assert(strstr(said, "no command 'config chek'") && strstr(said, "config check"));
}

Test(valvectl, half_of_a_command_of_two_words_is_none)
{
    cr_assert_eq(RUN(cr_get_redirected_stderr(), "config"), VALVECTL_FINDING);
    cr_assert(strstr(said, "no command 'config'"));
}

Test(valvectl, an_assignment_of_no_parameter_is_refused)
{
    cr_assert_eq(RUN(cr_get_redirected_stderr(), "--set", "NO_SUCH=1", "status"), VALVECTL_FINDING);
    cr_assert(strstr(said, "NO_SUCH"));
}

Test(valvectl, more_assignments_than_it_holds_are_refused)
{
    const char *words[2 * 33 + 1];

    for (size_t i = 0; i < 33; i++) {
        words[2 * i] = "--set";
        words[2 * i + 1] = "VALVECHAIN_NAME=x";
    }
    words[66] = "status";
    cr_assert_eq(run(cr_get_redirected_stderr(), words, 67), VALVECTL_FINDING);
    cr_assert(strstr(said, "at most 32"));
}

Test(valvectl, a_suite_that_is_not_there_is_unreachable)
{
    char shm[64];

    snprintf(shm, sizeof(shm), "SHM_DIR=%s", dir);
    cr_assert_eq(RUN(cr_get_redirected_stderr(), "--set", shm, "--name", "absent", "status"),
                 VALVECTL_UNREACHABLE);
    cr_assert(strstr(said, "absent"), "%s", said);
}

Test(valvectl, what_could_not_be_measured_is_null_in_json)
{
    static const struct metric_def def = {.kind = METRIC_GAUGE,
                                          .name = "valvechain_average",
                                          .unit = "",
                                          .labels = "",
                                          .help = "Average of nothing"};
    char reason[SEGMENT_REASON_MAX], shm[64];
    const struct param_sources sources = {0};
    struct problems problems = PROBLEMS_INIT;
    struct suite_params suite = {0};
    struct segment_section_spec specs[SEGMENT_MAX_SECTIONS];
    struct segment_options options = {.dir = dir, .name = "unit", .sections = specs};
    struct segment *segment;
    struct slot *slot;
    struct metric_set *set;

    cr_assert_eq(param_group_load(&suite_param_group, &sources, &suite, &problems), 0);
    options.n_sections = service_segment_sections(&suite, specs, SEGMENT_MAX_SECTIONS);
    cr_assert_eq(segment_open(&options, reason, &segment), 0, "%s", reason);
    cr_assert_eq(slot_acquire(segment, "metrics-agent", "1", &slot), 0);
    cr_assert_eq(metric_set_open(slot, &set), 0);
    metric_gauge(set, metric_register(set, &def, NULL), NAN);
    snprintf(shm, sizeof(shm), "SHM_DIR=%s", dir);
    cr_assert_eq(RUN(cr_get_redirected_stdout(), "--set", shm, "--name", "unit", "--json",
                     "metrics", "valvechain_average"),
                 VALVECTL_OK);
    cr_assert(strstr(said, "\"value\": null"), "%s", said);
    metric_set_close(&set);
    slot_release(&slot);
    segment_close(&segment);
    param_group_fini(&suite_param_group, &suite);
    problems_fini(&problems);
}
