#include "front.h"
#include "front_metrics.h"
#include "front_params.h"
#include "service/service.h"

static const struct service_descriptor descriptor = {
    .name = "api-front",
    .summary = "The gateway: takes requests, applies limits and breakers, calls the upstream",
    .groups = front_param_groups,
    .metrics = front_metric_defs,
    .n_metrics = FRONT_METRICS,
    .check = front_check,
    .setup = front_setup,
    .reload = front_reload,
    .drain = front_drain,
    .teardown = front_teardown,
};

int main(int argc, char **argv)
{
    return service_run(&descriptor, argc, argv);
}
