#include "rpc_call.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool rpc_is_listed(char *const *methods, const char *method)
{
    for (; methods != NULL && method != NULL && *methods != NULL; methods++)
        if (strcmp(*methods, method) == 0)
            return true;
    return false;
}

static bool has_id(const json_t *call)
{
    const json_t *id = json_object_get(call, "id");
    return json_is_string(id) || json_is_number(id) || json_is_null(id);
}

bool rpc_is_call_of(const json_t *call, char *const *methods)
{
    return has_id(call) &&
           rpc_is_listed(methods, json_string_value(json_object_get(call, "method")));
}

char *rpc_params_text(const json_t *call)
{
    char *text = json_dumps(json_object_get(call, "params"),
                            JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    return text != NULL || json_object_get(call, "params") != NULL ? text : strdup("");
}

const json_t *rpc_answer_to(const json_t *answers, const json_t *id)
{
    const json_t *found = NULL;
    for (size_t i = 0; i < rpc_count(answers); i++) {
        const json_t *answer = rpc_at(answers, i);
        if (!json_equal(json_object_get(answer, "id"), id))
            continue;
        if (found != NULL)
            return NULL;
        found = answer;
    }
    return found;
}

bool rpc_is_good(const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");
    return json_object_get(answer, "result") != NULL && (error == NULL || json_is_null(error));
}

char *rpc_without_id(const json_t *answer)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)answer); // it only counts references
    if (copy == NULL)
        return NULL;
    (void)json_object_del(copy, "id");
    char *text = json_dumps(copy, JSON_COMPACT);
    json_decref(copy);
    if (text != NULL)
        memmove(text, text + 1, strlen(text)); // "{"
    return text;
}

void rpc_write_id(const json_t *call, const struct rpc_id *raw, struct strbuf *out)
{
    if (raw->len > 0) {
        strbuf_append(out, raw->text, raw->len);
        return;
    }
    char *text = json_dumps(json_object_get(call, "id"), JSON_ENCODE_ANY | JSON_COMPACT);
    if (text != NULL)
        strbuf_puts(out, text);
    else
        out->failed = true;
    free(text);
}

void rpc_with_id(const json_t *call, const struct rpc_id *raw, const char *rest, struct strbuf *out)
{
    strbuf_puts(out, "{\"id\":");
    rpc_write_id(call, raw, out);
    strbuf_puts(out, ",");
    strbuf_puts(out, rest);
}

int rpc_error_body(const char *body, size_t len, int code, const char *message, const char *data,
                   struct strbuf *out)
{
    struct strbuf rest = STRBUF_INIT;
    json_t *root = rpc_parse(body, len);
    struct rpc_ids ids = rpc_ids_of(body, len);
    size_t n = 0;
    strbuf_printf(&rest, "\"jsonrpc\":\"2.0\",\"error\":{\"code\":%d,\"message\":", code);
    strbuf_json_string(&rest, message, strlen(message));
    strbuf_printf(&rest, ",\"data\":%s}}", data);
    for (size_t i = 0; root != NULL && i < rpc_count(root); i++) {
        const json_t *call = rpc_at(root, i);
        const struct rpc_id id = rpc_ids_next(&ids);
        if (!has_id(call) || !json_is_string(json_object_get(call, "method")))
            continue;
        if (json_is_array(root))
            strbuf_puts(out, n == 0 ? "[" : ",");
        rpc_with_id(call, &id, strbuf_text(&rest), out);
        n++;
    }
    if (n > 0 && json_is_array(root))
        strbuf_puts(out, "]");
    bool ok = n > 0 && strbuf_ok(out) && strbuf_ok(&rest);
    json_decref(root);
    strbuf_fini(&rest);
    if (!ok)
        strbuf_clear(out);
    return ok ? 0 : -EPERM;
}
