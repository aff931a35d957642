// valvectl config check FILE: the parser and the parameters' rows of all processes, all problems at
// once. What only one process can judge (lists of addresses, two values together) its --check
// tells.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/model.h"
#include "net/bus.h"         // BUS_KEY_FORM of params.def
#include "net/http_server.h" // HTTP_ADDRESS_FORM of params.def
#include "net/upstream_pem.h"
#include "service_groups.inc"
#include "valvectl.h"

static const char *value_of_file(void *arg, const char *name)
{
    return config_model_parameter(arg, name);
}

static const char *place_in_file(void *arg, const char *name)
{
    return config_model_parameter_place(arg, name);
}

static void check_group(const struct param_group *group, struct config_model *model,
                        struct problems *problems)
{
    struct param_sources sources = {.config_value = value_of_file,
                                    .config_place = place_in_file,
                                    .config_arg = model,
                                    .file_only = true};
    void *params = calloc(1, group->struct_bytes ? group->struct_bytes : 1);
    if (!params) {
        problems_add(problems, "out of memory while reading the parameters");
    } else if (param_group_load(group, &sources, params, problems) == 0) {
        if (group == &upstreams_param_group)
            config_model_add_params(model, params, problems);
        param_group_fini(group, params);
    }
    free(params);
}

static void check_parameters(struct config_model *model, struct problems *problems)
{
    static const struct param_group *const shared_groups[] = {
        &suite_param_group,     &limits_param_group,     &breakers_param_group,
        &upstreams_param_group, &monitoring_param_group, &autoscaling_param_group};
    for (size_t i = 0; i < sizeof(shared_groups) / sizeof(shared_groups[0]); i++)
        check_group(shared_groups[i], model, problems);
    for (size_t i = 0; i < sizeof(service_groups) / sizeof(service_groups[0]); i++)
        check_group(&service_groups[i], model, problems);
}

int command_config_check(struct valvectl *ctl)
{
    struct problems problems = PROBLEMS_INIT;
    struct config_model *model = NULL;
    if (ctl->argc != 1) {
        fprintf(stderr, "valvectl: config check takes one file\n"); // none: more are refused before
        return VALVECTL_FINDING;
    }
    const char *file = ctl->argv[0];
    if (config_model_load(file, &problems, &model) == -EINVAL)
        model = config_model_load_parameters(file);
    if (model)
        check_parameters(model, &problems);
    if (model && problems.n == 0) // else names may be missing, and NULL
        (void)upstream_pem_check(model, &problems);
    for (size_t i = 0; i < problems.n; i++)
        fprintf(stderr, "%s\n", problems.items[i]);
    bool good = model && problems.n == 0;
    if (good)
        printf("%s: good: %zu upstreams, %zu routes, %zu parameters\n", file, model->n_upstreams,
               model->n_routes, model->n_parameters);
    problems_fini(&problems);
    config_model_destroy(&model);
    return good ? VALVECTL_OK : VALVECTL_FINDING;
}
