// The backend in one variable each: UPSTREAM_URL and its kin as upstreams and routes.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/reader.h"

// JSON-RPC methods that read and that a client asks for at start: with a mock it can go on and say
// that the chain is not there. The mock invents no block and no price: its result is null, and the
// member "mock" says what it is.
static const char *const rpc_reads[] = {"eth_blockNumber",    "eth_chainId",  "net_version",
                                        "web3_clientVersion", "eth_gasPrice", "eth_syncing"};
// A signed transaction may arrive twice: it is known by its hash. Transactions of one sender on one
// chain wait for each other when the client says who that is.
static const char *const rpc_writes[] = {"eth_sendRawTransaction"};
static const char *const rpc_lane[] = {"X-Chain-Id", "X-Sender"};
static const char rpc_mock[] =
    "{\"jsonrpc\":\"2.0\",\"id\":${rpc_id},\"result\":null,\"mock\":true}";

struct standard {
    const char *variable;
    const char *upstream; // also the route's name
    const char *path;
    bool has_rpc_mock; // and a queue for JSON-RPC writes
    bool has_queue;
    bool has_cache;
    bool has_error;
    size_t url_offset; // in struct upstreams_params
};

#define URL(field) offsetof(struct upstreams_params, field)
static const struct standard standards[] = {
    {"UPSTREAM_URL", "app", "/", false, false, false, false, URL(app_url)},
    {"DATABASE_UPSTREAM_URL", "database", "/api/db", false, false, true, true, URL(database_url)},
    {"BLOCKCHAIN_UPSTREAM_URL", "blockchain", "/api/chain", true, false, false, true,
     URL(blockchain_url)},
    {"EMAIL_UPSTREAM_URL", "email", "/api/email", false, true, false, true, URL(email_url)},
};
#undef URL

static int add_endpoint(struct config_upstream *upstream, const struct standard *standard,
                        const char *url, struct problems *problems)
{
    const char *why;
    int r = config_upstream_add_url(upstream, url, &why);
    if (r == -EINVAL) // a URL may hold a password
        problems_add(problems, "%s: '%.80s' %s", standard->variable,
                     strchr(url, '@') ? "********" : url, why);
    return r;
}

// One more zeroed item behind the `*n` of `array`; NULL: no memory. Counted by the caller's use of
// it, so that a half-made item is freed with the model.
static void *grow(void **array, size_t *n, size_t size)
{
    char *items = realloc(*array, (*n + 1) * size);
    if (!items)
        return NULL;
    *array = items;
    memset(items + *n * size, 0, size);
    return items + (*n)++ * size;
}

static char **copy_texts(const char *const *texts, size_t n)
{
    char **copy = calloc(n + 1, sizeof(char *));
    for (size_t i = 0; copy && i < n; i++) {
        copy[i] = strdup(texts[i]);
        if (!copy[i]) {
            while (i-- > 0)
                free(copy[i]);
            free(copy);
            return NULL;
        }
    }
    return copy;
}

static struct config_fallback *add_fallback(struct config_route *route, enum fallback_kind kind)
{
    struct config_fallback *fallback = &route->fallbacks[route->n_fallbacks++];
    if (config_object_defaults(OBJECT_fallback, fallback) < 0)
        return NULL;
    fallback->kind = kind;
    return fallback;
}

static int add_rpc_fallbacks(struct config_route *route)
{
    struct config_fallback *mock = add_fallback(route, FALLBACK_MOCK);
    if (!mock)
        return -ENOMEM;
    mock->mock_methods = 0;
    mock->mock_body = strdup(rpc_mock);
    mock->rpc_methods = copy_texts(rpc_reads, sizeof(rpc_reads) / sizeof(rpc_reads[0]));
    if (!mock->mock_body || !mock->rpc_methods)
        return -ENOMEM;
    struct config_fallback *queue = add_fallback(route, FALLBACK_QUEUE);
    if (!queue)
        return -ENOMEM;
    queue->rpc_methods = copy_texts(rpc_writes, sizeof(rpc_writes) / sizeof(rpc_writes[0]));
    queue->order_by = copy_texts(rpc_lane, sizeof(rpc_lane) / sizeof(rpc_lane[0]));
    return queue->rpc_methods && queue->order_by ? 0 : -ENOMEM;
}

static int add_route(struct config_model *model, const struct standard *standard, size_t upstream,
                     struct problems *problems)
{
    struct config_route *route = grow((void **)&model->routes, &model->n_routes, sizeof(*route));
    if (!route || config_object_defaults(OBJECT_route, route) < 0)
        return -ENOMEM;
    route->upstream = upstream;
    route->name = strdup(standard->upstream);
    route->path = strdup(standard->path);
    if (!route->name || !route->path)
        return -ENOMEM;
    if (standard->has_rpc_mock && add_rpc_fallbacks(route) < 0)
        return -ENOMEM;
    if (standard->has_cache && !add_fallback(route, FALLBACK_CACHE))
        return -ENOMEM;
    if (standard->has_queue && !add_fallback(route, FALLBACK_QUEUE))
        return -ENOMEM;
    if (standard->has_error)
        route->fallbacks[route->n_fallbacks++].kind = FALLBACK_ERROR;
    for (size_t i = 0; i + 1 < model->n_routes; i++) {
        const struct config_route *other = &model->routes[i];
        if (config_routes_overlap(other, route) || strcmp(other->name, route->name) == 0) {
            problems_add(problems,
                         "%s: the configuration file already has a route for '%s' or named '%s' "
                         "(routes[%zu]), allowed is one of the two",
                         standard->variable, route->path, route->name, i);
            return -EINVAL;
        }
    }
    return 0;
}

static int add_standard(struct config_model *model, const struct standard *standard,
                        const char *url, struct problems *problems)
{
    for (size_t i = 0; i < model->n_upstreams; i++) {
        if (strcmp(model->upstreams[i].name, standard->upstream) != 0)
            continue;
        config_upstream_drop_endpoints(&model->upstreams[i]);
        return add_endpoint(&model->upstreams[i], standard, url, problems);
    }
    if (model->n_upstreams == CONFIG_UPSTREAMS_MAX) {
        problems_add(problems, "%s: there are already %d upstreams, allowed are at most as many",
                     standard->variable, CONFIG_UPSTREAMS_MAX);
        return -EINVAL;
    }
    struct config_upstream *upstream =
        grow((void **)&model->upstreams, &model->n_upstreams, sizeof(*upstream));
    if (!upstream || config_object_defaults(OBJECT_upstream, upstream) < 0)
        return -ENOMEM;
    upstream->name = strdup(standard->upstream);
    if (!upstream->name)
        return -ENOMEM;
    int r = add_endpoint(upstream, standard, url, problems);
    return r < 0 ? r : add_route(model, standard, model->n_upstreams - 1, problems);
}

int config_model_add_params(struct config_model *model, const struct upstreams_params *upstreams,
                            struct problems *problems)
{
    int result = 0;
    for (size_t i = 0; i < sizeof(standards) / sizeof(standards[0]); i++) {
        const char *url = *(char *const *)((const char *)upstreams + standards[i].url_offset);
        int r = url && *url ? add_standard(model, &standards[i], url, problems) : 0;
        if (r == -ENOMEM) {
            problems_add(problems, "out of memory while reading the configuration");
            return r;
        }
        if (r < 0)
            result = r;
    }
    return result;
}

static bool has_route(const struct config_model *model, const char *name)
{
    for (size_t i = 0; i < model->n_routes; i++)
        if (model->routes[i].name && strcmp(model->routes[i].name, name) == 0)
            return true;
    return false;
}

bool config_may_be_route(const struct config_model *model, const char *name)
{
    for (size_t i = 0; i < sizeof(standards) / sizeof(standards[0]); i++)
        if (strcmp(standards[i].upstream, name) == 0)
            return true;
    return has_route(model, name);
}

static size_t append_name(const char *name, char *names, size_t size, size_t at)
{
    int len = snprintf(names + at, size - at, "%s%s", at > 0 ? ", " : "", name);
    size_t end = at + (size_t)(len > 0 ? len : 0);
    return end < size ? end : size - 1;
}

void config_route_names(const struct config_model *model, char *names, size_t size)
{
    size_t at = 0;
    names[0] = '\0';
    for (size_t i = 0; i < model->n_routes; i++)
        if (model->routes[i].name)
            at = append_name(model->routes[i].name, names, size, at);
    for (size_t i = 0; i < sizeof(standards) / sizeof(standards[0]); i++)
        if (!has_route(model, standards[i].upstream))
            at = append_name(standards[i].upstream, names, size, at);
}
