// JSON-RPC as the fallbacks read and write it.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rpc_call.h"

static char read_a[] = "a", read_b[] = "b";
static char *reads[] = {read_a, read_b, NULL};

static bool parses(const char *body)
{
    json_t *root = rpc_parse(body, strlen(body));
    bool ok = root != NULL;
    json_decref(root);
    return ok;
}

Test(rpc_call, what_is_a_body)
{
    cr_expect(parses("{}"));
    cr_expect(parses("[1]"));
    cr_expect_not(parses(""));
    cr_expect_not(parses("[]"));
    cr_expect_not(parses("5"));
    cr_expect_not(parses("{\"id\":1,\"id\":2}"));
    cr_expect_not(parses("{\"id\":1} x"));
    cr_expect_null(rpc_parse("[1\0]", 4));
    cr_expect_null(rpc_parse(NULL, 0));
}

Test(rpc_call, calls_that_wait_for_an_answer)
{
    static const struct {
        const char *call;
        bool is;
    } cases[] = {
        {"{\"id\":1,\"method\":\"a\"}", true},
        {"{\"id\":\"x\",\"method\":\"b\"}", true},
        {"{\"id\":null,\"method\":\"a\"}", true},
        {"{\"id\":1,\"method\":\"c\"}", false},
        {"{\"method\":\"a\"}", false},
        {"{\"id\":[1],\"method\":\"a\"}", false},
        {"{\"id\":true,\"method\":\"a\"}", false},
        {"{\"id\":1,\"method\":5}", false},
        {"{\"id\":1}", false},
        {"[1]", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *root = rpc_parse(cases[i].call, strlen(cases[i].call));
        cr_assert_not_null(root);
        cr_expect_eq(rpc_is_call_of(root, reads), cases[i].is, "%s", cases[i].call);
        json_decref(root);
    }
    cr_expect_not(rpc_is_listed(NULL, "a"));
    cr_expect_not(rpc_is_listed(reads, NULL));
}

static void expect_params(const char *call, const char *expected)
{
    json_t *root = rpc_parse(call, strlen(call));
    char *text = rpc_params_text(root);
    cr_expect_str_eq(text, expected);
    free(text);
    json_decref(root);
}

Test(rpc_call, parameters_are_written_one_way)
{
    expect_params("{\"params\": { \"b\": 1, \"a\" : [ 2 ] } }", "{\"a\":[2],\"b\":1}");
    expect_params("{\"params\":[]}", "[]");
    expect_params("{}", "");
}

Test(rpc_call, answers_by_id)
{
    static const char body[] = "[{\"id\":1,\"result\":\"x\"},{\"id\":\"1\",\"error\":{}},"
                               "{\"id\":2,\"result\":3,\"error\":null},{\"id\":9,\"result\":0},"
                               "{\"id\":9,\"result\":1}]";
    json_t *answers = rpc_parse(body, strlen(body));
    json_t *one = json_integer(1), *text = json_string("1"), *two = json_integer(2),
           *nine = json_integer(9);
    cr_expect_eq(rpc_answer_to(answers, one), json_array_get(answers, 0));
    cr_expect_eq(rpc_answer_to(answers, text), json_array_get(answers, 1));
    cr_expect_null(rpc_answer_to(answers, nine), "nobody knows which");
    cr_expect_null(rpc_answer_to(answers, NULL));
    cr_expect(rpc_is_good(json_array_get(answers, 0)));
    cr_expect_not(rpc_is_good(json_array_get(answers, 1)));
    cr_expect(rpc_is_good(json_array_get(answers, 2)));
    cr_expect_not(rpc_is_good(NULL));
    char *rest = rpc_without_id(json_array_get(answers, 0));
    struct strbuf out = STRBUF_INIT;
    json_t *call = json_pack("{s:s}", "id", "1");
    const struct rpc_id none = {0};
    rpc_with_id(call, &none, rest, &out);
    json_decref(call);
    cr_expect_str_eq(strbuf_text(&out), "{\"id\":\"1\",\"result\":\"x\"}");
    free(rest);
    strbuf_fini(&out);
    json_decref(one);
    json_decref(text);
    json_decref(two);
    json_decref(nine);
    json_decref(answers);
}

static void expect_error(const char *body, const char *expected)
{
    struct strbuf out = STRBUF_INIT;
    int error = rpc_error_body(body, strlen(body), RPC_SERVER_ERROR, "no", "{}", &out);
    cr_expect_eq(error, expected != NULL ? 0 : -EPERM, "%s", body);
    cr_expect_str_eq(strbuf_text(&out), expected != NULL ? expected : "", "%s", body);
    strbuf_fini(&out);
}

#define ERROR "\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"no\",\"data\":{}}}"

Test(rpc_call, errors)
{
    expect_error("{\"method\":\"x\",\"params\":{\"id\":1}, \"id\" : 1.0e2 }",
                 "{\"id\":1.0e2," ERROR);
    expect_error(" [ {\"id\":123456789012345678901234567890,\"method\":\"x\"} , {\"method\":\"n\"},"
                 "{\"a\":[\"]\\\"\",{}],\"id\":\"\\u0041,\",\"method\":\"y\"}, "
                 "{\"id\":-0.0,\"method\":\"z\"}]",
                 "[{\"id\":123456789012345678901234567890," ERROR ",{\"id\":\"\\u0041,\"," ERROR
                 ",{\"id\":-0.0," ERROR "]");
    expect_error("{\"\\u0069d\":7,\"method\":\"x\"}", "{\"id\":7," ERROR);
    expect_error("{\"id\":123456789012345678901,\"id\":1,\"method\":\"x\"}", NULL);
    expect_error("{\"id\":0123456789012345678901,\"method\":\"x\"}", NULL);
    expect_error("[[[[{\"id\":123456789012345678901", NULL);
    expect_error("{\"id\":\"\\", NULL);
    expect_error("{\"id\":7,\"method\":\"x\"}", "{\"id\":7," ERROR);
    expect_error("[{\"id\":\"a\",\"method\":\"x\"},{\"method\":\"y\"},{\"id\":null,\"method\":"
                 "\"z\"}]",
                 "[{\"id\":\"a\"," ERROR ",{\"id\":null," ERROR "]");
    expect_error("{\"method\":\"x\"}", NULL);
    expect_error("{\"id\":1}", NULL);
    expect_error("not JSON", NULL);
}
