// The part of valves.c that knows networks which are always refused or bound by no limit.
#include "valves.h"

int valves_load_networks(struct valves *valves, struct problems *problems)
{
    struct networks networks;
    int error = networks_parse(valves_limits_params(valves), problems, &networks);
    if (error == 0) {
        networks_fini(&valves->networks);
        valves->networks = networks;
    }
    return error;
}

int valves_attach_networks(struct valves *valves, struct problems *problems)
{
    struct service *service = valves->service;
    int error = operator_attach(service->segment, &valves->operators);
    valves->top = top_of_slot(service->segment, slot_index(service->slot));
    return error == 0 ? valves_load_networks(valves, problems) : error;
}
