// CHECK_ENDPOINT: decides for a request that another proxy serves (check_ask.h says who asks how).
// It is charged to the limits of the original path; who the caller is follows from the same rules
// of trust as for requests of our own.
#include "check.h"

#include <string.h>

#include "check_ask.h"
#include "counters.h"
#include "limits.h"
#include "request.h"
#include "route_match.h"
#include "target.h"
#include "valves.h"

// Not 403: nginx takes that for a refusal of the client, anything else for the error that it is.
static enum step answer_forbidden(struct request *request)
{
    counters_check(request->valves, COUNTERS_CHECK_FORBIDDEN);
    return answer_problem(request, 404, "check_forbidden", "Not Found",
                          "Checks are answered to the peers of CHECK_ALLOW only.", NULL, NULL);
}

static enum step answer_bad(struct request *request, const struct check_problem *problem)
{
    counters_check(request->valves, COUNTERS_CHECK_BAD);
    return answer_problem(request, 400, problem->code, "Bad Request", problem->detail, NULL, NULL);
}

// The client's fault, not the asker's: an asker who knows 401 and 403 only gets that, and the field
// tells it from a limit.
static enum step answer_bad_target(struct request *request, const struct check_ask *ask,
                                   enum target_verdict verdict)
{
    counters_check(request->valves, COUNTERS_CHECK_BAD_TARGET);
    (void)request_add_answer_header(request, "X-Check-Refused", target_verdict_names[verdict]);
    unsigned status = ask->denied_status == 429 ? 400 : ask->denied_status;
    return answer_problem(request, status, target_verdict_names[verdict], answer_title(status),
                          target_verdict_details[verdict], NULL, NULL);
}

static enum step decide(struct request *request, const struct check_ask *ask, char *path,
                        size_t path_len)
{
    // The limits see the original request; log and counters go on seeing the check.
    char *own_path = request->path;
    size_t own_len = request->path_len;
    unsigned own_method = request->method_bit;
    request->path = path;
    request->path_len = path_len;
    request->method_bit = ask->method_bit != 0 ? ask->method_bit : own_method;
    route_look(request);
    enum step step = limits_ask(request, ask->cost, ask->denied_status);
    request->path = own_path;
    request->path_len = own_len;
    request->method_bit = own_method;
    // What becomes of the original is not known here: nothing is given back by our own status.
    limits_end(request); // nobody will tell when the original is over
    request->limits = (struct limit_verdict){0};
    request->match = (struct route_match){0};
    if (step == STEP_WAITS)
        return step;
    counters_check(request->valves,
                   step == STEP_NEXT ? COUNTERS_CHECK_ADMITTED : COUNTERS_CHECK_DENIED);
    if (step == STEP_ANSWERED)
        return step;
    request->source = ANSWER_SYSTEM;
    (void)request_add_answer_header(request, "Cache-Control", "no-store");
    return answer_text(request, 200, "", "", 0);
}

static enum step answer_ask(struct request *request, const struct check_ask *ask, char *below)
{
    if (ask->target == NULL)
        return decide(request, ask, below, strlen(below));
    char *path = request_alloc(request, ask->target_len + 2);
    struct target target;
    if (path == NULL)
        return answer_problem(request, 503, "no_memory", "Service Unavailable", NULL, NULL, NULL);
    // "" for the host: the absolute form is no original target of any of these proxies.
    enum target_verdict verdict =
        target_normalize(ask->target, ask->target_len, "GET", "", path, &target);
    if (verdict != TARGET_OK)
        return answer_bad_target(request, ask, verdict);
    return decide(request, ask, path, target.path_len);
}

enum step check_answer(struct request *request)
{
    const struct front_params *params = valves_front_params(request->valves);
    if (params->admin_port != PARAM_UNSET && !request->admin)
        return STEP_NEXT;
    if (!route_path_matches(params->check_path, request->path, request->path_len))
        return STEP_NEXT;
    request->route_counters = counters_route(request->valves->counters, COUNTERS_ROUTE_CHECK);
    if (!cidr_list_has(&request->valves->check_allow, &request->identity.peer))
        return answer_forbidden(request);
    size_t prefix_len = strlen(params->check_path);
    prefix_len -= params->check_path[prefix_len - 1] == '/'; // as route_path_matches reads it
    char *below = request->path + prefix_len;
    if (below[0] == '\0' && (request->method_bit & (HTTP_GET | HTTP_HEAD | HTTP_POST)) == 0) {
        (void)request_add_answer_header(request, "Allow", "GET, HEAD, POST");
        return answer_problem(request, 405, "method_not_allowed", "Method Not Allowed",
                              "A check is asked for by GET or POST.", NULL, NULL);
    }
    struct check_ask ask;
    struct check_problem problem;
    if (!check_ask_read(below, request->query, request->headers, request->n_headers, &ask,
                        &problem))
        return answer_bad(request, &problem);
    return answer_ask(request, &ask, below);
}
