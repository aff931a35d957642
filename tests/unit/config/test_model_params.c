#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "config/model.h"

static struct config_model *model;
static struct problems problems;
static struct upstreams_params params;
static char empty[] = "";
static char url_a[] = "http://a:1", url_b[] = "unix:/b", bad_url[] = "https://user:pw@x";

static void setup(void)
{
    model = config_model_empty();
    cr_assert_not_null(model);
    params = (struct upstreams_params){empty, empty, empty, empty};
}

static void cleanup(void)
{
    config_model_destroy(&model);
    problems_fini(&problems);
}

TestSuite(model_params, .init = setup, .fini = cleanup);

static void parse(const char *text)
{
    config_model_destroy(&model);
    cr_assert_eq(config_model_parse("c", text, strlen(text), &problems, &model), 0);
}

Test(model_params, nothing_set)
{
    cr_assert_eq(config_model_add_params(model, &params, &problems), 0);
    cr_expect_eq(model->n_upstreams, 0);
    cr_expect_eq(model->n_routes, 0);
}

Test(model_params, one_variable_is_a_complete_configuration)
{
    params.app_url = url_a;
    cr_assert_eq(config_model_add_params(model, &params, &problems), 0);
    cr_assert_eq(model->n_upstreams, 1);
    cr_assert_eq(model->n_routes, 1);
    const struct config_upstream *app = &model->upstreams[0];
    const struct config_route *route = &model->routes[0];
    cr_expect_str_eq(app->name, "app");
    cr_expect_str_eq(app->endpoints[0].host, "a");
    cr_expect_eq(app->connect_timeout_ms, 1000);
    cr_expect_eq(app->max_connections, 256);
    cr_expect_str_eq(route->name, "app");
    cr_expect_str_eq(route->path, "/");
    cr_expect_eq(route->methods, HTTP_ANY);
    cr_expect_eq(route->max_body_bytes, UINT64_MAX);
    cr_expect_not(route->strip_path);
    cr_expect_null(route->rewrite);
    cr_expect_eq(route->n_fallbacks, 0);
}

Test(model_params, all_four)
{
    params = (struct upstreams_params){url_a, url_b, url_a, url_b};
    cr_assert_eq(config_model_add_params(model, &params, &problems), 0);
    static const struct {
        const char *name, *path;
        size_t n_fallbacks;
    } expected[] = {{"app", "/", 0},
                    {"database", "/api/db", 2},
                    {"blockchain", "/api/chain", 3},
                    {"email", "/api/email", 2}};
    cr_assert_eq(model->n_routes, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct config_route *route = &model->routes[i];
        cr_expect_eq(route->upstream, i);
        cr_expect_str_eq(model->upstreams[i].name, expected[i].name);
        cr_expect_str_eq(route->path, expected[i].path);
        cr_assert_eq(route->n_fallbacks, expected[i].n_fallbacks);
        if (route->n_fallbacks)
            cr_expect_eq(route->fallbacks[route->n_fallbacks - 1].kind, FALLBACK_ERROR);
    }
    cr_expect_eq(model->routes[1].fallbacks[0].kind, FALLBACK_CACHE);
    cr_expect_eq(model->routes[1].fallbacks[0].max_age_ms, 86400000);
    const struct config_fallback *mock = &model->routes[2].fallbacks[0];
    cr_expect_eq(mock->kind, FALLBACK_MOCK);
    cr_expect_eq(mock->mock_methods, 0);
    cr_expect_eq(mock->mock_status, 200);
    cr_expect_str_eq(mock->rpc_methods[0], "eth_blockNumber");
    cr_expect_str_eq(mock->rpc_methods[5], "eth_syncing");
    cr_expect_null(mock->rpc_methods[6]);
    const struct config_fallback *queue = &model->routes[2].fallbacks[1];
    cr_expect_eq(queue->kind, FALLBACK_QUEUE);
    cr_expect_str_eq(queue->rpc_methods[0], "eth_sendRawTransaction");
    cr_expect_null(queue->rpc_methods[1]);
    cr_expect_str_eq(queue->order_by[0], "X-Chain-Id");
    cr_expect_eq(model->routes[3].fallbacks[0].kind, FALLBACK_QUEUE);
    cr_expect_null(model->routes[3].fallbacks[0].rpc_methods);
}

Test(model_params, the_mock_invents_nothing)
{
    params.blockchain_url = url_a;
    cr_assert_eq(config_model_add_params(model, &params, &problems), 0);
    const char *body = model->routes[0].fallbacks[0].mock_body, *id = strstr(body, "${rpc_id}");
    cr_assert_not_null(id);
    char text[200];
    snprintf(text, sizeof(text), "%.*s17%s", (int)(id - body), body, id + strlen("${rpc_id}"));
    json_t *reply = json_loads(text, 0, NULL);
    cr_assert_not_null(reply, "%s", text);
    cr_expect_str_eq(json_string_value(json_object_get(reply, "jsonrpc")), "2.0");
    cr_expect_eq(json_integer_value(json_object_get(reply, "id")), 17);
    cr_expect(json_is_null(json_object_get(reply, "result")));
    cr_expect(json_is_true(json_object_get(reply, "mock")));
    json_decref(reply);
}

Test(model_params, a_variable_moves_the_upstream_of_the_file)
{
    parse("{\"upstreams\":[{\"name\":\"app\",\"urls\":[\"http://old/x\",\"http://old2/x\"],"
          "\"idle_timeout_ms\":5}],\"routes\":[{\"path\":\"/only\",\"upstream\":\"app\"}]}");
    params.app_url = url_a;
    cr_assert_eq(config_model_add_params(model, &params, &problems), 0);
    cr_assert_eq(model->n_upstreams, 1);
    cr_assert_eq(model->upstreams[0].n_endpoints, 1);
    cr_expect_str_eq(model->upstreams[0].endpoints[0].host, "a");
    cr_expect_str_empty(model->upstreams[0].base_path);
    cr_expect_eq(model->upstreams[0].idle_timeout_ms, 5);
    cr_expect_eq(model->n_routes, 1);
}

Test(model_params, other_routes_of_the_file_stay)
{
    parse("{\"upstreams\":[{\"name\":\"web\",\"url\":\"http://w\"}],"
          "\"routes\":[{\"path\":\"/web\",\"upstream\":\"web\"}]}");
    params.app_url = url_a;
    cr_assert_eq(config_model_add_params(model, &params, &problems), 0);
    cr_assert_eq(model->n_routes, 2);
    cr_expect_eq(model->routes[1].upstream, 1);
    cr_expect_str_eq(model->routes[0].path, "/web");
}

Test(model_params, contradictions_and_bad_urls_are_told_at_once)
{
    parse("{\"upstreams\":[{\"name\":\"web\",\"url\":\"http://w\"}],"
          "\"routes\":[{\"path\":\"/\",\"upstream\":\"web\"}]}");
    params.app_url = url_a;
    params.email_url = bad_url;
    cr_assert_eq(config_model_add_params(model, &params, &problems), -EINVAL);
    cr_assert_eq(problems.n, 2);
    cr_expect_str_eq(problems.items[0],
                     "UPSTREAM_URL: the configuration file already has a route for '/' or named "
                     "'app' (routes[0]), allowed is one of the two");
    cr_expect_str_eq(problems.items[1],
                     "EMAIL_UPSTREAM_URL: '********' names and passwords do not belong into it, "
                     "allowed " CONFIG_URL_ALLOWED);
}

Test(model_params, mail_waits_for_its_server_where_the_queue_is_not_first)
{
    static char mail[] = "smtp://mail:587";
    params.app_url = params.email_url = mail;
    cr_assert_eq(config_model_add_params(model, &params, &problems), 0);
    for (size_t i = 0; i < model->n_routes; i++) {
        struct config_route *route = &model->routes[i];
        struct config_upstream *upstream = &model->upstreams[route->upstream];
        bool is_email = strcmp(upstream->name, "email") == 0;
        cr_expect_eq(config_mail_is_direct(upstream, route), !is_email, "%s", upstream->name);
        upstream->smtp.submit = SUBMIT_DIRECT;
        cr_expect(config_mail_is_direct(upstream, route));
        upstream->endpoints[0].smtp = false;
        cr_expect_not(config_mail_is_direct(upstream, route), "it is no mail server");
    }
}
