// valvectl config check FILE: the same parser as the processes use, all problems at once.
#include <stdio.h>

#include "config/model.h"
#include "valvectl.h"

int command_config_check(struct valvectl *ctl)
{
    struct problems problems = PROBLEMS_INIT;
    struct config_model *model = NULL;
    if (ctl->argc != 1) {
        fprintf(stderr, "valvectl: config check takes one file\n");
        return VALVECTL_FINDING;
    }
    int error = config_model_load(ctl->argv[0], &problems, &model);
    for (size_t i = 0; i < problems.n; i++)
        fprintf(stderr, "%s\n", problems.items[i]);
    if (error == 0)
        printf("%s: good: %zu upstreams, %zu routes, %zu parameters\n", ctl->argv[0],
               model->n_upstreams, model->n_routes, model->n_parameters);
    problems_fini(&problems);
    config_model_destroy(&model);
    return error == 0 ? VALVECTL_OK : VALVECTL_FINDING;
}
