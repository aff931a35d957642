#include "service/service_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "service/nearest.h"

#define NAMES_MAX 512

size_t service_group_count(const struct service_descriptor *descriptor)
{
    size_t n = 0;

    while (descriptor->groups && descriptor->groups[n])
        n++;
    return n;
}

// Group 0 is the suite's, the descriptor's follow. NULL past the end.
static const struct param_group *group_at(const struct service_descriptor *descriptor, size_t i)
{
    if (i == 0)
        return &suite_param_group;
    return i <= service_group_count(descriptor) ? descriptor->groups[i - 1] : NULL;
}

static void *group_params(struct service_config *config, size_t i)
{
    return i == 0 ? &config->suite : config->params[i - 1];
}

static void check_assignment(const struct service_descriptor *descriptor, const char *assignment,
                             struct problems *problems)
{
    const char *names[NAMES_MAX], *near;
    const struct param_group *group;
    size_t n = 0, len = (size_t)(strchr(assignment, '=') - assignment);
    char *name = strndup(assignment, len);

    for (size_t i = 0; name && (group = group_at(descriptor, i)); i++)
        for (size_t j = 0; j < group->n_rows && n < NAMES_MAX; j++)
            names[n++] = group->rows[j].name;
    for (size_t i = 0; name && i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            free(name);
            return;
        }
    }
    near = name ? nearest_name(name, names, n) : NULL;
    if (near)
        problems_add(problems, "--set: %s has no parameter '%s'; did you mean '%s'?",
                     descriptor->name, name, near);
    else
        problems_add(problems, "--set: %s has no parameter '%s'; --help lists those it has",
                     descriptor->name, name ? name : "");
    free(name);
}

// Where the file is has to be known before the file can set anything; so this one row comes from
// the environment and --set alone.
static int load_model(const struct param_sources *sources, struct problems *problems,
                      struct config_model **ret_model)
{
    struct param_group group = suite_param_group;
    struct suite_params suite = {0};
    int error;

    for (size_t i = 0; i < suite_param_group.n_rows; i++)
        if (strcmp(suite_param_group.rows[i].name, "CONFIG_FILE") == 0)
            group.rows = &suite_param_group.rows[i];
    group.n_rows = 1;
    error = param_group_load(&group, sources, &suite, problems);
    if (error < 0)
        return error;
    if (suite.config_file && *suite.config_file) {
        error = config_model_load(suite.config_file, problems, ret_model);
    } else {
        *ret_model = config_model_empty();
        error = *ret_model ? 0 : -ENOMEM;
    }
    param_group_fini(&group, &suite);
    return error;
}

static const char *value_of_file(void *arg, const char *name)
{
    return config_model_parameter(arg, name);
}

// Loads every group, so that all bad values show at once. A group that fails stays zeroed.
static int load_groups(const struct service_descriptor *descriptor,
                       const struct param_sources *sources, struct problems *problems,
                       struct service_config *config)
{
    const struct param_group *group;
    int result = 0;

    config->params = calloc(service_group_count(descriptor) + 1, sizeof(*config->params));
    if (!config->params)
        return -ENOMEM;
    for (size_t i = 0; (group = group_at(descriptor, i)); i++) {
        int error;

        if (i) {
            config->params[i - 1] = calloc(1, group->struct_bytes ? group->struct_bytes : 1);
            if (!config->params[i - 1])
                return -ENOMEM;
        }
        error = param_group_load(group, sources, group_params(config, i), problems);
        if (error < 0)
            result = error;
    }
    return result;
}

void service_config_fini(const struct service_descriptor *descriptor, struct service_config *config)
{
    param_group_fini(&suite_param_group, &config->suite);
    for (size_t i = 0; config->params && i < service_group_count(descriptor); i++) {
        if (config->params[i])
            param_group_fini(descriptor->groups[i], config->params[i]);
        free(config->params[i]);
    }
    free(config->params);
    config_model_destroy(&config->model);
    *config = (struct service_config){0};
}

static int check_whole(const struct service_descriptor *descriptor, struct service_config *config,
                       struct problems *problems)
{
    for (size_t i = 0; i < service_group_count(descriptor); i++)
        if (descriptor->groups[i] == &upstreams_param_group &&
            config_model_add_params(config->model, config->params[i], problems) < 0)
            return -EINVAL;
    if (!descriptor->check)
        return 0;
    return descriptor->check(config->params, config->model, problems);
}

int service_config_load(const struct service_descriptor *descriptor,
                        const struct service_args *args, struct problems *problems,
                        struct service_config *ret_config)
{
    struct service_config config = {0};
    struct param_sources sources = {.assignments = args->assignments,
                                    .n_assignments = args->n_assignments};
    size_t n_before = problems->n;
    int error;

    for (size_t i = 0; i < args->n_assignments; i++)
        check_assignment(descriptor, args->assignments[i], problems);
    load_model(&sources, problems, &config.model);
    if (config.model) {
        sources.config_value = value_of_file;
        sources.config_arg = config.model;
    }
    error = load_groups(descriptor, &sources, problems, &config);
    if (!error && config.model && problems->n == n_before)
        error = check_whole(descriptor, &config, problems);
    if (!error && config.model && problems->n == n_before) {
        *ret_config = config;
        return 0;
    }
    if (problems->n == n_before)
        problems_add(problems, "the configuration could not be loaded: %s",
                     strerror(error ? -error : ENOMEM));
    service_config_fini(descriptor, &config);
    return -EINVAL;
}

void service_config_dump(const struct service_descriptor *descriptor,
                         const struct service_config *config, struct strbuf *out)
{
    const struct param_group *group;

    for (size_t i = 0; (group = group_at(descriptor, i)); i++)
        param_group_dump(group, i ? config->params[i - 1] : &config->suite, out);
}

enum log_level service_log_level(const struct suite_params *suite)
{
    if (suite->log_level > 0) // choices: auto|error|warn|info|debug
        return (enum log_level)(LOG_LEVEL_ERROR + suite->log_level - 1);
    return suite->environment == ENVIRONMENT_DEVELOPMENT ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
}

// Swaps the field if it differs; the loser is freed with the old configuration.
static bool keep_field(const struct param_row *row, char *old, char *fresh)
{
    static const size_t sizes[] = {[PARAM_TYPE_UINT] = sizeof(uint64_t),
                                   [PARAM_TYPE_BOOL] = sizeof(bool),
                                   [PARAM_TYPE_STR] = sizeof(char *),
                                   [PARAM_TYPE_ENUM] = sizeof(int)};
    char held[sizeof(uint64_t)];
    size_t size = sizes[row->type];
    void *a = old + row->offset, *b = fresh + row->offset;

    if (row->type == PARAM_TYPE_STR) {
        const char *x = *(char **)a, *y = *(char **)b;

        if (x == y || (x && y && strcmp(x, y) == 0))
            return false;
    } else if (memcmp(a, b, size) == 0) {
        return false;
    }
    memcpy(held, a, size);
    memcpy(a, b, size);
    memcpy(b, held, size);
    return true;
}

void service_config_keep_fixed(const struct service_descriptor *descriptor,
                               struct service_config *old, struct service_config *fresh,
                               struct strbuf *ret_kept)
{
    const struct param_group *group;

    for (size_t i = 0; (group = group_at(descriptor, i)); i++) {
        for (size_t j = 0; j < group->n_rows; j++) {
            const struct param_row *row = &group->rows[j];

            if ((row->flags & PARAM_RELOAD) ||
                !keep_field(row, group_params(old, i), group_params(fresh, i)))
                continue;
            strbuf_printf(ret_kept, "%s%s", ret_kept->len ? ", " : "", row->name);
        }
    }
}
