#include "permits.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "client.h"
#include "counters.h"
#include "front.h"
#include "ratelimit_fields.h"
#include "token.h"
#include "valves.h"

#define PERMITS_MAX 100 // the breaker process gives at most so many at a time

enum verb { VERB_ACQUIRE, VERB_REPORT, N_VERBS };
static const struct {
    const char *word, *topic, *fields;
} verbs[N_VERBS] = {
    {"acquire", "breaker.acquire", "{\"count\": 1 to 100, \"lease_ms\": 100 to 3600000}"},
    {"report", "breaker.report",
     "{\"permit\": \"...\", \"outcome\": \"success\", \"duration_ms\": 12}, or a list of these as "
     "{\"outcomes\": [...]}"},
};

struct permits_ask {
    struct request *request; // NULL: gone
    struct valves *valves;
    bool is_sent;
    enum verb verb;
    char breaker[BREAKER_NAME_MAX];
};

// ---- answers --------------------------------------------------------------------------------

static enum step answer_away(struct request *request)
{
    (void)request_add_answer_header(request, "Retry-After", "1");
    return answer_problem(request, 503, "breaker_unavailable", "Service Unavailable",
                          "The process that gives permits does not answer at the moment; calls "
                          "that go through the gateway are guarded all the same.",
                          NULL, NULL);
}

static enum step answer_bad(struct request *request, enum verb verb, const char *reason)
{
    char detail[512];
    (void)snprintf(detail, sizeof(detail), "%s. Allowed is %s.", reason, verbs[verb].fields);
    return answer_problem(request, 400, "permits_bad_request", "Bad Request", detail, NULL, NULL);
}

static enum step answer_unknown(struct request *request)
{
    return answer_problem(request, 404, "breaker_unknown", "Not Found",
                          "There is no breaker of this name; the statistics of the breakers list "
                          "them.",
                          NULL, NULL);
}

// Members of the message as JSON text, without the braces.
static const char *members_of(const ProtobufCMessage *message, struct strbuf *text)
{
    bus_message_json(message, text);
    if (!strbuf_ok(text) || text->len < 2)
        return NULL;
    text->text[text->len - 1] = '\0';
    return text->text + 1;
}

static void answer_json(struct request *request, const ProtobufCMessage *message)
{
    struct strbuf text = STRBUF_INIT;
    bus_message_json(message, &text);
    strbuf_puts(&text, "\n");
    request->source = ANSWER_SYSTEM;
    (void)request_add_answer_header(request, "Cache-Control", "no-store");
    if (strbuf_ok(&text))
        (void)answer_text(request, 200, "application/json", strbuf_text(&text), text.len);
    else
        (void)answer_away(request);
    strbuf_fini(&text);
}

static void answer_refused(struct request *request, const Valvechain__V1__BreakerPermits *permits)
{
    static const struct {
        const char *refused, *code, *detail;
    } kinds[] = {
        {"open", "circuit_open", "The breaker is open: the dependency fails."},
        {"capacity", "at_capacity", "The dependency has as many calls as it may have at once."},
        {"ramp", "circuit_recovering",
         "The dependency has just recovered; not all calls are admitted yet."},
        {"forced", "circuit_forced_open", "An operator has cut the dependency off."},
        {NULL, "permits_full", "Applications hold as many permits as can be kept."},
    };
    size_t kind = 0;
    char seconds[24];
    struct strbuf text = STRBUF_INIT;
    while (kinds[kind].refused != NULL && strcmp(kinds[kind].refused, permits->refused) != 0)
        kind++;
    uint64_t wait_ms = permits->retry_after_ms > 0 ? permits->retry_after_ms : 1000;
    (void)snprintf(seconds, sizeof(seconds), "%" PRIu64, ratelimit_seconds(wait_ms * NS_PER_MS));
    (void)request_add_answer_header(request, "Retry-After", seconds);
    (void)request_add_answer_header(request, "Cache-Control", "no-store");
    (void)answer_problem(request, 503, kinds[kind].code, "Service Unavailable", kinds[kind].detail,
                         NULL, members_of(&permits->base, &text));
    strbuf_fini(&text);
}

static void answer_uncounted(struct request *request,
                             const Valvechain__V1__BreakerReported *reported)
{
    struct strbuf text = STRBUF_INIT;
    (void)answer_problem(request, 409, "permits_not_counted", "Conflict",
                         "None of these outcomes was counted; `refused` says why.", NULL,
                         members_of(&reported->base, &text));
    strbuf_fini(&text);
}

// A Refusal is about what was asked, unless the process serves nothing (it is leaving).
static void answer_refusal(struct request *request, enum verb verb,
                           const Valvechain__V1__Refusal *refusal)
{
    if (refusal == NULL || strcmp(refusal->reason, BUS_NOT_SERVED) == 0)
        (void)answer_away(request);
    else
        (void)answer_bad(request, verb, refusal->reason);
}

static void answer_reply(struct request *request, enum verb verb, int error,
                         const ProtobufCMessage *reply)
{
    const Valvechain__V1__BreakerPermits *permits = (const void *)reply;
    const Valvechain__V1__BreakerReported *reported = (const void *)reply;
    if (error == -EOPNOTSUPP)
        answer_refusal(request, verb, (const void *)reply);
    else if (error < 0)
        (void)answer_away(request);
    else if (verb == VERB_ACQUIRE && !permits->granted)
        answer_refused(request, permits);
    else if (verb == VERB_REPORT && reported->reported == 0)
        answer_uncounted(request, reported);
    else
        answer_json(request, reply);
}

// ---- asking ---------------------------------------------------------------------------------

static void ignore_reply(void *arg, int error, const ProtobufCMessage *reply)
{
    (void)arg;
    (void)error; // their lease ends
    (void)reply;
}

// Granted to somebody who is gone.
static void give_back(const struct permits_ask *ask, const Valvechain__V1__BreakerPermits *permits)
{
    Valvechain__V1__BreakerReport report = VALVECHAIN__V1__BREAKER_REPORT__INIT;
    Valvechain__V1__BreakerOutcome outcomes[PERMITS_MAX], *list[PERMITS_MAX];
    char ignored[] = "ignored";
    report.outcomes = list;
    while (report.n_outcomes < permits->n_permits && report.n_outcomes < PERMITS_MAX) {
        size_t i = report.n_outcomes++;
        valvechain__v1__breaker_outcome__init(&outcomes[i]);
        outcomes[i].permit = permits->permits[i];
        outcomes[i].outcome = ignored;
        list[i] = &outcomes[i];
    }
    (void)bus_request(ask->valves->service->bus, "breaker", "breaker.report", &report.base,
                      valves_front_params(ask->valves)->permits_timeout_ms, ignore_reply, NULL);
}

static void replied(void *arg, int error, const ProtobufCMessage *reply)
{
    struct permits_ask *ask = arg;
    const Valvechain__V1__BreakerPermits *permits = (const void *)reply;
    struct request *request = ask->request;
    if (request == NULL || request->answered) {
        if (error == 0 && ask->verb == VERB_ACQUIRE && permits->granted)
            give_back(ask, permits);
    } else {
        answer_reply(request, ask->verb, error, reply);
        client_wake(request);
    }
    if (request != NULL)
        request->permits_ask = NULL;
    free(ask);
}

void permits_cancel(struct permits_ask *ask)
{
    ask->request->permits_ask = NULL;
    ask->request = NULL;
    if (!ask->is_sent)
        free(ask);
}

static enum step send_ask(struct permits_ask *ask, const ProtobufCMessage *message)
{
    struct request *request = ask->request;
    ask->is_sent =
        bus_request(ask->valves->service->bus, "breaker", verbs[ask->verb].topic, message,
                    valves_front_params(ask->valves)->permits_timeout_ms, replied, ask) == 0;
    return ask->is_sent ? STEP_ANSWERED : answer_away(request);
}

// A report of one call is that call's object; of several, a list of them.
static ProtobufCMessage *read_report(const char *body, size_t len, char reason[BUS_REASON_MAX])
{
    json_t *root = json_loadb(body, len, 0, NULL);
    bool is_list = root == NULL || json_object_get(root, "outcomes") != NULL;
    ProtobufCMessage *message = NULL;
    json_decref(root);
    (void)bus_message_from_json(is_list ? &valvechain__v1__breaker_report__descriptor
                                        : &valvechain__v1__breaker_outcome__descriptor,
                                body, len, reason, &message);
    if (message == NULL || is_list)
        return message;
    Valvechain__V1__BreakerReport *report = calloc(1, sizeof(*report));
    Valvechain__V1__BreakerOutcome **list = malloc(sizeof(void *));
    if (report == NULL || list == NULL) {
        free(report);
        free(list);
        protobuf_c_message_free_unpacked(message, NULL);
        return NULL;
    }
    valvechain__v1__breaker_report__init(report);
    list[0] = (Valvechain__V1__BreakerOutcome *)message;
    report->outcomes = list;
    report->n_outcomes = 1;
    return &report->base;
}

// What is wrong with the words of a report; NULL: nothing.
static const char *wrong_with(const Valvechain__V1__BreakerReport *report,
                              char reason[BUS_REASON_MAX])
{
    enum breaker_outcome outcome;
    for (size_t i = 0; i < report->n_outcomes; i++) {
        const char *wrong = !breaker_outcome_of(report->outcomes[i]->outcome, &outcome)
                                ? "outcome must be success, failure, timeout or ignored"
                            : report->outcomes[i]->permit[0] == '\0' ? "permit is missing"
                                                                     : NULL;
        if (wrong == NULL)
            continue;
        (void)snprintf(reason, BUS_REASON_MAX, "outcomes[%zu]: %s", i, wrong);
        return report->n_outcomes > 1 ? reason : wrong;
    }
    return report->n_outcomes > 0 && report->n_outcomes <= PERMITS_MAX
               ? NULL
               : "a report has 1 to 100 outcomes";
}

// In the message a 0 is as good as none.
static const char *wrong_with_count(const char *body, size_t len)
{
    json_t *root = json_loadb(body, len, 0, NULL);
    const json_t *count = json_object_get(root, "count");
    bool is_zero = json_is_integer(count) && json_integer_value(count) == 0;
    json_decref(root);
    return is_zero ? "count must be 1 to 100" : NULL;
}

// The breaker is the path's; one in the body must not say otherwise.
static const char *set_breaker(char **field, const char *name)
{
    if ((*field)[0] != '\0' && strcmp(*field, name) != 0)
        return "breaker is another one than the path's";
    char *copy = strdup(name);
    if (copy == NULL)
        return "there is no memory";
    if ((*field)[0] != '\0')
        free(*field);
    *field = copy;
    return NULL;
}

static enum step ask_owner(struct permits_ask *ask, const char *body, size_t len)
{
    struct request *request = ask->request;
    char reason[BUS_REASON_MAX] = "there is no memory";
    ProtobufCMessage *message = NULL;
    const char *wrong = reason;
    if (ask->verb == VERB_REPORT)
        message = read_report(body, len, reason);
    else
        (void)bus_message_from_json(&valvechain__v1__breaker_acquire__descriptor, body, len, reason,
                                    &message);
    if (message != NULL && ask->verb == VERB_ACQUIRE)
        wrong = set_breaker(&((Valvechain__V1__BreakerAcquire *)message)->breaker, ask->breaker);
    else if (message != NULL)
        wrong = wrong_with((const void *)message, reason);
    if (message != NULL && wrong == NULL && ask->verb == VERB_ACQUIRE)
        wrong = wrong_with_count(body, len);
    if (message != NULL && wrong == NULL && ask->verb == VERB_REPORT)
        wrong = set_breaker(&((Valvechain__V1__BreakerReport *)message)->breaker, ask->breaker);
    enum step step = wrong != NULL ? answer_bad(request, ask->verb, wrong) : send_ask(ask, message);
    if (message != NULL)
        protobuf_c_message_free_unpacked(message, NULL);
    return step;
}

void permits_body(struct request *request)
{
    struct permits_ask *ask = request->permits_ask;
    size_t len = request->body_complete ? request->body_len : 0;
    if (request->has_body && !request->body_complete)
        (void)answer_problem(request, 413, "body_too_large", "Content Too Large",
                             "The body may have 65536 bytes.", NULL, NULL);
    else if (len == 0 && ask->verb == VERB_ACQUIRE)
        (void)ask_owner(ask, "{}", 2);
    else if (len == 0)
        (void)answer_bad(request, ask->verb, "there is no body");
    else
        (void)ask_owner(ask, request->body, len);
}

// ---- who and what ---------------------------------------------------------------------------

static bool is_allowed(const struct request *request)
{
    const struct identity *identity = &request->identity;
    if ((identity->scopes & (TOKEN_SCOPE_PERMITS | TOKEN_SCOPE_ADMIN)) != 0)
        return true;
    return !identity->forwarded_by_untrusted && !identity->client_uncertain &&
           cidr_list_has(&request->valves->permits_allow, &identity->client);
}

static enum step answer_forbidden(struct request *request)
{
    counters_add(request->valves, METRIC_INDEX_system_refused, 1);
    return answer_problem(request, 403, "permits_forbidden", "Forbidden",
                          "Permits are given to the addresses of PERMITS_ALLOW, and to tokens with "
                          "scope valvechain:permits or valvechain:admin.",
                          NULL, NULL);
}

// "acquire" and "acquire/"
static bool is_word(const char *text, const char *word)
{
    size_t len = strlen(word);
    return strncmp(text, word, len) == 0 && strcmp(text + len, text[len] == '/' ? "/" : "") == 0;
}

// PERMITS_ENDPOINT/{breaker}/{verb}
static bool read_path(const struct request *request, const char *prefix, enum verb *ret_verb,
                      const char **ret_name, size_t *ret_len)
{
    size_t len = strlen(prefix);
    if (request->path_len <= len || memcmp(request->path, prefix, len) != 0 ||
        request->path[len] != '/')
        return false;
    const char *name = request->path + len + 1;
    const char *word = strchr(name, '/');
    for (int verb = 0; word != NULL && verb < N_VERBS; verb++) {
        if (is_word(word + 1, verbs[verb].word)) {
            *ret_verb = (enum verb)verb;
            *ret_name = name;
            *ret_len = (size_t)(word - name);
            return true;
        }
    }
    return false;
}

static enum step begin(struct request *request, enum verb verb, const char *name, size_t len)
{
    struct permits_ask *ask = calloc(1, sizeof(*ask));
    if (ask == NULL)
        return answer_away(request);
    ask->request = request;
    ask->valves = request->valves;
    ask->verb = verb;
    memcpy(ask->breaker, name, len);
    request->permits_ask = ask;
    request->max_body_bytes = REQUEST_BODY_KEPT_MAX;
    request->body_kept = request->has_body;
    if (!request->has_body)
        permits_body(request);
    return STEP_WAITS;
}

enum step permits_answer(struct request *request)
{
    const struct front_params *params = valves_front_params(request->valves);
    enum verb verb;
    const char *name;
    size_t len;
    char text[BREAKER_NAME_MAX] = "";
    if ((params->admin_port != PARAM_UNSET && !request->admin) ||
        !read_path(request, params->permits_path, &verb, &name, &len))
        return STEP_NEXT;
    request->route_counters = counters_route(request->valves->counters, COUNTERS_ROUTE_SYSTEM);
    if (!is_allowed(request))
        return answer_forbidden(request);
    if (request->method_bit != HTTP_POST) {
        (void)request_add_answer_header(request, "Allow", "POST");
        return answer_problem(request, 405, "method_not_allowed", "Method Not Allowed",
                              "Permits are asked for and reported by POST.", NULL, NULL);
    }
    memcpy(text, name, len < sizeof(text) ? len : 0);
    if (breaker_find(request->valves->breakers, text) < 0)
        return answer_unknown(request);
    return begin(request, verb, name, len);
}
