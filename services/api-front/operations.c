#include "operations.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "counters.h"
#include "front.h"
#include "handover.h"
#include "valves.h"

#define ID_CHARS 32

struct operations_ask {
    struct request *request; // NULL: gone
};

static json_t *time_text(uint64_t ms)
{
    char text[40];
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (ms == 0)
        return json_null();
    size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
    (void)snprintf(text + len, sizeof(text) - len, ".%03uZ", (unsigned)(ms % 1000));
    return json_string(text);
}

// Text as it is, anything else as base64.
static void add_answer(json_t *result, const Valvechain__V1__OutboxOperation *operation)
{
    const char *bytes = (const char *)operation->answer.data;
    size_t len = operation->answer.len;
    json_t *text = json_stringn(len > 0 ? bytes : "", len); // NULL when it is not UTF-8
    json_object_set_new(result, "status", json_integer(operation->answer_status));
    json_object_set_new(result, "contentType", json_string(operation->answer_type));
    if (text != NULL) {
        json_object_set_new(result, "body", text);
        return;
    }
    size_t cap = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
    char *encoded = malloc(cap);
    if (encoded != NULL)
        json_object_set_new(
            result, "bodyBase64",
            json_string(sodium_bin2base64(encoded, cap, (const unsigned char *)bytes, len,
                                          sodium_base64_VARIANT_ORIGINAL)));
    free(encoded);
}

static json_t *operation_json(const Valvechain__V1__OutboxOperation *operation)
{
    json_t *root = json_pack(
        "{s:s, s:s, s:i, s:o, s:o, s:o, s:o}", "id", operation->id, "state", operation->state,
        "attempts", (int)operation->attempts, "acceptedAt", time_text(operation->accepted_ms),
        "nextAttemptAt", time_text(operation->due_ms), "expiresAt",
        time_text(operation->expires_ms), "finishedAt", time_text(operation->finished_ms));
    json_object_set_new(root, "lastError",
                        operation->last_error[0] != '\0' ? json_string(operation->last_error)
                                                         : json_null());
    if (operation->answer_status != 0) {
        json_t *result = json_object();
        add_answer(result, operation);
        json_object_set_new(root, "result", result);
    }
    return root;
}

static enum step answer_none(struct request *request)
{
    return answer_problem(request, 404, "operation_unknown", "Not Found",
                          "There is no such operation, or it was forgotten, or it is another "
                          "caller's.",
                          NULL, NULL);
}

static enum step answer_away(struct request *request)
{
    (void)request_add_answer_header(request, "Retry-After", "1");
    return answer_problem(request, 503, "outbox_unavailable", "Service Unavailable",
                          "Who keeps the operations does not answer at the moment.", NULL, NULL);
}

static void answer(struct request *request, const Valvechain__V1__OutboxOperation *operation)
{
    json_t *root = operation_json(operation);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (text == NULL) {
        (void)answer_away(request);
        return;
    }
    request->source = ANSWER_SYSTEM;
    (void)request_add_answer_header(request, "Cache-Control", "no-store");
    (void)answer_text(request, 200, "application/json", text, strlen(text));
    free(text);
}

static void replied(void *arg, int error, const ProtobufCMessage *reply)
{
    struct operations_ask *ask = arg;
    struct request *request = ask->request;
    const Valvechain__V1__OutboxOperation *operation =
        (const Valvechain__V1__OutboxOperation *)reply;
    free(ask);
    if (request == NULL)
        return;
    request->operations_ask = NULL;
    if (request->answered)
        return;
    if (error < 0 || operation == NULL || operation->status == 503)
        (void)answer_away(request);
    else if (operation->status != 200)
        (void)answer_none(request);
    else
        answer(request, operation);
    client_wake(request);
}

void operations_cancel(struct operations_ask *ask)
{
    ask->request->operations_ask = NULL;
    ask->request = NULL;
}

static enum step ask_owner(struct request *request, char *id)
{
    Valvechain__V1__OutboxQuestion question = VALVECHAIN__V1__OUTBOX_QUESTION__INIT;
    unsigned char scope[CALLER_HASH_BYTES];
    struct operations_ask *ask = calloc(1, sizeof(*ask));
    question.id = id;
    question.scope = (ProtobufCBinaryData){handover_caller(request, scope), scope};
    if (ask == NULL)
        return answer_away(request);
    ask->request = request;
    request->operations_ask = ask;
    if (bus_request(request->front->service->bus, "breaker", "outbox.get", &question.base,
                    request->front->params->outbox_timeout_ms, replied, ask) == 0)
        return STEP_ANSWERED;
    request->operations_ask = NULL;
    free(ask);
    return answer_away(request);
}

enum step operations_answer(struct request *request)
{
    const char *prefix = valves_front_params(request->valves)->operations_path;
    size_t len = strlen(prefix);
    if (request->path_len <= len + 1 || memcmp(request->path, prefix, len) != 0 ||
        request->path[len] != '/')
        return STEP_NEXT;
    char *id = request->path + len + 1;
    request->route_counters = counters_route(request->valves->counters, COUNTERS_ROUTE_SYSTEM);
    if ((request->method_bit & (HTTP_GET | HTTP_HEAD)) == 0) {
        (void)request_add_answer_header(request, "Allow", "GET, HEAD");
        return answer_problem(request, 405, "method_not_allowed", "Method Not Allowed",
                              "An operation can only be looked at.", NULL, NULL);
    }
    if (strlen(id) != ID_CHARS || strspn(id, "0123456789abcdef") != ID_CHARS)
        return answer_none(request);
    return ask_owner(request, id);
}
