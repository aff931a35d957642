#include "answers.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define JSON "application/json"

static bool ends_with(const char *path, const char *tail)
{
    size_t path_len = strlen(path), tail_len = strlen(tail);
    return path_len >= tail_len && strcmp(path + path_len - tail_len, tail) == 0;
}

static enum MHD_Result answer_json(const struct call *call, unsigned status, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (text == NULL)
        return MHD_NO;
    enum MHD_Result result = call_answer(call, status, JSON, text);
    free(text);
    return result;
}

enum MHD_Result answer_app(struct role *role, const struct call *call)
{
    (void)role;
    if (ends_with(call->path, "/hello"))
        return call_answer(call, 200, "text/plain",
                           "Hello from the application behind ValveChain.\n");
    if (ends_with(call->path, "/echo"))
        return call_answer_bytes(call, 200, "application/octet-stream",
                                 call->body ? call->body : "", call->body_len);
    if (ends_with(call->path, "/login"))
        return call_answer(call, 401, JSON, "{\"error\":\"wrong password\"}\n");
    if (strcmp(call->path, "/") == 0)
        return call_answer(
            call, 200, "text/plain",
            "The demo application. Try /api/app/hello, /api/app/echo, /api/db/users,\n"
            "/api/chain (JSON-RPC by POST), /api/email, /api/auth/login.\n");
    return call_answer(call, 404, JSON, "{\"error\":\"no such page in the demo application\"}\n");
}

enum MHD_Result answer_database(struct role *role, const struct call *call)
{
    if (strcmp(call->method, "GET") != 0)
        return call_answer(call, 201, JSON, "{\"stored\":true}\n");
    return answer_json(call, 200,
                       json_pack("{s:s, s:I, s:[{s:i, s:s}, {s:i, s:s}]}", "table", call->path,
                                 "query", (json_int_t)role->requests, "rows", "id", 1, "name",
                                 "Ada", "id", 2, "name", "Grace"));
}

// A chain that grows by a block every 12 seconds.
static json_t *rpc_result(const char *method)
{
    if (strcmp(method, "eth_blockNumber") == 0) {
        char block[24];
        snprintf(block, sizeof(block), "0x%llx", (unsigned long long)time(NULL) / 12);
        return json_string(block);
    }
    if (strcmp(method, "eth_chainId") == 0)
        return json_string("0x539");
    if (strcmp(method, "eth_getBalance") == 0)
        return json_string("0xde0b6b3a7640000");
    return NULL;
}

enum MHD_Result answer_blockchain(struct role *role, const struct call *call)
{
    (void)role;
    if (strcmp(call->method, "POST") != 0)
        return call_answer(call, 405, JSON, "{\"error\":\"JSON-RPC wants POST\"}\n");
    json_t *request = json_loads(call->body ? call->body : "", 0, NULL);
    const char *method = json_string_value(json_object_get(request, "method"));
    json_t *id = json_object_get(request, "id");
    json_t *result = method != NULL ? rpc_result(method) : NULL;
    json_t *answer;
    if (result != NULL)
        answer = json_pack("{s:s, s:O?, s:o}", "jsonrpc", "2.0", "id", id, "result", result);
    else
        answer = json_pack("{s:s, s:O?, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id, "error", "code",
                           method != NULL ? -32601 : -32600, "message",
                           method != NULL ? "method not found" : "not a JSON-RPC request");
    json_decref(request);
    return answer_json(call, 200, answer);
}

enum MHD_Result answer_email(struct role *role, const struct call *call)
{
    if (strcmp(call->method, "POST") != 0)
        return call_answer(call, 200, JSON,
                           "{\"service\":\"email\",\"send\":\"POST a JSON body\"}\n");
    return answer_json(
        call, 202, json_pack("{s:b, s:I}", "accepted", 1, "message", (json_int_t)role->requests));
}

static enum MHD_Result show_knobs(const struct call *call)
{
    json_t *all = json_object();
    for (int i = 0; i < ROLE_CONTROL; i++) {
        struct role *role = &roles[i];
        pthread_mutex_lock(&role->mutex);
        json_object_set_new(all, role->name,
                            json_pack("{s:s, s:I, s:i, s:I}", "mode", role_mode_names[role->mode],
                                      "delay_ms", (json_int_t)role->delay_ms, "port",
                                      (int)role->port, "requests", (json_int_t)role->requests));
        pthread_mutex_unlock(&role->mutex);
    }
    return answer_json(call, 200, all);
}

static int find_mode(const char *text)
{
    for (int mode = 0; text != NULL && mode < ROLE_MODES; mode++) {
        if (strcmp(text, role_mode_names[mode]) == 0)
            return mode;
    }
    return -1;
}

static bool parse_delay(const char *text, uint64_t *ret_ms)
{
    char *end;
    if (text == NULL)
        return true;
    unsigned long ms = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || ms > 3600000)
        return false;
    *ret_ms = ms;
    return true;
}

enum MHD_Result answer_control(struct role *control, const struct call *call)
{
    (void)control;
    if (strcmp(call->method, "GET") == 0 && strcmp(call->path, "/knobs") == 0)
        return show_knobs(call);
    struct role *role = NULL;
    for (int i = 0; i < ROLE_CONTROL; i++) {
        if (strncmp(call->path, "/knobs/", 7) == 0 && strcmp(call->path + 7, roles[i].name) == 0)
            role = &roles[i];
    }
    if (role == NULL)
        return call_answer(call, 404, JSON,
                           "{\"error\":\"GET /knobs, or POST /knobs/app, database, blockchain or "
                           "email\"}\n");
    if (strcmp(call->method, "POST") != 0)
        return call_answer(call, 405, JSON, "{\"error\":\"a knob is turned by POST\"}\n");
    int mode =
        find_mode(MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, "mode"));
    uint64_t delay_ms = 15000; // longer than every timeout of the named breakers
    if (mode < 0 || !parse_delay(MHD_lookup_connection_value(call->connection,
                                                             MHD_GET_ARGUMENT_KIND, "delay_ms"),
                                 &delay_ms))
        return call_answer(call, 400, JSON,
                           "{\"error\":\"mode=ok|slow|fail|gone, delay_ms=0..3600000\"}\n");
    static pthread_mutex_t one_hand = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&one_hand);
    int error = role_set_mode(role, (enum role_mode)mode, delay_ms);
    pthread_mutex_unlock(&one_hand);
    if (error < 0)
        return answer_json(call, 500, json_pack("{s:s}", "error", strerror(-error)));
    return show_knobs(call);
}
