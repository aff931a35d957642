// What the rows of config_fields.def cannot say: rules between fields and between objects.
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/reader.h"

static void check_chain(struct reader *reader, const struct json_path *path,
                        const struct config_fallback *fallbacks, size_t n)
{
    const struct json_path list = {.parent = path, .key = "fallbacks"};
    for (size_t i = 0; i + 1 < n; i++) {
        const struct json_path next = {.parent = &list, .index = i + 1};
        if (fallbacks[i].kind == FALLBACK_ERROR)
            reader_complain(reader, &next, "is never reached: the 'error' before it answers all");
    }
}

// A password never goes over a connection that anybody can read.
static void check_smtp(struct reader *reader, const struct json_path *path, json_t *json,
                       const struct config_upstream *upstream)
{
    const struct config_smtp *smtp = &upstream->smtp;
    bool is_smtp = config_upstream_is_smtp(upstream);
    const struct json_path at = {.parent = path, .key = "smtp", .at_key = true};
    if (json_object_get(json, "smtp") && upstream->n_endpoints > 0 && !is_smtp)
        reader_complain(reader, &at, "means nothing here, allowed with smtp:// and smtps://");
    if (!smtp->username != !smtp->password_file)
        reader_complain(reader, &at,
                        "has one of 'username' and 'password_file', allowed is both or none");
    if (is_smtp && upstream->endpoints[0].tls && smtp->starttls != STARTTLS_AUTO)
        reader_complain(reader, &at,
                        "'starttls' means nothing with smtps://, allowed with smtp://");
    else if (smtp->username && smtp->starttls > STARTTLS_REQUIRED)
        reader_complain(reader, &at,
                        "'starttls' must be 'required' or 'auto' with a 'username': the password "
                        "would go unencrypted");
}

// "tls" and "http2" have a meaning with some schemes only.
static void check_transport(struct reader *reader, const struct json_path *path, json_t *json,
                            const struct config_upstream *upstream)
{
    bool https = upstream->n_endpoints > 0 && upstream->endpoints[0].tls;
    bool may_tls = https || config_upstream_is_smtp(upstream); // by STARTTLS
    const struct json_path tls = {.parent = path, .key = "tls", .at_key = true};
    const struct json_path http2 = {.parent = path, .key = "http2"};
    if (json_object_get(json, "tls") && upstream->n_endpoints > 0 && !may_tls)
        reader_complain(reader, &tls, "means nothing here, allowed with https:// and smtp[s]://");
    if (!upstream->tls.certificate != !upstream->tls.key)
        reader_complain(reader, &tls,
                        "has one of 'certificate' and 'key', allowed is both or none");
    if (upstream->http2 == HTTP2_PRIOR_KNOWLEDGE && https)
        reader_complain(reader, &http2,
                        "'prior-knowledge' is for plain HTTP, allowed with https: auto, off");
}

// A field that belongs to other kinds of probes is a misunderstanding, not a wish.
static void check_probe(struct reader *reader, const struct json_path *path, json_t *json,
                        const struct config_probe *probe)
{
    static const struct {
        const char *key, *kinds;
        unsigned allowed;
    } rows[] = {
        {"path", "'http' or 'https'", 1u << CONFIG_PROBE_HTTP | 1u << CONFIG_PROBE_HTTPS},
        {"host", "'http' or 'https'", 1u << CONFIG_PROBE_HTTP | 1u << CONFIG_PROBE_HTTPS},
        {"status_min", "'http' or 'https'", 1u << CONFIG_PROBE_HTTP | 1u << CONFIG_PROBE_HTTPS},
        {"status_max", "'http' or 'https'", 1u << CONFIG_PROBE_HTTP | 1u << CONFIG_PROBE_HTTPS},
        {"ca_file", "'https'", 1u << CONFIG_PROBE_HTTPS},
        {"password", "'redis'", 1u << CONFIG_PROBE_REDIS},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct json_path at = {.parent = path, .key = rows[i].key, .at_key = true};
        if (json_object_get(json, rows[i].key) && !(rows[i].allowed >> probe->kind & 1))
            reader_complain(reader, &at, "only a probe of kind %s has this field", rows[i].kinds);
    }
    if (probe->status_min > probe->status_max)
        reader_complain(reader, path, "'status_min' is %u and above 'status_max', which is %u",
                        probe->status_min, probe->status_max);
}

static void check_probed_endpoints(struct reader *reader, const struct json_path *path,
                                   const struct config_upstream *upstream)
{
    const struct json_path at = {.parent = path, .key = "probe"};
    for (size_t i = 0; i < upstream->n_endpoints; i++)
        if (upstream->probe.kind == CONFIG_PROBE_POSTGRES && upstream->endpoints[i].unix_path) {
            reader_complain(reader, &at,
                            "a probe of kind 'postgres' needs a host, and %s is a Unix socket",
                            upstream->endpoints[i].unix_path);
            return;
        }
}

// What grows begins at or below its bound. All ones: the file says 0; 0: it says nothing, and the
// larger of the other and CB_* is the bound.
static void check_growing(struct reader *reader, const struct json_path *path,
                          const struct config_upstream *upstream)
{
    const struct config_breaker *breaker = &upstream->breaker;
    const struct config_ejection *ejection = &upstream->ejection;
    const struct json_path at_breaker = {.parent = path, .key = "breaker"};
    const struct json_path at_ejection = {.parent = path, .key = "ejection"};
    bool both = breaker->reset_timeout_ms != 0 && breaker->reset_timeout_ms != UINT64_MAX &&
                breaker->reset_timeout_max_ms != 0 && breaker->reset_timeout_max_ms != UINT64_MAX;
    if (both && breaker->reset_timeout_ms > breaker->reset_timeout_max_ms)
        reader_complain(reader, &at_breaker,
                        "'reset_timeout_ms' is %" PRIu64
                        " and above 'reset_timeout_max_ms', which is %" PRIu64,
                        breaker->reset_timeout_ms, breaker->reset_timeout_max_ms);
    if (ejection->time_ms > ejection->time_max_ms)
        reader_complain(reader, &at_ejection,
                        "'time_ms' is %" PRIu64 " and above 'time_max_ms', which is %" PRIu64,
                        ejection->time_ms, ejection->time_max_ms);
}

static void check_upstream(struct reader *reader, const struct json_path *path, json_t *json,
                           const struct config_upstream *upstream)
{
    json_t *url = json_object_get(json, "url"), *urls = json_object_get(json, "urls");
    const struct config_model *model = reader->model;
    check_chain(reader, path, upstream->fallbacks, upstream->n_fallbacks);
    if (!url && !urls)
        reader_complain(reader, path, "needs an address: the field 'url' or 'urls'");
    else if (url && urls)
        reader_complain(reader, path, "has both 'url' and 'urls', allowed is one of them");
    check_transport(reader, path, json, upstream);
    check_smtp(reader, path, json, upstream);
    check_probed_endpoints(reader, path, upstream);
    check_growing(reader, path, upstream);
    for (size_t i = 0; i + 1 < model->n_upstreams && upstream->name; i++) {
        const struct json_path at = {.parent = path, .key = "name"};
        if (model->upstreams[i].name && strcmp(model->upstreams[i].name, upstream->name) == 0)
            reader_complain(reader, &at, "'%s' is already the name of upstreams[%zu]",
                            upstream->name, i);
    }
}

// "/api/" is "/api".
void config_drop_last_slash(char *path)
{
    size_t len = path ? strlen(path) : 0;
    if (len > 1 && path[len - 1] == '/')
        path[len - 1] = '\0';
}

void config_lower(char *text)
{
    for (char *p = text; p && *p; p++)
        *p = (char)tolower((unsigned char)*p);
}

void config_lower_host(char *host)
{
    size_t len = host ? strlen(host) : 0;
    config_lower(host);
    if (len > 1 && host[len - 1] == '.')
        host[len - 1] = '\0';
}

bool config_routes_overlap(const struct config_route *a, const struct config_route *b)
{
    bool same_host = a->host && b->host ? strcmp(a->host, b->host) == 0 : a->host == b->host;
    return same_host && strcmp(a->path, b->path) == 0 && (a->methods & b->methods);
}

static void name_route(struct reader *reader, struct config_route *route)
{
    if (route->name || !route->path)
        return;
    if (asprintf(&route->name, "%s%s", route->host ? route->host : "", route->path) < 0) {
        route->name = NULL;
        reader->no_memory = true;
    }
}

static void compare_with_others(struct reader *reader, const struct json_path *path,
                                const struct config_route *route)
{
    const struct config_model *model = reader->model;
    for (size_t i = 0; i + 1 < model->n_routes && route->path; i++) {
        const struct config_route *other = &model->routes[i];
        if (other->path && config_routes_overlap(other, route))
            reader_complain(reader, path, "has the host, path and methods of routes[%zu], too", i);
        else if (other->name && route->name && strcmp(other->name, route->name) == 0)
            reader_complain(
                reader, path,
                "'%s' is already the name of routes[%zu], allowed is a 'name' of its own",
                route->name, i);
    }
}

static void check_route(struct reader *reader, const struct json_path *path,
                        struct config_route *route)
{
    config_drop_last_slash(route->path);
    config_drop_last_slash(route->rewrite);
    config_lower_host(route->host);
    if (route->strip_path && route->rewrite)
        reader_complain(reader, path,
                        "has both 'strip_path' and 'rewrite', allowed is one of them");
    name_route(reader, route);
    compare_with_others(reader, path, route);
    check_chain(reader, path, route->fallbacks, route->n_fallbacks);
}

// A field that fallbacks of this kind do not have.
static void refuse_field(struct reader *reader, const struct json_path *path, json_t *json,
                         const char *key, const char *kinds)
{
    const struct json_path at = {.parent = path, .key = key, .at_key = true};
    if (json_object_get(json, key))
        reader_complain(reader, &at, "only a fallback of kind %s has this field", kinds);
}

static void check_mock(struct reader *reader, const struct json_path *path, json_t *json,
                       struct config_fallback *fallback)
{
    if (!json_object_get(json, "body"))
        reader_complain(reader, path, "a mock needs the field 'body'");
    else if (fallback->mock_body && fallback->mock_body[0] &&
             (fallback->mock_status == 204 || fallback->mock_status == 304))
        reader_complain(reader, path, "a mock of status %u has no body, allowed is \"\"",
                        (unsigned)fallback->mock_status);
    if (fallback->rpc_methods && !json_object_get(json, "methods"))
        fallback->mock_methods = 0;
}

static void check_fallback(struct reader *reader, const struct json_path *path, json_t *json,
                           struct config_fallback *fallback)
{
    static const char *const mock_only[] = {"methods", "status", "content_type", "body"};
    if (fallback->kind == FALLBACK_MOCK)
        check_mock(reader, path, json, fallback);
    for (size_t i = 0; fallback->kind != FALLBACK_MOCK && i < 4; i++)
        refuse_field(reader, path, json, mock_only[i], "'mock'");
    if (fallback->kind == FALLBACK_ERROR)
        refuse_field(reader, path, json, "rpc_methods", "'mock', 'queue' or 'cache'");
    if (fallback->kind != FALLBACK_CACHE)
        refuse_field(reader, path, json, "max_age_ms", "'cache'");
    if (fallback->kind != FALLBACK_QUEUE)
        refuse_field(reader, path, json, "order_by", "'queue'");
}

static void check_rate(struct reader *reader, const struct json_path *path,
                       const struct config_rate *rate)
{
    if (rate->value == CONFIG_UNSET)
        reader_complain(reader, path, "has no 'value', allowed 1 to 100000");
}

static void check_advice(struct reader *reader, const struct json_path *path,
                         const struct config_advice *advice)
{
    const struct json_path at = {.parent = path, .key = "panic_window_s"};
    const struct json_path mode = {.parent = path, .key = "mode"};
    bool has_target = advice->cpu_target_percent || advice->memory_target_percent ||
                      advice->rps_target || advice->in_flight_target || advice->latency_target_ms;

    if (advice->panic_window_s > advice->stable_window_s)
        reader_complain(reader, &at, "is longer than stable_window_s, allowed is up to that");
    if (!has_target && (advice->mode == CONFIG_ADVICE_HPA || !advice->thresholds))
        reader_complain(reader, advice->mode == CONFIG_ADVICE_HPA ? &mode : path,
                        "nothing would propose: with mode hpa or without thresholds, one of "
                        "cpu_target_percent, memory_target_percent, rps_target, in_flight_target "
                        "and latency_target_ms must be above 0");
}

void reader_check(struct reader *reader, const struct json_path *path, json_t *json,
                  enum config_object object, void *out)
{
    if (object == OBJECT_upstream)
        check_upstream(reader, path, json, out);
    else if (object == OBJECT_probe)
        check_probe(reader, path, json, out);
    else if (object == OBJECT_route)
        check_route(reader, path, out);
    else if (object == OBJECT_fallback)
        check_fallback(reader, path, json, out);
    else if (object == OBJECT_outcomes)
        reader_check_outcomes(reader, path, out);
    else if (object == OBJECT_tier)
        reader_check_tier(reader, path, out);
    else if (object == OBJECT_policy)
        reader_check_policy(reader, path, json, out);
    else if (object == OBJECT_limits)
        reader_check_limits(reader, path, out);
    else if (object == OBJECT_rate)
        check_rate(reader, path, out);
    else if (object == OBJECT_advice)
        check_advice(reader, path, out);
}
