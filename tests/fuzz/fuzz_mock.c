// fuzz-links: service_api-front
// The mock fallback: a body that is answered names declared reads only, and the answer is JSON.
#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "mock.h"

static void check_call(const json_t *call)
{
    const char *method = json_string_value(json_object_get(call, "method"));
    ASSERT(method != NULL && strcmp(method, "read") == 0);
    ASSERT(json_object_get(call, "id") != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static char read_name[] = "read", template[] = "{\"id\":${rpc_id},\"p\":\"${path}\"}";
    static char *reads[] = {read_name, NULL};
    const struct config_fallback fallback = {
        .kind = FALLBACK_MOCK, .rpc_methods = reads, .mock_body = template};
    const struct mock_facts facts = {.request_id = "r",
                                     .path = (const char *)data,
                                     .path_len = len,
                                     .method_bit = HTTP_POST,
                                     .body = (const char *)data,
                                     .body_len = len};
    struct strbuf out = STRBUF_INIT;
    if (mock_render(&fallback, &facts, &out) == 0) {
        json_t *body = json_loadb((const char *)data, len, 0, NULL);
        json_t *answer = json_loadb(strbuf_text(&out), out.len, 0, NULL);
        ASSERT(body != NULL && answer != NULL);
        ASSERT(json_is_array(body) == json_is_array(answer));
        ASSERT(json_array_size(body) == json_array_size(answer));
        for (size_t i = 0; i < json_array_size(body); i++)
            check_call(json_array_get(body, i));
        if (json_is_object(body)) {
            check_call(body);
            ASSERT(json_equal(json_object_get(body, "id"), json_object_get(answer, "id")));
        }
        json_decref(body);
        json_decref(answer);
    } else {
        ASSERT(out.len == 0);
    }
    strbuf_fini(&out);
    return 0;
}
