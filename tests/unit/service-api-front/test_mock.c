#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "mock.h"

// Arrays, because a loaded model's texts are not constants.
static char block_number[] = "eth_blockNumber", chain_id[] = "eth_chainId";
static char *reads[] = {block_number, chain_id, NULL};
static char rpc_body[] = "{\"jsonrpc\":\"2.0\",\"id\":${rpc_id},\"result\":\"0x0\"}";
static char x_body[] = "x";
static char get_body[] = "{\"p\":\"${path}\",\"r\":\"${request_id}\",\"i\":${rpc_id},"
                         "\"c\":\"$5 ${other} $\"}";

static const struct config_fallback rpc = {
    .kind = FALLBACK_MOCK,
    .mock_methods = HTTP_GET | HTTP_HEAD,
    .rpc_methods = reads,
    .mock_body = rpc_body,
};

static int render_post(const char *body, struct strbuf *out)
{
    struct mock_facts facts = {.request_id = "r1",
                               .path = "/api/chain",
                               .path_len = 10,
                               .method_bit = HTTP_POST,
                               .body = body,
                               .body_len = body != NULL ? strlen(body) : 0};
    return mock_render(&rpc, &facts, out);
}

static void expect_post(const char *body, const char *answer)
{
    struct strbuf out = STRBUF_INIT;
    int error = render_post(body, &out);
    cr_expect_eq(error, answer != NULL ? 0 : -EPERM, "%s: %d", body, error);
    cr_expect_str_eq(strbuf_text(&out), answer != NULL ? answer : "", "%s", body);
    strbuf_fini(&out);
}

Test(mock, rpc_reads_get_the_callers_id)
{
    expect_post("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"eth_blockNumber\"}",
                "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"0x0\"}");
    expect_post("{\"id\":\"a\\\"b\",\"method\":\"eth_chainId\",\"params\":[]}",
                "{\"jsonrpc\":\"2.0\",\"id\":\"a\\\"b\",\"result\":\"0x0\"}");
    expect_post("{\"id\":null,\"method\":\"eth_chainId\"}",
                "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":\"0x0\"}");
}

Test(mock, a_batch_of_reads_gets_an_answer_each)
{
    expect_post("[{\"id\":1,\"method\":\"eth_chainId\"},{\"id\":2,\"method\":\"eth_blockNumber\"}]",
                "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"0x0\"},"
                "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"0x0\"}]");
}

Test(mock, writes_and_what_cannot_be_told_are_never_mocked)
{
    expect_post("{\"id\":1,\"method\":\"eth_sendRawTransaction\"}", NULL);
    expect_post(
        "[{\"id\":1,\"method\":\"eth_chainId\"},{\"id\":2,\"method\":\"eth_sendRawTransaction\"}]",
        NULL);
    expect_post("{\"method\":\"eth_chainId\"}", NULL);            // notification
    expect_post("{\"id\":[1],\"method\":\"eth_chainId\"}", NULL); // id of no allowed kind
    expect_post("{\"id\":1,\"method\":\"eth_chainId\",\"method\":\"eth_sendRawTransaction\"}",
                NULL);
    expect_post("[]", NULL);
    expect_post("7", NULL);
    expect_post("{\"id\":1,", NULL);
    expect_post("", NULL);
    expect_post(NULL, NULL); // body not kept
}

Test(mock, a_body_with_a_nul_is_no_json)
{
    static const char body[] = "{\"id\":1e30\0,\"method\":\"eth_chainId\"}";
    struct mock_facts facts = {
        .path = "", .method_bit = HTTP_POST, .body = body, .body_len = sizeof(body) - 1};
    struct strbuf out = STRBUF_INIT;
    cr_expect_eq(mock_render(&rpc, &facts, &out), -EPERM);
    cr_expect_eq(out.len, 0);
    strbuf_fini(&out);
}

Test(mock, only_safe_methods_without_a_look_into_the_body)
{
    struct config_fallback greedy = {
        .kind = FALLBACK_MOCK, .mock_methods = HTTP_ANY, .mock_body = x_body};
    struct mock_facts facts = {.request_id = "", .path = "", .method_bit = HTTP_GET};
    struct strbuf out = STRBUF_INIT;
    cr_expect_eq(mock_render(&greedy, &facts, &out), 0);
    const unsigned writes[] = {HTTP_OPTIONS, HTTP_POST,  HTTP_PUT,
                               HTTP_DELETE,  HTTP_PATCH, HTTP_OTHER};
    for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
        facts.method_bit = writes[i];
        cr_expect_eq(mock_render(&greedy, &facts, &out), -EPERM);
    }
    struct config_fallback get = {.kind = FALLBACK_MOCK, .mock_methods = HTTP_GET};
    facts.method_bit = HTTP_HEAD;
    cr_expect_eq(mock_render(&get, &facts, &out), -EPERM, "not declared");
    strbuf_fini(&out);
}

Test(mock, marks_are_replaced_and_escaped)
{
    struct config_fallback get = {
        .kind = FALLBACK_MOCK, .mock_methods = HTTP_GET, .mock_body = get_body};
    struct mock_facts facts = {
        .request_id = "id-1", .path = "/a\"b\\c", .path_len = 6, .method_bit = HTTP_GET};
    struct strbuf out = STRBUF_INIT;
    cr_expect_eq(mock_render(&get, &facts, &out), 0);
    cr_expect_str_eq(strbuf_text(&out), "{\"p\":\"/a\\\"b\\\\c\",\"r\":\"id-1\",\"i\":null,"
                                        "\"c\":\"$5 ${other} $\"}");
    strbuf_fini(&out);
}
