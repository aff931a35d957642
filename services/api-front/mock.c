#include "mock.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "rpc_call.h"

// Whatever a configuration declares, only these may be mocked without looking into the body.
#define SAFE_METHODS (HTTP_GET | HTTP_HEAD)

static void append_escaped(struct strbuf *out, const char *text, size_t len)
{
    struct strbuf quoted = STRBUF_INIT;
    strbuf_json_string(&quoted, text, len);
    if (strbuf_ok(&quoted) && quoted.len >= 2)
        strbuf_append(out, quoted.text + 1, quoted.len - 2);
    else
        out->failed = true;
    strbuf_fini(&quoted);
}

static void render(const char *template, const struct mock_facts *facts, const char *rpc_id,
                   struct strbuf *out)
{
    static const char request_id_mark[] = "${request_id}";
    static const char rpc_id_mark[] = "${rpc_id}";
    static const char path_mark[] = "${path}";
    for (const char *at = template; *at != '\0';) {
        size_t plain = strcspn(at, "$");
        strbuf_append(out, at, plain);
        at += plain;
        if (strncmp(at, request_id_mark, sizeof(request_id_mark) - 1) == 0) {
            append_escaped(out, facts->request_id, strlen(facts->request_id));
            at += sizeof(request_id_mark) - 1;
        } else if (strncmp(at, rpc_id_mark, sizeof(rpc_id_mark) - 1) == 0) {
            strbuf_puts(out, rpc_id);
            at += sizeof(rpc_id_mark) - 1;
        } else if (strncmp(at, path_mark, sizeof(path_mark) - 1) == 0) {
            append_escaped(out, facts->path, facts->path_len);
            at += sizeof(path_mark) - 1;
        } else if (*at == '$') {
            strbuf_append(out, at++, 1);
        }
    }
}

// One call: a declared read with an id of a kind JSON-RPC 2.0 allows. A call without an id is a
// notification: nobody waits for its answer, so there is nothing to mock.
static int render_call(const struct config_fallback *fallback, const struct mock_facts *facts,
                       const json_t *call, const struct rpc_id *id, struct strbuf *out)
{
    struct strbuf text = STRBUF_INIT;
    if (!rpc_is_call_of(call, fallback->rpc_methods))
        return -EPERM;
    rpc_write_id(call, id, &text);
    bool ok = strbuf_ok(&text);
    if (ok)
        render(fallback->mock_body != NULL ? fallback->mock_body : "", facts, strbuf_text(&text),
               out);
    strbuf_fini(&text);
    return ok ? 0 : -EPERM;
}

static int render_rpc(const struct config_fallback *fallback, const struct mock_facts *facts,
                      struct strbuf *out)
{
    json_t *root = rpc_parse(facts->body, facts->body_len);
    if (root == NULL)
        return -EPERM;
    struct rpc_ids ids = rpc_ids_of(facts->body, facts->body_len);
    struct rpc_id id = rpc_ids_next(&ids);
    if (!json_is_array(root)) {
        int error = render_call(fallback, facts, root, &id, out);
        json_decref(root);
        return error;
    }
    int error = 0;
    for (size_t i = 0; error == 0 && i < json_array_size(root); i++) {
        strbuf_puts(out, i == 0 ? "[" : ",");
        error = render_call(fallback, facts, json_array_get(root, i), &id, out);
        id = rpc_ids_next(&ids);
    }
    strbuf_puts(out, "]");
    json_decref(root);
    return error;
}

int mock_render(const struct config_fallback *fallback, const struct mock_facts *facts,
                struct strbuf *out)
{
    int error = -EPERM;
    if ((facts->method_bit & fallback->mock_methods & SAFE_METHODS) != 0) {
        render(fallback->mock_body != NULL ? fallback->mock_body : "", facts, "null", out);
        error = 0;
    } else if (facts->method_bit == HTTP_POST && fallback->rpc_methods != NULL &&
               facts->body != NULL) {
        error = render_rpc(fallback, facts, out);
    }
    if (error != 0)
        strbuf_clear(out);
    return error;
}
