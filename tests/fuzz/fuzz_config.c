// The configuration file: whatever its bytes, it is parsed or refused with problems that have a
// place, and what is parsed keeps the promises of config/model.h.
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "config/model.h"

static void check_chain(const struct config_fallback *fallbacks, size_t n)
{
    ASSERT(n <= FALLBACK_CHAIN_MAX);
    for (size_t i = 0; i < n; i++) {
        ASSERT(fallbacks[i].kind >= FALLBACK_MOCK && fallbacks[i].kind <= FALLBACK_CACHE);
        ASSERT(fallbacks[i].kind != FALLBACK_MOCK || fallbacks[i].mock_body);
    }
}

static void check_upstream(const struct config_upstream *upstream)
{
    ASSERT(upstream->name && strlen(upstream->name) >= 1 && strlen(upstream->name) <= 23);
    ASSERT(upstream->n_endpoints >= 1 && upstream->base_path);
    for (size_t i = 0; i < upstream->n_endpoints; i++) {
        const struct config_endpoint *endpoint = &upstream->endpoints[i];
        ASSERT(!endpoint->host == !!endpoint->unix_path);
        ASSERT(!endpoint->host || endpoint->port > 0);
        ASSERT(!endpoint->tls || endpoint->host);
    }
    ASSERT(upstream->connect_timeout_ms > 0 && upstream->max_connections > 0);
    check_chain(upstream->fallbacks, upstream->n_fallbacks);
    ASSERT(upstream->outcomes.n_rpc <= CONFIG_RPC_RANGES_MAX);
    for (unsigned status = CONFIG_STATUS_MIN; status <= CONFIG_STATUS_MAX; status++)
        ASSERT(config_outcome_of_status(&upstream->outcomes, status) <= OUTCOME_IGNORED);
}

static void check_route(const struct config_model *model, const struct config_route *route)
{
    ASSERT(route->name && route->path && param_is_url_path(route->path));
    ASSERT(route->upstream < model->n_upstreams);
    ASSERT(route->methods != 0 && (route->methods & ~(unsigned)HTTP_ANY) == 0);
    ASSERT(!(route->strip_path && route->rewrite));
    check_chain(route->fallbacks, route->n_fallbacks);
}

static void check_model(const struct config_model *model)
{
    for (size_t i = 0; i < model->n_upstreams; i++)
        check_upstream(&model->upstreams[i]);
    for (size_t i = 0; i < model->n_routes; i++)
        check_route(model, &model->routes[i]);
    for (size_t i = 0; i < model->n_parameters; i++)
        ASSERT(config_model_parameter(model, model->parameters[i].name) &&
               config_model_parameter_place(model, model->parameters[i].name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static char url[] = "http://127.0.0.1:1/x";
    const struct upstreams_params params = {url, url, url, url};
    struct problems problems = PROBLEMS_INIT;
    struct config_model *model = NULL;
    int r = config_model_parse("f", (const char *)data, len, &problems, &model);
    if (r == 0) {
        ASSERT(problems.n == 0);
        check_model(model);
        if (config_model_add_params(model, &params, &problems) == 0)
            check_model(model);
    } else {
        ASSERT(!model && problems.n > 0);
        for (size_t i = 0; r == -EINVAL && i < problems.n; i++)
            ASSERT(strncmp(problems.items[i], "f:", 2) == 0);
    }
    problems_fini(&problems);
    config_model_destroy(&model);
    return 0;
}
