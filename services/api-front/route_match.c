#include "route_match.h"

#include <string.h>

static size_t prefix_len(const char *prefix)
{
    size_t len = strlen(prefix);
    return len > 0 && prefix[len - 1] == '/' ? len - 1 : len; // "/api/" is "/api", "/" is ""
}

bool route_path_matches(const char *prefix, const char *path, size_t path_len)
{
    size_t len = prefix_len(prefix);
    if (path_len < len || memcmp(prefix, path, len) != 0)
        return false;
    return path_len == len || path[len] == '/' || len == 0;
}

struct rank { // of the best routes so far
    size_t len;
    bool with_host;
    bool any;
};

static int rank_compare(const struct rank *best, size_t len, bool with_host)
{
    if (!best->any)
        return 1;
    if (len != best->len)
        return len > best->len ? 1 : -1;
    return (int)with_host - (int)best->with_host;
}

struct route_match route_find(const struct config_model *model, const char *host, const char *path,
                              size_t path_len, unsigned method_bit)
{
    struct route_match match = {0};
    struct rank best = {0};
    for (size_t i = 0; i < model->n_routes; i++) {
        const struct config_route *route = &model->routes[i];
        if (route->host != NULL && strcmp(route->host, host) != 0)
            continue;
        if (!route_path_matches(route->path, path, path_len))
            continue;
        size_t len = prefix_len(route->path);
        int order = rank_compare(&best, len, route->host != NULL);
        if (order < 0)
            continue;
        if (order > 0) {
            best = (struct rank){.len = len, .with_host = route->host != NULL, .any = true};
            match = (struct route_match){0};
        }
        match.allowed_methods |= route->methods;
        if (match.route == NULL && (route->methods & method_bit) != 0)
            match.route = route;
    }
    return match;
}

void route_allow_field(unsigned methods, struct strbuf *out)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
    bool first = true;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((methods & (1u << i)) == 0)
            continue;
        if (!first)
            strbuf_puts(out, ", ");
        first = false;
        strbuf_puts(out, names[i]);
    }
}
