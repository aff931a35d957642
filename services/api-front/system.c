#include "system.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "counters.h"
#include "history/history_query.h"
#include "page/page.h"
#include "request.h"
#include "service/suite_metrics.h"

typedef enum step answer_fn(struct request *request);

struct endpoint {
    const char *path;
    answer_fn *answer;
    bool enabled;
};

json_t *system_rounded(double value)
{
    return isfinite(value) ? json_real(round(value * 100) / 100) : json_null();
}

json_t *system_figure(const struct figure *figure, double scale)
{
    return figure->known ? system_rounded(figure->value * scale) : json_null();
}

bool system_is_ready(const struct valves *valves)
{
    struct slot_info slot;
    const struct service *service = valves->service;
    return !service->draining && slot_read(service->segment, slot_index(service->slot), &slot) &&
           slot.ready;
}

// Takes the tree over.
static enum step answer_json(struct request *request, unsigned status, json_t *root)
{
    // Twelve digits: 45.2 is written as 45.2 and a counter stays exact.
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(root);
    if (text == NULL)
        return answer_problem(request, 503, "out_of_memory", "Service Unavailable",
                              "There is no memory for this answer.", NULL, NULL);
    (void)request_add_answer_header(request, "Cache-Control", "no-store");
    enum step step = answer_text(request, status, "application/json", text, strlen(text));
    free(text);
    return step;
}

static enum step answer_health(struct request *request)
{
    unsigned status = 503;
    json_t *report = system_health_report(request->valves, &status);
    return answer_json(request, status, report);
}

static enum step answer_autoscaling(struct request *request)
{
    return answer_json(request, 200, system_autoscaling_report(request->valves));
}

static enum step answer_advice(struct request *request)
{
    struct strbuf text = STRBUF_INIT;
    unsigned status = system_advice_write(request->valves, &text);
    enum step step = STEP_ANSWERED;
    if (status != 0 && strbuf_ok(&text)) {
        (void)request_add_answer_header(request, "Cache-Control", "no-store");
        step = answer_text(request, status, "application/json", strbuf_text(&text), text.len);
    } else {
        step = answer_problem(request, 503, "no_advice", "Service Unavailable",
                              "There is no advice: scaler-advisor does not run, or has not decided "
                              "within the last minute.",
                              NULL, NULL);
    }
    strbuf_fini(&text);
    return step;
}

static enum step answer_limits(struct request *request)
{
    json_t *report = system_limit_report(request->valves);
    json_object_set_new(report, "topRefused", system_limit_top(request));
    return answer_json(request, 200, report);
}

static enum step answer_breakers(struct request *request)
{
    return answer_json(request, 200, system_breaker_report(request->valves));
}

static enum step answer_live(struct request *request)
{
    return answer_json(request, 200, json_pack("{s:s}", "status", "alive"));
}

static enum step answer_ready(struct request *request)
{
    bool ready = system_is_ready(request->valves);
    const char *status = request->valves->service->draining ? "draining"
                         : ready                            ? "ready"
                                                            : "starting";
    return answer_json(request, ready ? 200 : 503, json_pack("{s:s}", "status", status));
}

// Several lines of one name are one list (RFC 9110, 5.3).
static enum exposition_form metrics_form(const struct request *request)
{
    struct strbuf accept = STRBUF_INIT;
    for (size_t i = 0; i < request->n_headers; i++)
        if (strcasecmp(request->headers[i].name, "accept") == 0) {
            strbuf_append(&accept, request->headers[i].value, request->headers[i].value_len);
            strbuf_puts(&accept, ",");
        }
    enum exposition_form form = exposition_form_of_accept(strbuf_text(&accept));
    strbuf_fini(&accept);
    return form;
}

static enum step answer_metrics(struct request *request)
{
    struct strbuf text = STRBUF_INIT;
    enum exposition_form form = metrics_form(request);
    int error = suite_metrics_write(request->valves->service->segment, request->valves->breakers,
                                    form, clock_mono_ns(), &text);
    enum step step = STEP_ANSWERED;
    if (error == 0 && strbuf_ok(&text)) {
        (void)request_add_answer_header(request, "Cache-Control", "no-store");
        (void)request_add_answer_header(request, "Vary", "Accept");
        step =
            answer_text(request, 200, exposition_content_type(form), strbuf_text(&text), text.len);
    } else {
        step = answer_problem(request, 503, "metrics_unreadable", "Service Unavailable",
                              "The metrics of the suite cannot be read at the moment.", NULL, NULL);
    }
    strbuf_fini(&text);
    return step;
}

static enum step answer_history(struct request *request)
{
    struct strbuf text = STRBUF_INIT;
    struct history_query query;
    char problem[HISTORY_PROBLEM_MAX] = "The history cannot be read at the moment.";
    char *copy = strdup(request->query);
    int error = copy != NULL ? history_query_read(copy, &query, problem) : -ENOMEM;
    if (error == 0)
        error = history_answer(history_of(request->valves->service->segment), &query,
                               clock_wall_ns() / NS_PER_S, &text, problem);
    enum step step = STEP_ANSWERED;
    if (error == 0) {
        (void)request_add_answer_header(request, "Cache-Control", "no-store");
        step = answer_text(request, 200, "application/json", strbuf_text(&text), text.len);
    } else if (error == -EINVAL) {
        step = answer_problem(request, 400, "bad_parameter", "Bad Request", problem, NULL, NULL);
    } else {
        step = answer_problem(request, 503, "history_unreadable", "Service Unavailable", problem,
                              NULL, NULL);
    }
    free(copy);
    strbuf_fini(&text);
    return step;
}

// What follows DASHBOARD_ENDPOINT in the path, in `below` when it fits. False: it is not below it.
static bool page_below(const struct request *request, char *below, size_t cap)
{
    const char *path = valves_monitoring_params(request->valves)->dashboard_path;
    size_t len = strlen(path);
    if (request->path_len < len || memcmp(request->path, path, len) != 0 ||
        (request->path_len > len && request->path[len] != '/'))
        return false;
    (void)snprintf(below, cap, "%.*s", (int)(request->path_len - len), request->path + len);
    return true;
}

static enum step answer_page_file(struct request *request, const struct page_file *file)
{
    const struct http_header *known = request_header(request, "if-none-match");
    for (size_t i = 0; i < PAGE_HEADERS; i++)
        (void)request_add_answer_header(request, page_headers[i].name, page_headers[i].value);
    (void)request_add_answer_header(request, "ETag", file->etag);
    if (known != NULL && page_is_known(file, known->value, known->value_len))
        return answer_text(request, 304, file->content_type, "", 0);
    return answer_text(request, 200, file->content_type, (const char *)file->bytes, file->len);
}

static enum step answer_page_state(struct request *request)
{
    const struct service *service = request->valves->service;
    struct strbuf text = STRBUF_INIT;
    if (page_state(service->segment, request->valves->breakers, service->suite->name,
                   clock_mono_ns(), clock_wall_ns(), &text) < 0)
        strbuf_fini(&text);
    (void)request_add_answer_header(request, "Cache-Control", "no-store");
    enum step step = answer_text(request, text.len > 0 ? 200 : 503, "application/json",
                                 strbuf_text(&text), text.len);
    strbuf_fini(&text);
    return step;
}

static enum step answer_page(struct request *request)
{
    char below[64];
    if (!page_below(request, below, sizeof(below)) || below[0] == '\0') {
        // Relative, so that it holds behind a proxy that takes a prefix away.
        const char *path = valves_monitoring_params(request->valves)->dashboard_path;
        char folder[PATH_MAX];
        (void)snprintf(folder, sizeof(folder), "%s/", strrchr(path, '/') + 1);
        (void)request_add_answer_header(request, "Location", folder);
        return answer_text(request, 308, "text/plain; charset=utf-8", "", 0);
    }
    if (strcmp(below, "/state") == 0)
        return answer_page_state(request);
    if (strcmp(below, "/history") == 0)
        return answer_history(request);
    const struct page_file *file = page_file(below + 1);
    if (file == NULL)
        return answer_problem(request, 404, "no_endpoint", "Not Found",
                              "The page has no such file.", NULL, NULL);
    return answer_page_file(request, file);
}

static bool find_endpoint(const struct request *request, struct endpoint *ret_endpoint)
{
    const struct front_params *front = valves_front_params(request->valves);
    const struct monitoring_params *monitoring = valves_monitoring_params(request->valves);
    const struct endpoint rows[] = {
        {monitoring->health_path, answer_health, monitoring->health_enabled},
        {monitoring->metrics_path, answer_metrics, monitoring->metrics_enabled},
        {monitoring->history_path, answer_history, monitoring->history_enabled},
        {monitoring->dashboard_path, answer_page, monitoring->dashboard_enabled},
        {front->autoscaling_path, answer_autoscaling, true},
        {front->advice_path, answer_advice, true},
        {front->limit_stats_path, answer_limits, true},
        {front->breaker_stats_path, answer_breakers, true},
        {front->live_path, answer_live, true},
        {front->ready_path, answer_ready, true},
    };
    char below[2];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if ((strlen(rows[i].path) == request->path_len &&
             memcmp(rows[i].path, request->path, request->path_len) == 0) ||
            (rows[i].answer == answer_page && page_below(request, below, sizeof(below)))) {
            *ret_endpoint = rows[i];
            return true;
        }
    return false;
}

// A forwarding header from a peer outside TRUSTED_PROXIES hides who asks, and a trusted one that
// names no address does too: neither opens this door.
static bool is_allowed(const struct request *request)
{
    const struct identity *identity = &request->identity;
    return !identity->forwarded_by_untrusted && !identity->client_uncertain &&
           cidr_list_has(&request->valves->system_allow, &identity->client);
}

static enum step answer_forbidden(struct request *request)
{
    counters_add(request->valves, METRIC_INDEX_system_refused, 1);
    if (request->identity.forwarded_by_untrusted)
        return answer_problem(request, 403, "system_forbidden", "Forbidden",
                              "System endpoints are not open to requests whose forwarding headers "
                              "come from a peer outside TRUSTED_PROXIES.",
                              NULL, NULL);
    return answer_problem(request, 403, "system_forbidden", "Forbidden",
                          "System endpoints are open to the addresses of SYSTEM_ALLOW only.", NULL,
                          NULL);
}

static enum step answer_not_here(struct request *request)
{
    return answer_problem(request, 404, "no_endpoint", "Not Found",
                          "This port serves the system endpoints only, and this is none of them.",
                          NULL, NULL);
}

enum step system_answer(struct request *request)
{
    // With ADMIN_PORT set the public port knows no system endpoints, and the other nothing else.
    bool admin_only = valves_front_params(request->valves)->admin_port != PARAM_UNSET;
    if (admin_only && !request->admin)
        return STEP_NEXT;
    struct endpoint endpoint;
    bool is_ours = find_endpoint(request, &endpoint);
    if (!is_ours && !request->admin)
        return STEP_NEXT;
    request->route_counters = counters_route(request->valves->counters, COUNTERS_ROUTE_SYSTEM);
    if (!is_ours)
        return answer_not_here(request);
    if (!is_allowed(request))
        return answer_forbidden(request);
    if (!endpoint.enabled)
        return answer_problem(request, 404, "endpoint_disabled", "Not Found",
                              "This endpoint is switched off (METRICS_ENABLED, "
                              "HEALTH_CHECK_ENABLED, HISTORY_ENABLED, DASHBOARD_ENABLED).",
                              NULL, NULL);
    if ((request->method_bit & (HTTP_GET | HTTP_HEAD)) == 0) {
        (void)request_add_answer_header(request, "Allow", "GET, HEAD");
        return answer_problem(request, 405, "method_not_allowed", "Method Not Allowed",
                              "System endpoints can only be read.", NULL, NULL);
    }
    request->source = ANSWER_SYSTEM;
    return endpoint.answer(request);
}
