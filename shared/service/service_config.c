#include "service/service_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static bool has_parameter(const struct service_descriptor *descriptor, const char *name, size_t len)
{
    const struct param_group *group;

    for (size_t i = 0; (group = group_at(descriptor, i)); i++) {
        for (size_t j = 0; j < group->n_rows; j++) {
            const struct param_row *row = &group->rows[j];

            if (strlen(row->name) == len && strncmp(row->name, name, len) == 0)
                return true;
            if (row->alias && strlen(row->alias) == len && strncmp(row->alias, name, len) == 0)
                return true;
        }
    }
    return false;
}

// A parameter of another process, given to this one, would be read by nobody.
static void check_assignments(const struct service_descriptor *descriptor,
                              const struct param_sources *sources, struct problems *problems)
{
    param_check_assignments(sources, problems);
    for (size_t i = 0; i < sources->n_assignments; i++) {
        const char *text = sources->assignments[i], *nearest;
        size_t len = strcspn(text, "=");
        char *name = strndup(text, len);

        if (name && param_is_known(name, &nearest) && !has_parameter(descriptor, name, len))
            problems_add(problems,
                         "--set: %s is a parameter of another process, not of %s; --help lists "
                         "those it has",
                         name, descriptor->name);
        free(name);
    }
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
        if (error == -EINVAL)
            *ret_model = config_model_load_parameters(suite.config_file);
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

static const char *place_in_file(void *arg, const char *name)
{
    return config_model_parameter_place(arg, name);
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

// Also after other problems, so that a bad URL is told with them: a group that failed is zeroed and
// adds nothing.
static int add_upstreams(const struct service_descriptor *descriptor, struct service_config *config,
                         struct problems *problems)
{
    for (size_t i = 0; i < service_group_count(descriptor); i++)
        if (descriptor->groups[i] == &upstreams_param_group)
            return config_model_add_params(config->model, config->params[i], problems);
    return 0;
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

    check_assignments(descriptor, &sources, problems);
    load_model(&sources, problems, &config.model);
    if (config.model) {
        sources.config_value = value_of_file;
        sources.config_place = place_in_file;
        sources.config_arg = config.model;
    }
    error = load_groups(descriptor, &sources, problems, &config);
    if (error != -ENOMEM && config.model && add_upstreams(descriptor, &config, problems) < 0)
        error = -EINVAL;
    if (!error && config.model && descriptor->check && problems->n == n_before)
        error = descriptor->check(config.params, config.model, problems);
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

void service_config_keep_fixed(const struct service_descriptor *descriptor,
                               struct service_config *running, struct service_config *fresh,
                               struct strbuf *ret_names)
{
    const struct param_group *group;

    for (size_t i = 0; (group = group_at(descriptor, i)); i++)
        param_group_keep(group, group_params(running, i), group_params(fresh, i), ret_names);
}
