#include "counters.h"
#include "front.h"
#include "request.h"
#include "route_match.h"
#include "valves.h"

static enum step answer_wrong_method(struct request *request, unsigned allowed)
{
    struct strbuf allow = STRBUF_INIT;
    route_allow_field(allowed, &allow);
    // An empty Allow is what RFC 9110 10.2.1 asks for when only unnamed methods are left.
    (void)request_add_answer_header(request, "Allow", strbuf_text(&allow));
    strbuf_fini(&allow);
    return answer_problem(request, 405, "method_not_allowed", "Method Not Allowed",
                          "The resource does not take this method; Allow names those it takes.",
                          NULL, NULL);
}

void route_look(struct request *request)
{
    request->match = route_find(request->model_ref->model, request->host, request->path,
                                request->path_len, request->method_bit);
}

enum step route_apply(struct request *request)
{
    const struct config_model *model = request->model_ref->model;
    request->route_counters = counters_route(request->valves->counters, COUNTERS_ROUTE_NONE);
    if (model->n_upstreams == 0)
        return answer_problem(request, 404, "no_upstream", "No Upstream Configured",
                              "This gateway has no backend yet. Set UPSTREAM_URL (for instance "
                              "UPSTREAM_URL=http://app:8080) or name routes in CONFIG_FILE.",
                              NULL, NULL);
    struct route_match match = request->match;
    if (match.route == NULL && match.allowed_methods != 0)
        return answer_wrong_method(request, match.allowed_methods);
    if (match.route == NULL)
        return answer_problem(request, 404, "no_route", "Not Found",
                              "No route of this gateway takes this path.", NULL, NULL);
    request->route = match.route;
    request->upstream = &model->upstreams[match.route->upstream];
    request->route_counters = counters_route(request->valves->counters, match.route->name);
    return STEP_NEXT;
}
