#include "valvectl.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "service/service.h"

#define SECTIONS_MAX 16

struct command {
    const char *words, *arguments, *help;
    int (*run)(struct valvectl *ctl);
};

static const struct command commands[] = {
#define COMMAND(function, words_, arguments_, help_) {words_, arguments_, help_, function},
#include "commands.def"
#undef COMMAND
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *out)
{
    fputs("usage: valvectl [--name NAME] [--set NAME=VALUE] COMMAND\n\n", out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-15s %-42s %s\n", commands[i].words, commands[i].arguments,
                commands[i].help);
    fputs("\n  --name NAME    the suite (default: VALVECHAIN_NAME or valvechain)\n"
          "  --version      version and ABI of the segment\n"
          "exit codes: 0 nothing wrong, 1 wrong use or a finding, 2 the suite cannot be reached\n",
          out);
}

int valvectl_open_segment(const struct valvectl *ctl, struct segment **ret_segment)
{
    char reason[SEGMENT_REASON_MAX] = "";
    struct segment_section_spec sections[SECTIONS_MAX];
    size_t n = service_segment_sections(&ctl->suite, sections, SECTIONS_MAX);
    struct segment_options options = {
        .dir = ctl->suite.shm_dir,
        .name = ctl->suite.name,
        .sections = sections,
        .n_sections = n,
        .read_only = true,
    };
    if (segment_open(&options, reason, ret_segment) == 0)
        return VALVECTL_OK;
    fprintf(stderr, "valvectl: %s\n", reason);
    return VALVECTL_UNREACHABLE;
}

// How many of the arguments are the command's own words; 0: not this command.
static int words_matched(const struct command *command, int argc, char **argv)
{
    char first[32], second[32] = "";
    int words = sscanf(command->words, "%31s %31s", first, second);
    if (argc < words || strcmp(argv[0], first) != 0)
        return 0;
    return words == 1 || strcmp(argv[1], second) == 0 ? words : 0;
}

// How many words the usage line allows besides options: "[--json] [PREFIX]" is one, "KEY..." any.
static int arguments_allowed(const char *usage)
{
    int n = 0;
    for (const char *word = usage; *word; word += strspn(word, " ")) {
        size_t len = strcspn(word, " ");
        if (len > 3 && strncmp(word + len - 3, "...", 3) == 0 && *word != '[')
            return INT_MAX;
        n += strncmp(word, "[--", 3) != 0;
        word += len;
    }
    return n;
}

// Nothing is taken and then ignored: what the usage line does not name is refused.
static bool is_right_use(const struct valvectl *ctl, const struct command *command)
{
    const char *option = ctl->json && !strstr(command->arguments, "[--json]")      ? "--json"
                         : ctl->watch && !strstr(command->arguments, "[--watch]")  ? "--watch"
                         : ctl->limit && !strstr(command->arguments, "--limit ")   ? "--limit"
                         : ctl->for_text && !strstr(command->arguments, "--for ")  ? "--for"
                         : ctl->reason && !strstr(command->arguments, "--reason ") ? "--reason"
                         : ctl->since && !strstr(command->arguments, "[--since ")  ? "--since"
                         : ctl->url && !strstr(command->arguments, "[--url=")      ? "--url"
                         : ctl->simulate_option && !strstr(command->arguments, "[--policy=")
                             ? ctl->simulate_option
                             : NULL;
    int allowed = arguments_allowed(command->arguments);
    if (option || ctl->argc > allowed)
        fprintf(stderr, "valvectl: %s does not take '%s', allowed: %s %s\n", command->words,
                option ? option : ctl->argv[allowed], command->words, command->arguments);
    return !option && ctl->argc <= allowed;
}

static int run_command(struct valvectl *ctl, int argc, char **argv)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        int words = words_matched(&commands[i], argc, argv);
        if (words == 0)
            continue;
        ctl->argc = argc - words;
        ctl->argv = argv + words;
        return is_right_use(ctl, &commands[i]) ? commands[i].run(ctl) : VALVECTL_FINDING;
    }
    fprintf(stderr, "valvectl: no command '%s%s%s'; there are:", argv[0], argc > 1 ? " " : "",
            argc > 1 ? argv[1] : "");
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(stderr, "%s %s", i ? "," : "", commands[i].words);
    fputs("\n", stderr);
    return VALVECTL_FINDING;
}

#define ASSIGNMENTS_MAX 32

struct arguments {
    const char *assignments[ASSIGNMENTS_MAX];
    size_t n_assignments;
    char name_assignment[128];
};

// --set NAME=VALUE, or --name NAME for the suite's. False: too many of them.
static bool take_assignment(struct arguments *arguments, bool is_name, const char *value)
{
    if (arguments->n_assignments == ASSIGNMENTS_MAX) {
        fprintf(stderr, "valvectl: at most %d assignments\n", ASSIGNMENTS_MAX);
        return false;
    }
    if (is_name) {
        snprintf(arguments->name_assignment, sizeof(arguments->name_assignment),
                 "VALVECHAIN_NAME=%s", value);
        value = arguments->name_assignment;
    }
    arguments->assignments[arguments->n_assignments++] = value;
    return true;
}

// The options of simulate. False: too many of them.
static bool take_simulate_option(struct valvectl *ctl, int option, const char *value)
{
    if (option == 'p' && ctl->n_policies == VALVECTL_POLICIES_MAX) {
        fprintf(stderr, "valvectl: at most %d policies\n", VALVECTL_POLICIES_MAX);
        return false;
    }
    ctl->simulate_option = option == 'p'   ? "--policy"
                           : option == 'g' ? "--svg"
                           : option == 'd' ? "--start-delay"
                           : option == 't' ? "--target"
                                           : "--instances";
    if (option == 'p')
        ctl->policies[ctl->n_policies++] = value;
    else
        *(option == 'g'   ? &ctl->svg
          : option == 'd' ? &ctl->start_delay
          : option == 't' ? &ctl->target
                          : &ctl->instances) = value;
    return true;
}

// 0: go on; else the exit code plus one.
static int parse_arguments(struct valvectl *ctl, struct arguments *arguments, int argc, char **argv)
{
    static const struct option options[] = {
        {"name", required_argument, NULL, 'n'},
        {"set", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"watch", no_argument, NULL, 'w'},
        {"limit", required_argument, NULL, 'l'},
        {"for", required_argument, NULL, 'f'},
        {"reason", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {"since", required_argument, NULL, 'e'},
        {"policy", required_argument, NULL, 'p'},
        {"svg", required_argument, NULL, 'g'},
        {"start-delay", required_argument, NULL, 'd'},
        {"target", required_argument, NULL, 't'},
        {"instances", required_argument, NULL, 'i'},
        {"url", required_argument, NULL, 'u'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'n' || option == 's') {
            if (!take_assignment(arguments, option == 'n', optarg))
                return VALVECTL_FINDING + 1;
        } else if (option == 'j') {
            ctl->json = true;
        } else if (option == 'w') {
            ctl->watch = true;
        } else if (option == 'l') {
            ctl->limit = optarg;
        } else if (option == 'f') {
            ctl->for_text = optarg;
        } else if (option == 'r') {
            ctl->reason = optarg;
        } else if (option == 'e') {
            ctl->since = optarg;
        } else if (option == 'u') {
            ctl->url = optarg;
        } else if (strchr("pgdti", option) != NULL) {
            if (!take_simulate_option(ctl, option, optarg))
                return VALVECTL_FINDING + 1;
        } else if (option == 'h') {
            print_usage(stdout);
            return VALVECTL_OK + 1;
        } else if (option == 'v') {
            printf("valvectl %s, segment ABI %d\n", VALVECHAIN_VERSION, SEGMENT_ABI);
            return VALVECTL_OK + 1;
        } else {
            print_usage(stderr);
            return VALVECTL_FINDING + 1;
        }
    }
    return 0;
}

int valvectl_run(int argc, char **argv)
{
    struct valvectl ctl = {0};
    struct arguments arguments = {0};
    struct problems problems = PROBLEMS_INIT;
    int stop = parse_arguments(&ctl, &arguments, argc, argv);
    if (stop != 0)
        return stop - 1;
    if (optind >= argc) {
        print_usage(stderr);
        return VALVECTL_FINDING;
    }
    struct param_sources sources = {.assignments = arguments.assignments,
                                    .n_assignments = arguments.n_assignments};
    int result = VALVECTL_FINDING;
    param_check_assignments(&sources, &problems);
    int error = param_group_load(&suite_param_group, &sources, &ctl.suite, &problems);
    if (error == 0 && problems.n == 0)
        result = run_command(&ctl, argc - optind, argv + optind);
    if (error == 0)
        param_group_fini(&suite_param_group, &ctl.suite);
    for (size_t i = 0; i < problems.n; i++)
        fprintf(stderr, "valvectl: %s\n", problems.items[i]);
    problems_fini(&problems);
    return result;
}
