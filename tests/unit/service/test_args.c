#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "service/service_args.h"

static struct problems problems;
static struct service_args args;

static int parse(const char *const *argv)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    problems = PROBLEMS_INIT;
    return service_args_parse(argc, (char *const *)(uintptr_t)argv, &problems, &args);
}

static void done(void)
{
    problems_fini(&problems);
    service_args_fini(&args);
}

TestSuite(args, .fini = done);

Test(args, nothing_means_run)
{
    cr_assert_eq(parse((const char *const[]){"p", NULL}), 0);
    cr_assert_eq(args.mode, SERVICE_MODE_RUN);
    cr_assert_eq(args.n_assignments, 0);
}

Test(args, each_mode_has_its_name)
{
    static const struct {
        const char *text;
        enum service_mode mode;
    } rows[] = {{"--help", SERVICE_MODE_HELP},
                {"-h", SERVICE_MODE_HELP},
                {"--version", SERVICE_MODE_VERSION},
                {"--check", SERVICE_MODE_CHECK},
                {"--describe", SERVICE_MODE_DESCRIBE}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(parse((const char *const[]){"p", rows[i].text, NULL}), 0);
        cr_assert_eq(args.mode, rows[i].mode, "%s", rows[i].text);
        done();
    }
}

Test(args, assignments_keep_their_order)
{
    cr_assert_eq(parse((const char *const[]){"p", "--set", "A=1", "--check", "--set=A=2", "--set",
                                             "B=x=y", NULL}),
                 0);
    cr_assert_eq(args.mode, SERVICE_MODE_CHECK);
    cr_assert_eq(args.n_assignments, 3);
    cr_assert_str_eq(args.assignments[0], "A=1");
    cr_assert_str_eq(args.assignments[1], "A=2");
    cr_assert_str_eq(args.assignments[2], "B=x=y");
}

Test(args, every_unknown_argument_is_named_with_the_nearest)
{
    cr_assert_eq(parse((const char *const[]){"p", "--chek", "run", "--set", NULL}), -EINVAL);
    cr_assert_eq(problems.n, 3);
    cr_assert(strstr(problems.items[0], "'--chek'") && strstr(problems.items[0], "'--check'"), "%s",
              problems.items[0]);
    cr_assert(strstr(problems.items[1], "'run'") && strstr(problems.items[1], "allowed"), "%s",
              problems.items[1]);
    cr_assert(strstr(problems.items[2], "NAME=VALUE"), "%s", problems.items[2]);
}
