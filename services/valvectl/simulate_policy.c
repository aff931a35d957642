#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/model.h"
#include "config/params.h"
#include "simulate.h"

static const char *value_of_file(void *arg, const char *name)
{
    return config_model_parameter(arg, name);
}

static const char *place_in_file(void *arg, const char *name)
{
    return config_model_parameter_place(arg, name);
}

static void name_after(const char *path, char ret_name[SIMULATE_NAME_MAX])
{
    const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    size_t len = dot != NULL && dot != base ? (size_t)(dot - base) : strlen(base);
    snprintf(ret_name, SIMULATE_NAME_MAX, "%.*s", (int)(len < SIMULATE_NAME_MAX ? len : 63), base);
}

static int compile(struct config_model *model, struct problems *problems,
                   struct advice_policy *ret_policy)
{
    struct autoscaling_params params;
    const struct param_sources sources = {.config_value = value_of_file,
                                          .config_place = place_in_file,
                                          .config_arg = model,
                                          .file_only = true};
    int error = param_group_load(&autoscaling_param_group, &sources, &params, problems);
    if (error < 0)
        return error;
    // How old a sample may be follows the trace's step (simulation.c).
    error = advice_policy_compile(&params, &model->advice, 1, problems, ret_policy);
    param_group_fini(&autoscaling_param_group, &params);
    return error;
}

int simulate_load_policy(const char *path, struct simulated *ret_run)
{
    struct problems problems = PROBLEMS_INIT;
    struct config_model *model = NULL;
    struct simulated run = {0};
    int error = config_model_load(path, &problems, &model);
    if (error == 0)
        error = compile(model, &problems, &run.policy);
    for (size_t i = 0; i < problems.n; i++)
        fprintf(stderr, "valvectl: %s\n", problems.items[i]);
    if (error < 0 && problems.n == 0)
        fprintf(stderr, "valvectl: %s: %s\n", path, strerror(-error));
    problems_fini(&problems);
    config_model_destroy(&model);
    if (error < 0)
        return error;
    name_after(path, run.name);
    *ret_run = run;
    return 0;
}

void simulate_reference(const struct advice_policy *like, double target_percent,
                        struct simulated *ret_run)
{
    *ret_run = (struct simulated){
        .name = "hpa-v2",
        .policy = advice_policy_hpa(target_percent, like->min_instances, like->max_instances)};
}
