#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/model.h"

static struct config_model *model;
static struct problems problems;

static void cleanup(void)
{
    config_model_destroy(&model);
    problems_fini(&problems);
}

TestSuite(model, .fini = cleanup);

static void parse(const char *text)
{
    cleanup();
    int r = config_model_parse("c.json", text, strlen(text), &problems, &model);
    cr_assert_eq(r, 0, "%s", problems.n ? problems.items[0] : "no problem told");
    cr_assert_eq(problems.n, 0);
}

// `problem` is the only one.
static void expect_problem(const char *text, const char *problem)
{
    cleanup();
    cr_expect_eq(config_model_parse("c.json", text, strlen(text), &problems, &model), -EINVAL);
    cr_expect_null(model, "the output stays untouched");
    cr_assert_eq(problems.n, 1, "%zu problems in %s, first: %s", problems.n, text,
                 problems.n ? problems.items[0] : "");
    cr_expect_str_eq(problems.items[0], problem, "got: %s", problems.items[0]);
}

static const char full[] =
    "{\"$schema\": \"x\", \"parameters\": {\"PORT\": 8080, \"LOG_LEVEL\": \"debug\","
    " \"CIRCUIT_BREAKERS\": false},\n"
    "\"upstreams\": [{\"name\": \"app\", \"url\": \"http://app:8080/v1\"},\n"
    " {\"name\": \"data-2\", \"urls\": [\"http://[::1]:81\", \"unix:/run/x.sock\"],\n"
    "  \"connect_timeout_ms\": 1, \"first_byte_timeout_ms\": 2, \"idle_timeout_ms\": 3,\n"
    "  \"total_timeout_ms\": 4, \"max_connections\": 5, \"keepalive_connections\": 6,\n"
    "  \"keepalive_idle_ms\": 7, \"resolve_interval_ms\": 800,\n"
    "  \"breaker\": {\"timeout_ms\": 11, \"error_threshold_percent\": 12,\n"
    "   \"reset_timeout_ms\": 13, \"rolling_timeout_ms\": 14, \"rolling_buckets\": 15,\n"
    "   \"volume_threshold\": 16, \"capacity\": 17, \"probes\": 18}}],\n"
    "\"routes\": [{\"path\": \"/\", \"upstream\": \"app\"},\n"
    " {\"name\": \"data\", \"path\": \"/api/data/\", \"host\": \"API.Example.com\",\n"
    "  \"methods\": [\"GET\", \"POST\"], \"upstream\": \"data-2\", \"strip_path\": true,\n"
    "  \"max_body_bytes\": 0, \"fallbacks\": [\n"
    "   {\"kind\": \"mock\", \"rpc_methods\": [\"eth_a\", \"eth_b\"], \"status\": 203,\n"
    "    \"content_type\": \"text/plain\", \"body\": \"${path}\"},\n"
    "   {\"kind\": \"mock\", \"body\": \"\"},\n"
    "   {\"kind\": \"cache\", \"max_age_ms\": 5000}, {\"kind\": \"error\"}]},\n"
    " {\"path\": \"/api/data\", \"upstream\": \"app\", \"rewrite\": \"/new/\"}]}";

Test(model, upstreams)
{
    parse(full);
    cr_assert_eq(model->n_upstreams, 2);
    const struct config_upstream *app = &model->upstreams[0], *data = &model->upstreams[1];
    cr_expect_str_eq(app->name, "app");
    cr_assert_eq(app->n_endpoints, 1);
    cr_expect_str_eq(app->endpoints[0].host, "app");
    cr_expect_str_eq(app->base_path, "/v1");
    cr_expect_eq(app->connect_timeout_ms, 1000);
    cr_expect_eq(app->first_byte_timeout_ms, 0);
    cr_expect_eq(app->idle_timeout_ms, 60000);
    cr_expect_eq(app->total_timeout_ms, 0);
    cr_expect_eq(app->max_connections, 256);
    cr_expect_eq(app->keepalive_connections, 64);
    cr_expect_eq(app->keepalive_idle_ms, 30000);
    cr_expect_eq(app->resolve_interval_ms, 30000);
    cr_expect_eq(app->breaker.timeout_ms, 0);
    cr_assert_eq(data->n_endpoints, 2);
    cr_expect_eq(data->endpoints[0].port, 81);
    cr_expect_str_eq(data->endpoints[1].unix_path, "/run/x.sock");
    const uint64_t got[] = {data->connect_timeout_ms, data->first_byte_timeout_ms,
                            data->idle_timeout_ms,    data->total_timeout_ms,
                            data->max_connections,    data->keepalive_connections,
                            data->keepalive_idle_ms,  data->resolve_interval_ms / 100};
    for (size_t i = 0; i < 8; i++)
        cr_expect_eq(got[i], i + 1);
    const struct config_breaker *b = &data->breaker;
    const uint64_t breaker[] = {
        b->timeout_ms,      b->error_threshold_percent, b->reset_timeout_ms, b->rolling_timeout_ms,
        b->rolling_buckets, b->volume_threshold,        b->capacity,         b->probes};
    for (size_t i = 0; i < 8; i++)
        cr_expect_eq(breaker[i], i + 11);
}

Test(model, a_breaker_field_that_is_0_is_not_one_that_is_missing)
{
    parse("{\"upstreams\": [{\"name\": \"app\", \"url\": \"http://app\", \"breaker\": "
          "{\"slow_threshold_percent\": 0, \"ramp_ms\": 0}}]}");
    const struct config_breaker *b = &model->upstreams[0].breaker;
    cr_expect_eq(b->slow_threshold_percent, UINT32_MAX);
    cr_expect_eq(b->ramp_ms, UINT64_MAX);
    cr_expect_eq(b->consecutive, 0);
}

Test(model, routes)
{
    parse(full);
    cr_assert_eq(model->n_routes, 3);
    const struct config_route *root = &model->routes[0], *data = &model->routes[1],
                              *other = &model->routes[2];
    cr_expect_str_eq(root->name, "/");
    cr_expect_str_eq(root->path, "/");
    cr_expect_null(root->host);
    cr_expect_eq(root->methods, HTTP_ANY);
    cr_expect_eq(root->upstream, 0);
    cr_expect_eq(root->max_body_bytes, UINT64_MAX);
    cr_expect_eq(root->n_fallbacks, 0);
    cr_expect_str_eq(data->name, "data");
    cr_expect_str_eq(data->path, "/api/data");
    cr_expect_str_eq(data->host, "api.example.com");
    cr_expect_eq(data->methods, HTTP_GET | HTTP_POST);
    cr_expect_eq(data->upstream, 1);
    cr_expect(data->strip_path);
    cr_expect_eq(data->max_body_bytes, 0);
    cr_assert_eq(data->n_fallbacks, 4);
    cr_expect_str_eq(other->name, "/api/data");
    cr_expect_str_eq(other->rewrite, "/new");
}

Test(model, fallbacks)
{
    parse(full);
    const struct config_fallback *chain = model->routes[1].fallbacks;
    cr_expect_eq(chain[0].kind, FALLBACK_MOCK);
    cr_expect_eq(chain[0].mock_methods, 0, "rpc methods alone: no other request is answered");
    cr_expect_str_eq(chain[0].rpc_methods[1], "eth_b");
    cr_expect_null(chain[0].rpc_methods[2]);
    cr_expect_eq(chain[0].mock_status, 203);
    cr_expect_str_eq(chain[0].mock_content_type, "text/plain");
    cr_expect_str_eq(chain[0].mock_body, "${path}");
    cr_expect_eq(chain[1].mock_methods, HTTP_GET | HTTP_HEAD);
    cr_expect_eq(chain[1].mock_status, 200);
    cr_expect_str_eq(chain[1].mock_content_type, "application/json");
    cr_expect_null(chain[1].rpc_methods);
    cr_expect_eq(chain[2].kind, FALLBACK_CACHE);
    cr_expect_eq(chain[2].max_age_ms, 5000);
    cr_expect_eq(chain[3].kind, FALLBACK_ERROR);
}

Test(model, a_route_without_a_chain_has_its_upstreams)
{
    parse("{\"upstreams\": [{\"name\": \"a\", \"url\": \"http://a\", \"fallbacks\":"
          " [{\"kind\": \"cache\"}, {\"kind\": \"error\"}]}], \"routes\":"
          " [{\"path\": \"/\", \"upstream\": \"a\"},"
          "  {\"path\": \"/b\", \"upstream\": \"a\", \"fallbacks\": [{\"kind\": \"error\"}]}]}");
    size_t n;
    const struct config_upstream *upstream = &model->upstreams[0];
    cr_expect_eq(config_fallbacks(upstream, &model->routes[0], &n), upstream->fallbacks);
    cr_expect_eq(n, 2);
    cr_expect_eq(upstream->fallbacks[0].max_age_ms, 86400000);
    cr_expect_eq(config_fallbacks(upstream, &model->routes[1], &n), model->routes[1].fallbacks);
    cr_expect_eq(n, 1);
}

Test(model, parameters)
{
    parse(full);
    cr_expect_str_eq(config_model_parameter(model, "PORT"), "8080");
    cr_expect_str_eq(config_model_parameter(model, "LOG_LEVEL"), "debug");
    cr_expect_str_eq(config_model_parameter(model, "CIRCUIT_BREAKERS"), "false");
    cr_expect_null(config_model_parameter(model, "PORTS"));
    cr_expect_str_eq(config_model_parameter_place(model, "PORT"), "c.json:1:41");
    cr_expect_null(config_model_parameter_place(model, "CB_TIMEOUT"));
}

Test(model, empty_file_object)
{
    parse("{}");
    cr_expect_eq(model->n_upstreams, 0);
    cr_expect_eq(model->n_routes, 0);
    parse("{\"upstreams\":[],\"routes\":[],\"parameters\":{}}");
}

Test(model, syntax_errors)
{
    cleanup();
    const char text[] = "{\n \"routes\": [,]}";
    cr_expect_eq(config_model_parse("c.json", text, strlen(text), &problems, &model), -EINVAL);
    cr_expect_eq(strncmp(problems.items[0], "c.json:2:13: not JSON: ", 23), 0, "%s",
                 problems.items[0]);
    cleanup();
    const char twice[] = "{\"routes\":[],\n\"routes\":[]}";
    cr_expect_eq(config_model_parse("c.json", twice, strlen(twice), &problems, &model), -EINVAL);
    cr_expect_not_null(strstr(problems.items[0], "duplicate object key"), "%s", problems.items[0]);
    const char *const bad[] = {
        "", "{", "[", "{}x", "nul", "{\"a\":\"\xff\"}", "{'a':1}", "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cleanup();
        cr_expect_eq(config_model_parse("c", bad[i], strlen(bad[i]), &problems, &model), -EINVAL);
        cr_expect_eq(problems.n, 1, "%s", bad[i]);
    }
}

#define UPSTREAM(rest) "{\"upstreams\":[{\"name\":\"a\",\"url\":\"http://a\"" rest "}]}"
#define ROUTE(rest)                                                                                \
    "{\"upstreams\":[{\"name\":\"a\",\"url\":\"http://a\"}],\n\"routes\":[{" rest "}]}"

Test(model, wrong_kinds)
{
    expect_problem("[]", "c.json:1:1: is a list, allowed is an object");
    expect_problem("{\"upstreams\":{}}",
                   "c.json:1:14: upstreams: is an object, allowed is a list of objects: "
                   "[{...}, ...]");
    expect_problem(ROUTE("\"path\":\"/\",\"upstream\":\"a\",\"fallbacks\":{}"),
                   "c.json:2:50: routes[0].fallbacks: is an object, allowed is a list of objects: "
                   "[{...}, ...]");
    expect_problem(UPSTREAM(",\"breaker\":{\"reset_timeout_ms\":5,\"reset_timeout_max_ms\":4}"),
                   "c.json:1:54: upstreams[0].breaker: 'reset_timeout_ms' is 5 and above "
                   "'reset_timeout_max_ms', which is 4");
    expect_problem(UPSTREAM(",\"ejection\":{\"time_ms\":300001}"),
                   "c.json:1:55: upstreams[0].ejection: 'time_ms' is 300001 and above "
                   "'time_max_ms', which is 300000");
    expect_problem(UPSTREAM(",\"outcomes\":{\"rpc_failure\":[\"-32603.0\"]}"),
                   "c.json:1:71: upstreams[0].outcomes.rpc_failure[0]: '-32603.0' is not of the "
                   "form, allowed a code (-32603) or a range (-32099..-32000)");
    expect_problem("{\"upstreams\":[7]}",
                   "c.json:1:15: upstreams[0]: is a number, allowed is an object");
    expect_problem(UPSTREAM(",\"idle_timeout_ms\":\"9\""),
                   "c.json:1:62: upstreams[0].idle_timeout_ms: is a text, allowed is a whole "
                   "number (1 to 3600000 ms)");
    expect_problem(UPSTREAM(",\"idle_timeout_ms\":1.0"),
                   "c.json:1:62: upstreams[0].idle_timeout_ms: is a fraction, allowed is a whole "
                   "number (1 to 3600000 ms)");
    expect_problem(UPSTREAM(",\"breaker\":null"),
                   "c.json:1:54: upstreams[0].breaker: is null, allowed is an object");
    expect_problem(ROUTE("\"path\":\"/\",\"upstream\":\"a\",\"strip_path\":1"),
                   "c.json:2:51: routes[0].strip_path: is a number, allowed is true or false "
                   "(true, false)");
    expect_problem(ROUTE("\"path\":[],\"upstream\":\"a\""),
                   "c.json:2:19: routes[0].path: is a list, allowed is a text (a path that begins "
                   "with '/', without '//', dot segments, '?', '#', '%' and blanks)");
    expect_problem("{\"$schema\":1}",
                   "c.json:1:12: $schema: is a number, allowed is a text (text)");
}

Test(model, out_of_range_and_form)
{
    expect_problem(UPSTREAM(",\"max_connections\":0"),
                   "c.json:1:62: upstreams[0].max_connections: '0' is out of range, allowed 1 to "
                   "65535 connections");
    expect_problem(UPSTREAM(",\"breaker\":{\"probes\":-1}"),
                   "c.json:1:64: upstreams[0].breaker.probes: '-1' is out of range, allowed 1 to "
                   "255 calls");
    expect_problem("{\"upstreams\":[{\"name\":\"A\",\"url\":\"http://a\"}]}",
                   "c.json:1:23: upstreams[0].name: 'A' is not of the form, allowed 1 to 23 of "
                   "a-z, 0-9 and '-'");
    expect_problem("{\"upstreams\":[{\"name\":\"abcdefghijklmnopqrstuvwx\",\"url\":\"http://a\"}]}",
                   "c.json:1:23: upstreams[0].name: has 24 bytes, allowed at most 23");
    expect_problem(ROUTE("\"path\":\"/a/../b\",\"upstream\":\"a\""),
                   "c.json:2:19: routes[0].path: '/a/../b' is not of the form, allowed a path that "
                   "begins with '/', without '//', dot segments, '?', '#', '%' and blanks");
    expect_problem(ROUTE("\"path\":\"/\",\"upstream\":\"a\",\"host\":\"a:80\""),
                   "c.json:2:45: routes[0].host: 'a:80' is not of the form, allowed a host name or "
                   "address without port, IPv6 in brackets");
    expect_problem(ROUTE("\"path\":\"/\",\"upstream\":\"a\",\"methods\":[\"GET\",\"get\"]"),
                   "c.json:2:55: routes[0].methods[1]: 'get' is none of the choices, allowed GET, "
                   "HEAD, POST, PUT, DELETE, PATCH, OPTIONS, OTHER");
    expect_problem(ROUTE("\"path\":\"/\",\"upstream\":\"a\",\"methods\":[]"),
                   "c.json:2:48: routes[0].methods: has 0 items, allowed 1 to 32");
}

Test(model, upstream_addresses)
{
    expect_problem("{\"upstreams\":[{\"name\":\"a\"}]}",
                   "c.json:1:15: upstreams[0]: needs an address: the field 'url' or 'urls'");
    expect_problem(UPSTREAM(",\"urls\":[\"http://b\"]"),
                   "c.json:1:15: upstreams[0]: has both 'url' and 'urls', allowed is one of them");
    expect_problem("{\"upstreams\":[{\"name\":\"a\",\"url\":\"ftp://a\"}]}",
                   "c.json:1:33: upstreams[0].url: 'ftp://a' is no URL of an upstream, "
                   "allowed " CONFIG_URL_ALLOWED);
    expect_problem("{\"upstreams\":[{\"name\":\"a\",\"url\":\"http://u:secret@a\"}]}",
                   "c.json:1:33: upstreams[0].url: '********' names and passwords do not belong "
                   "into it, allowed " CONFIG_URL_ALLOWED);
    expect_problem("{\"upstreams\":[{\"name\":\"a\",\"urls\":[\"http://a/x\",\n\"http://a/y\"]}]}",
                   "c.json:2:1: upstreams[0].urls[1]: 'http://a/y' has another path than the "
                   "first, allowed is the same for all");
    expect_problem("{\"upstreams\":[{\"name\":\"a\",\"url\":\"http://a\"},"
                   "{\"name\":\"a\",\"url\":\"http://b\"}]}",
                   "c.json:1:53: upstreams[1].name: 'a' is already the name of upstreams[0]");
}

Test(model, unknown_keys)
{
    expect_problem("{\"upstream\":[]}",
                   "c.json:1:2: upstream: there is no such field; did you mean upstreams?");
    expect_problem(UPSTREAM(",\"conect_timeout_ms\":1"),
                   "c.json:1:44: upstreams[0].conect_timeout_ms: there is no such field; did you "
                   "mean connect_timeout_ms?");
    expect_problem("{\"colour scheme\":1}",
                   "c.json:1:2: [\"colour scheme\"]: there is no such field, allowed $schema, "
                   "parameters, upstreams, routes, limits, advice");
    expect_problem("{\"parameters\":{\"CB_TIMOUT\":1}}",
                   "c.json:1:16: parameters.CB_TIMOUT: there is no such parameter; did you mean "
                   "CB_TIMEOUT?");
    expect_problem("{\"parameters\":{\"CB_TIMEOUT\":1.5}}",
                   "c.json:1:29: parameters.CB_TIMEOUT: is a fraction, allowed is a text, a whole "
                   "number, true or false");
    expect_problem("{\"parameters\":{\"CONFIG_FILE\":\"x\"}}",
                   "c.json:1:30: parameters.CONFIG_FILE: cannot stand in the file that it names, "
                   "allowed is the environment or --set");
    expect_problem("{\"parameters\":[]}",
                   "c.json:1:15: parameters: is a list, allowed is an object of parameters");
}

Test(model, route_rules)
{
    expect_problem(ROUTE("\"path\":\"/\""),
                   "c.json:2:11: routes[0]: the field 'upstream' is missing");
    expect_problem(ROUTE("\"path\":\"/\",\"upstream\":\"ap\""),
                   "c.json:2:34: routes[0].upstream: no upstream named 'ap'; there are: a");
    expect_problem("{\"routes\":[{\"path\":\"/\",\"upstream\":\"ap\"}]}",
                   "c.json:1:35: routes[0].upstream: no upstream named 'ap'; there is none");
    expect_problem(
        ROUTE("\"path\":\"/\",\"upstream\":\"a\",\"strip_path\":true,\"rewrite\":\"/x\""),
        "c.json:2:11: routes[0]: has both 'strip_path' and 'rewrite', allowed is one of them");
    expect_problem(
        ROUTE("\"path\":\"/a\",\"upstream\":\"a\"},\n{\"path\":\"/a/\",\"upstream\":\"a\","
              "\"methods\":[\"PUT\"]"),
        "c.json:3:1: routes[1]: has the host, path and methods of routes[0], too");
    expect_problem(ROUTE("\"name\":\"x\",\"path\":\"/a\",\"upstream\":\"a\"},\n"
                         "{\"name\":\"x\",\"path\":\"/b\",\"upstream\":\"a\""),
                   "c.json:3:1: routes[1]: 'x' is already the name of routes[0], allowed is a "
                   "'name' of its own");
    expect_problem(ROUTE("\"path\":\"/a\",\"upstream\":\"a\",\"methods\":[\"GET\"]},\n"
                         "{\"path\":\"/a\",\"upstream\":\"a\",\"methods\":[\"PUT\"]"),
                   "c.json:3:1: routes[1]: '/a' is already the name of routes[0], allowed is a "
                   "'name' of its own");
    parse(ROUTE("\"path\":\"/a\",\"upstream\":\"a\",\"host\":\"x\"},{\"path\":\"/a\",\"upstream\":"
                "\"a\",\"host\":\"y\"},{\"path\":\"/a\",\"upstream\":\"a\""));
    cr_expect_str_eq(model->routes[0].name, "x/a");
}

#define FALLBACK(rest) ROUTE("\"path\":\"/\",\"upstream\":\"a\",\"fallbacks\":[" rest "]")

Test(model, fallback_rules)
{
    expect_problem(FALLBACK("{\"kind\":\"quack\"}"),
                   "c.json:2:59: routes[0].fallbacks[0].kind: 'quack' is none of the choices, "
                   "allowed mock, error, queue, cache");
    expect_problem(FALLBACK("{\"kind\":\"error\",\"max_age_ms\":5000}"),
                   "c.json:2:67: routes[0].fallbacks[0].max_age_ms: only a fallback of kind "
                   "'cache' has this field");
    expect_problem(
        FALLBACK("{\"kind\":\"error\",\"order_by\":[\"X-A\"]}"),
        "c.json:2:67: routes[0].fallbacks[0].order_by: only a fallback of kind 'queue' has "
        "this field");
    expect_problem(FALLBACK("{\"kind\":\"queue\",\"order_by\":[\"X-A\",\"json:params\"]}"),
                   "c.json:2:85: routes[0].fallbacks[0].order_by[1]: 'json:params' is not of the "
                   "form, allowed a header's name of at most 63 bytes, or json:/POINTER (RFC 6901) "
                   "of at most 127");
    expect_problem(FALLBACK("{\"kind\":\"mock\"}"),
                   "c.json:2:51: routes[0].fallbacks[0]: a mock needs the field 'body'");
    expect_problem(FALLBACK("{\"kind\":\"error\",\"status\":200}"),
                   "c.json:2:67: routes[0].fallbacks[0].status: only a fallback of kind 'mock' has "
                   "this field");
    expect_problem(FALLBACK("{\"kind\":\"mock\",\"body\":\"x\",\"status\":204}"),
                   "c.json:2:51: routes[0].fallbacks[0]: a mock of status 204 has no body, "
                   "allowed is \"\"");
    expect_problem(FALLBACK("{\"kind\":\"mock\",\"body\":\"${id}\"}"),
                   "c.json:2:73: routes[0].fallbacks[0].body: '${id}' is not of the form, allowed "
                   "text with no variables but ${request_id}, ${rpc_id} and ${path}");
    expect_problem(FALLBACK("{\"kind\":\"mock\",\"body\":\"\",\"methods\":[\"PUT\"]}"),
                   "c.json:2:87: routes[0].fallbacks[0].methods[0]: 'PUT' is none of the choices, "
                   "allowed GET, HEAD");
    expect_problem(FALLBACK("{\"kind\":\"mock\",\"body\":\"\",\"content_type\":\"a\\r\\nX: y\"}"),
                   "c.json:2:91: routes[0].fallbacks[0].content_type: 'a\r\nX: y' is not of the "
                   "form, allowed printable ASCII");
    expect_problem(FALLBACK("{\"kind\":\"error\"},{\"kind\":\"error\"}"),
                   "c.json:2:68: routes[0].fallbacks[1]: is never reached: the 'error' before it "
                   "answers all");
    expect_problem(FALLBACK("{\"kind\":\"error\"},{\"kind\":\"error\"},{\"kind\":\"error\"},"
                            "{\"kind\":\"error\"},{\"kind\":\"error\"}"),
                   "c.json:2:50: routes[0].fallbacks: has 5 items, allowed 0 to 4");
}

#define OUTCOMES(rest)                                                                             \
    "{\"upstreams\":[{\"name\":\"a\",\"url\":\"http://a\",\"outcomes\":{" rest "}}],\"routes\":[]" \
    "}"

Test(model, outcomes)
{
    parse(OUTCOMES("\"failure\":[\"429\",\"520..599\",\"reset\"],\"ignored\":[\"501\"],"
                   "\"rpc_failure\":[\"-32099..-32000\"],\"rpc_timeout\":[\"-32603\"]"));
    const struct config_outcomes *outcomes = &model->upstreams[0].outcomes;
    cr_expect_eq(config_outcome_of_status(outcomes, 429), OUTCOME_FAILURE);
    cr_expect_eq(config_outcome_of_status(outcomes, 430), OUTCOME_UNSAID);
    cr_expect_eq(config_outcome_of_status(outcomes, 599), OUTCOME_FAILURE);
    cr_expect_eq(config_outcome_of_status(outcomes, 600), OUTCOME_UNSAID);
    cr_expect_eq(config_outcome_of_status(outcomes, 501), OUTCOME_IGNORED);
    cr_expect_eq(outcomes->of_end[CALL_END_reset], OUTCOME_FAILURE);
    cr_expect_eq(outcomes->of_end[CALL_END_idle_timeout], OUTCOME_UNSAID);
    cr_expect_eq(config_outcome_of_rpc(outcomes, -32000), OUTCOME_FAILURE);
    cr_expect_eq(config_outcome_of_rpc(outcomes, -32603), OUTCOME_TIMEOUT);
    cr_expect_eq(config_outcome_of_rpc(outcomes, 0), OUTCOME_UNSAID);
    int64_t from, to;
    cr_expect_eq(config_range_parse("5", 0, 9, &from, &to), 0);
    cr_expect(from == 5 && to == 5);
    static const char *const bad[] = {"",   "5..", "..5", "5..4", "5.6",   "5..6x",
                                      "10", "-1",  "+5",  " 5",   "5...6", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(config_range_parse(bad[i], 0, 9, &from, &to), -EINVAL, "%s", bad[i]);
}

Test(model, outcomes_are_said_once)
{
    expect_problem(OUTCOMES("\"failure\":[\"500..599\"],\"timeout\":[\"504\"]"),
                   "c.json:1:90: upstreams[0].outcomes.timeout[0]: '504' is in another list too, "
                   "allowed is one of them");
    expect_problem(OUTCOMES("\"rpc_failure\":[\"-9..-1\"],\"rpc_ignored\":[\"-3\"]"),
                   "c.json:1:96: upstreams[0].outcomes.rpc_ignored[0]: '-3' is in another list "
                   "too, allowed is one of them");
}

Test(model, all_problems_at_once)
{
    const char text[] = "{\"upstreams\":[{\"name\":\"A\",\"url\":\"ftp://x\"},7],\n"
                        "\"routes\":[{\"path\":\"x\",\"upstream\":\"q\",\"nmae\":1}],\n"
                        "\"parameters\":{\"X\":1},\"z\":0}";
    cr_expect_eq(config_model_parse("c", text, strlen(text), &problems, &model), -EINVAL);
    cr_expect_eq(problems.n, 8);
    for (size_t i = 0; i < problems.n; i++)
        cr_expect_eq(strncmp(problems.items[i], "c:", 2), 0);
}

Test(model, load)
{
    char path[] = "/tmp/valvechain-model-XXXXXX", expected[200];
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, full, strlen(full)), (ssize_t)strlen(full));
    cr_expect_eq(config_model_load(path, &problems, &model), 0);
    cr_expect_eq(model->n_routes, 3);
    config_model_destroy(&model);
    cr_assert_eq(ftruncate(fd, 1024 * 1024 + 1), 0);
    cr_expect_eq(config_model_load(path, &problems, &model), -EFBIG);
    close(fd);
    unlink(path);
    cr_expect_eq(config_model_load(path, &problems, &model), -ENOENT);
    cr_assert_eq(problems.n, 2);
    snprintf(expected, sizeof(expected),
             "%s: cannot read the configuration file: No such file or directory", path);
    cr_expect_str_eq(problems.items[1], expected);
    cr_expect_eq(config_model_load("/", &problems, &model), -EISDIR);
}

Test(model, smtp_of_upstreams)
{
    parse("{\"upstreams\":[{\"name\":\"a\",\"url\":\"smtp://a:587\",\"tls\":{\"ca_file\":\"/c\"},"
          "\"smtp\":{\"from\":\"x@y.z\",\"username\":\"u\",\"password_file\":\"/p\"}}]}");
    cr_expect(config_upstream_is_smtp(&model->upstreams[0]));
    cr_expect_eq(model->upstreams[0].smtp.starttls, STARTTLS_AUTO);
    cr_expect_str_eq(model->upstreams[0].smtp.from, "x@y.z");
    static const struct {
        const char *upstream, *problem;
    } bad[] = {
        {"\"url\":\"http://a\",\"smtp\":{}", "allowed with smtp:// and smtps://"},
        {"\"url\":\"smtp://a\",\"smtp\":{\"username\":\"u\"}", "allowed is both or none"},
        {"\"url\":\"smtps://a\",\"smtp\":{\"starttls\":\"never\"}", "nothing with smtps://"},
        {"\"url\":\"smtp://a\",\"smtp\":{\"username\":\"u\",\"password_file\":\"/p\","
         "\"starttls\":\"if-offered\"}",
         "would go unencrypted"},
        {"\"url\":\"smtp://a/b\"", "have no path"},
        {"\"urls\":[\"smtp://a\",\"http://b\"]", "another scheme"},
        {"\"url\":\"smtp://a\",\"smtp\":{\"from\":\"no address\"}", "name@example.org"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[256];
        struct problems found = PROBLEMS_INIT;
        struct config_model *none = NULL;
        int len =
            snprintf(text, sizeof(text), "{\"upstreams\":[{\"name\":\"a\",%s}]}", bad[i].upstream);
        cr_expect_eq(config_model_parse("c.json", text, (size_t)len, &found, &none), -EINVAL);
        cr_expect(found.n == 1 && strstr(found.items[0], bad[i].problem), "%s: %s", text,
                  found.n > 0 ? found.items[0] : "");
        problems_fini(&found);
    }
}

Test(model, tls_and_http2_of_upstreams)
{
    const char text[] = "{\"upstreams\":[{\"name\":\"a\",\"url\":\"https://a\",\"http2\":\"off\","
                        "\"tls\":{\"ca_file\":\"/c\",\"server_name\":\"b\",\"certificate\":\"/d\","
                        "\"key\":\"/e\"}},{\"name\":\"b\",\"url\":\"http://b\","
                        "\"http2\":\"prior-knowledge\"},{\"name\":\"c\",\"url\":\"https://c\"}]}";
    parse(text);
    const struct config_upstream *up = model->upstreams;
    cr_expect_str_eq(up[0].tls.ca_file, "/c");
    cr_expect_str_eq(up[0].tls.server_name, "b");
    cr_expect_str_eq(up[0].tls.certificate, "/d");
    cr_expect_str_eq(up[0].tls.key, "/e");
    cr_expect_eq(up[0].http2, HTTP2_OFF);
    cr_expect_eq(up[1].http2, HTTP2_PRIOR_KNOWLEDGE);
    cr_expect_eq(up[2].http2, HTTP2_AUTO);
    cr_expect_null(up[2].tls.ca_file);
    expect_problem("{\"upstreams\":[{\"name\":\"a\",\"url\":\"http://a\",\"tls\":{}}]}",
                   "c.json:1:44: upstreams[0].tls: means nothing here, allowed with https:// "
                   "and smtp[s]://");
    expect_problem(
        "{\"upstreams\":[{\"name\":\"a\",\"url\":\"https://a\",\"tls\":{\"key\":\"k\"}}]}",
        "c.json:1:45: upstreams[0].tls: has one of 'certificate' and 'key', allowed is "
        "both or none");
    expect_problem(
        "{\"upstreams\":[{\"name\":\"a\",\"urls\":[\"https://a\",\n\"http://a\"]}]}",
        "c.json:2:1: upstreams[0].urls[1]: 'http://a' has another scheme than the first, "
        "allowed is the same for all");
}
