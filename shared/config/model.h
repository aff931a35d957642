// The configuration file as structs: upstreams, routes, and (from the issue on limits) policies.
// The rows of config_fields.def say every field once: parser, JSON Schema (docs/config.schema.json)
// and documentation come from them. Without a file, config_model_from_params() makes the same model
// from UPSTREAM_URL and its kin, so that everything behind it knows one form only.
//
// Errors: all at once into `problems`, each with file, line, column, path and what is allowed.
// Ownership: config_model_destroy(). Thread: one; a loaded model is never changed.
#ifndef VALVECHAIN_CONFIG_MODEL_H
#define VALVECHAIN_CONFIG_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/problems.h"
#include "base/strbuf.h"
#include "config/params.h"

enum http_method_bit {
    HTTP_GET = 1u << 0,
    HTTP_HEAD = 1u << 1,
    HTTP_POST = 1u << 2,
    HTTP_PUT = 1u << 3,
    HTTP_DELETE = 1u << 4,
    HTTP_PATCH = 1u << 5,
    HTTP_OPTIONS = 1u << 6,
    HTTP_OTHER = 1u << 7, // any other token (TRACE and CONNECT are refused before routing)
    HTTP_ANY = 0xffu,
};

enum fallback_kind { FALLBACK_MOCK = 1, FALLBACK_ERROR };
#define FALLBACK_CHAIN_MAX 4

struct config_fallback {
    enum fallback_kind kind;
    // mock: what is answered, and for which reads only
    unsigned mock_methods; // http_method_bit; GET and HEAD by default
    char **
        mock_rpc_methods; // JSON-RPC method names declared as reads (POST); NULL-terminated or NULL
    uint16_t mock_status;
    char *mock_content_type;
    char *mock_body; // with ${request_id}, ${rpc_id} and ${path} replaced, JSON-escaped
};

struct config_endpoint {
    char *host; // name or address literal without brackets; NULL for a Unix socket
    char *unix_path;
    uint16_t port;
    bool tls; // https: refused until the issue on breakers brings libcurl
};

struct config_breaker { // 0 / unset fields take CB_*
    uint64_t timeout_ms, reset_timeout_ms, rolling_timeout_ms;
    uint32_t error_threshold_percent, volume_threshold, rolling_buckets, capacity, probes;
};

struct config_upstream {
    char *name; // also the breaker's name; [a-z0-9-], at most 23 bytes
    struct config_endpoint *endpoints;
    size_t n_endpoints;
    char *base_path; // path part of the URL, "" for none
    uint64_t connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms,
        total_timeout_ms;     // total 0: none
    uint32_t max_connections; // per endpoint and process
    uint32_t keepalive_connections;
    uint64_t keepalive_idle_ms;
    uint64_t resolve_interval_ms;
    struct config_breaker breaker;
};

struct config_route {
    char *name; // label of metrics; default: the path
    char *path; // prefix on a segment boundary, normalized; "/" matches all
    char *host; // lower case, NULL: any
    unsigned methods;
    size_t upstream;         // index into upstreams
    bool strip_path;         // the prefix is removed before the upstream sees it
    char *rewrite;           // the prefix is replaced by this; NULL: not
    uint64_t max_body_bytes; // UINT64_MAX: MAX_BODY_BYTES
    struct config_fallback fallbacks[FALLBACK_CHAIN_MAX];
    size_t n_fallbacks;
};

struct config_model {
    struct config_upstream *upstreams;
    size_t n_upstreams;
    struct config_route *routes;
    size_t n_routes;
    char **parameter_names; // "parameters": what the file sets, see param_sources
    char **parameter_values;
    size_t n_parameters;
};

// From a file. -EINVAL with problems; -errno when it cannot be read (also one problem).
int config_model_load(const char *path, struct problems *problems, struct config_model **ret_model);
int config_model_parse(const char *name, const char *text, size_t len, struct problems *problems,
                       struct config_model **ret_model);
// Adds upstreams and routes for the *_UPSTREAM_URL variables that are set and whose upstream the
// model does not already have. `model` may come from a file or be empty (config_model_empty).
int config_model_add_params(struct config_model *model, const struct upstreams_params *upstreams,
                            struct problems *problems);
struct config_model *config_model_empty(void);
void config_model_destroy(struct config_model **model);
const char *config_model_parameter(const struct config_model *model, const char *name);
void config_model_schema(struct strbuf *out); // JSON Schema (2020-12)
// Parses http://host:port/path, http://[::1]:80, unix:/path. -EINVAL; *ret_why says what is
// allowed.
int config_endpoint_parse(const char *url, struct config_endpoint *ret_endpoint,
                          char **ret_base_path, const char **ret_why);

#endif
