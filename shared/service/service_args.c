#include "service/service_args.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"

static const char *const argument_names[] = {"--help", "--version", "--check", "--describe",
                                             "--set"};
#define N_MODES 4 // of the names above, in the order of enum service_mode

static bool set_mode(const char *text, struct service_args *args)
{
    if (strcmp(text, "-h") == 0)
        text = "--help";
    for (int i = 0; i < N_MODES; i++) {
        if (strcmp(text, argument_names[i]) != 0)
            continue;
        args->mode = (enum service_mode)(SERVICE_MODE_HELP + i);
        return true;
    }
    return false;
}

static void add_assignment(const char *text, struct problems *problems, struct service_args *args)
{
    if (text)
        args->assignments[args->n_assignments++] = text;
    else
        problems_add(problems, "--set: what to set is missing, allowed NAME=VALUE");
}

static void add_unknown(const char *text, struct problems *problems)
{
    const char *near =
        nearest_name(text, argument_names, sizeof(argument_names) / sizeof(argument_names[0]));

    if (near)
        problems_add(problems, "unknown argument '%s'; did you mean '%s'?", text, near);
    else
        problems_add(problems,
                     "unknown argument '%s'; allowed: --help, --version, --check, --describe, "
                     "--set NAME=VALUE",
                     text);
}

int service_args_parse(int argc, char *const *argv, struct problems *problems,
                       struct service_args *ret_args)
{
    size_t n_before = problems->n;

    *ret_args = (struct service_args){.mode = SERVICE_MODE_RUN};
    ret_args->assignments = calloc((size_t)argc + 1, sizeof(*ret_args->assignments));
    if (!ret_args->assignments) {
        problems_add(problems, "out of memory");
        return -ENOMEM;
    }
    for (int i = 1; i < argc; i++) {
        if (set_mode(argv[i], ret_args))
            continue;
        if (strcmp(argv[i], "--set") == 0) {
            const char *text = i + 1 < argc ? argv[++i] : NULL;

            add_assignment(text, problems, ret_args);
        } else if (strncmp(argv[i], "--set=", 6) == 0) {
            add_assignment(argv[i] + 6, problems, ret_args);
        } else {
            add_unknown(argv[i], problems);
        }
    }
    return problems->n > n_before ? -EINVAL : 0;
}

void service_args_fini(struct service_args *args)
{
    free(args->assignments);
    *args = (struct service_args){0};
}
