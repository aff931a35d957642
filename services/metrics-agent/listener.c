#include "listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "history/history_query.h"
#include "net/http_server.h"
#include "page/page.h"
#include "service/suite_metrics.h"

struct listener {
    struct service *service;
    struct http_server *server; // NULL: port 0, or not open yet
    bool is_open;
    int last_error; // said once
    char *address;
    char *metrics_path;     // NULL: METRICS_ENABLED=false
    char *history_path;     // NULL: HISTORY_ENABLED=false
    char *dashboard_path;   // NULL: DASHBOARD_ENABLED=false
    char *dashboard_folder; // the same, ended by a slash
    uint64_t scrapes;
    struct breaker_view *breakers;
};

static void answer_text(struct http_answer *answer, unsigned status, const char *text)
{
    answer->status = status;
    strbuf_puts(&answer->body, text);
}

static void answer_history(const struct listener *listener, const struct http_question *question,
                           struct http_answer *answer)
{
    const struct history_query query = {.name = http_question_argument(question, "name"),
                                        .from = http_question_argument(question, "from"),
                                        .to = http_question_argument(question, "to"),
                                        .step = http_question_argument(question, "step")};
    char problem[HISTORY_PROBLEM_MAX];
    int error = history_answer(history_of(listener->service->segment), &query,
                               clock_wall_ns() / NS_PER_S, &answer->body, problem);
    if (error == 0) {
        answer->content_type = "application/json";
        return;
    }
    strbuf_clear(&answer->body);
    answer_text(answer, error == -EINVAL ? 400 : 503, error == -EINVAL ? problem : "out of memory");
    strbuf_puts(&answer->body, "\n");
}

static void answer_file(const struct page_file *file, const struct http_question *question,
                        struct http_answer *answer)
{
    struct http_field *field = answer->fields;
    for (size_t i = 0; i < PAGE_HEADERS; i++)
        *field++ = (struct http_field){page_headers[i].name, page_headers[i].value};
    *field = (struct http_field){"ETag", file->etag};
    answer->content_type = file->content_type;
    if (page_is_known(file, question->if_none_match, strlen(question->if_none_match)))
        answer->status = 304;
    else
        strbuf_append(&answer->body, file->bytes, file->len);
}

// `below`: what follows DASHBOARD_ENDPOINT.
static void answer_page(const struct listener *listener, const struct http_question *question,
                        const char *below, struct http_answer *answer)
{
    const struct service *service = listener->service;
    const struct page_file *file = below[0] == '/' ? page_file(below + 1) : NULL;
    if (below[0] == '\0') {
        answer->status = 308;
        answer->fields[0] = (struct http_field){"Location", listener->dashboard_folder};
    } else if (strcmp(below, "/history") == 0) {
        answer_history(listener, question, answer);
    } else if (strcmp(below, "/state") == 0) {
        answer->content_type = "application/json";
        if (page_state(service->segment, listener->breakers, service->suite->name, clock_mono_ns(),
                       clock_wall_ns(), &answer->body) < 0)
            answer->status = 503;
    } else if (file) {
        answer_file(file, question, answer);
    } else {
        answer_text(answer, 404, "the page has no such file\n");
    }
}

// What of the path follows that of the page; NULL: it is not below it.
static const char *below_page(const struct listener *listener, const char *path)
{
    size_t len = listener->dashboard_path ? strlen(listener->dashboard_path) : 0;
    if (len == 0 || strncmp(path, listener->dashboard_path, len) != 0 ||
        (path[len] != '\0' && path[len] != '/'))
        return NULL;
    return path + len;
}

static void on_question(void *arg, const struct http_question *question, struct http_answer *answer)
{
    struct listener *listener = arg;
    const char *below = below_page(listener, question->path);
    if (below) {
        answer_page(listener, question, below, answer);
    } else if (listener->metrics_path && strcmp(question->path, listener->metrics_path) == 0) {
        listener->scrapes++;
        enum exposition_form form = exposition_form_of_accept(question->accept);
        answer->content_type = exposition_content_type(form);
        if (suite_metrics_write(listener->service->segment, listener->breakers, form,
                                clock_mono_ns(), &answer->body) < 0) {
            strbuf_clear(&answer->body);
            answer->content_type = "text/plain; charset=utf-8";
            answer_text(answer, 503, "out of memory\n");
        }
    } else if (listener->history_path && strcmp(question->path, listener->history_path) == 0) {
        answer_history(listener, question, answer);
    } else if (strcmp(question->path, "/livez") == 0) {
        answer_text(answer, 200, "alive\n");
    } else if (strcmp(question->path, "/readyz") == 0) {
        bool draining = listener->service->draining;
        answer_text(answer, draining ? 503 : 200, draining ? "draining\n" : "ready\n");
    } else {
        answer_text(answer, 404,
                    "there are /livez, /readyz, the metrics, the history and the page\n");
    }
}

// A side door that cannot be opened is a finding, no reason to stop measuring: somebody may hold
// the port for a while (another suite, the process we replace).
static int open_server(struct listener *listener)
{
    char finding[160];
    int error = http_server_open(listener->service->loop, listener->address, on_question, listener,
                                 &listener->server);
    listener->is_open = error == 0;
    if (error == -EINVAL || error == -ENOMEM || error == listener->last_error)
        return error;
    listener->last_error = error;
    if (error == 0) {
        service_set_finding(listener->service, "");
        return 0;
    }
    snprintf(finding, sizeof(finding), "METRICS_LISTEN %s cannot be opened: %s; tried again",
             listener->address, strerror(-error));
    service_set_finding(listener->service, finding);
    log_warn("agent.listen_failed", finding);
    return error;
}

static int take_paths(struct listener *listener, const struct monitoring_params *monitoring)
{
    const struct {
        bool is_wanted;
        const char *path, *end;
        char **copy;
    } rows[] = {
        {monitoring->metrics_enabled, monitoring->metrics_path, "", &listener->metrics_path},
        {monitoring->history_enabled, monitoring->history_path, "", &listener->history_path},
        {monitoring->dashboard_enabled, monitoring->dashboard_path, "", &listener->dashboard_path},
        {monitoring->dashboard_enabled, monitoring->dashboard_path, "/",
         &listener->dashboard_folder},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].is_wanted && asprintf(rows[i].copy, "%s%s", rows[i].path, rows[i].end) < 0) {
            *rows[i].copy = NULL;
            return -ENOMEM;
        }
    }
    return 0;
}

int listener_open(struct service *service, const char *address,
                  const struct monitoring_params *monitoring, struct breaker_view *breakers,
                  struct listener **ret_listener)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return -ENOMEM;
    listener->service = service;
    listener->breakers = breakers;
    listener->address = strdup(address);
    int error = take_paths(listener, monitoring);
    if (error == 0)
        error = listener->address ? open_server(listener) : -ENOMEM;
    if (error == -EINVAL || error == -ENOMEM) {
        log_error("agent.listen_failed", "the agent's own listener cannot be made",
                  LSTR("METRICS_LISTEN", address), LSTR("error", strerror(-error)));
        listener_close(&listener);
        return error;
    }
    *ret_listener = listener;
    return 0;
}

void listener_retry(struct listener *listener)
{
    if (!listener->is_open)
        open_server(listener);
}

void listener_close(struct listener **listener)
{
    if (!*listener)
        return;
    http_server_close(&(*listener)->server);
    free((*listener)->metrics_path);
    free((*listener)->history_path);
    free((*listener)->dashboard_path);
    free((*listener)->dashboard_folder);
    free((*listener)->address);
    free(*listener);
    *listener = NULL;
}

uint64_t listener_take_scrapes(struct listener *listener)
{
    uint64_t scrapes = listener->scrapes;
    listener->scrapes = 0;
    return scrapes;
}
