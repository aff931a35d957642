// The configuration file as structs: upstreams, routes and rate limits.
// The rows of config_fields.def say every field once: parser, schema and documentation come from
// them. UPSTREAM_URL and its kin become upstreams and routes of it (config_model_add_params).
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
#include "config/model_advice.h"
#include "config/model_endpoints.h"
#include "config/model_limits.h"
#include "config/model_outcomes.h"
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
    HTTP_IDEMPOTENT =
        HTTP_GET | HTTP_HEAD | HTTP_PUT | HTTP_DELETE | HTTP_OPTIONS, // RFC 9110 9.2.2
    HTTP_WRITES = HTTP_POST | HTTP_PUT | HTTP_PATCH | HTTP_DELETE,
};

enum fallback_kind { FALLBACK_MOCK = 1, FALLBACK_ERROR, FALLBACK_QUEUE, FALLBACK_CACHE };
#define FALLBACK_CHAIN_MAX   4
#define CONFIG_UPSTREAMS_MAX 64 // as many as the segment has breakers
#define CONFIG_ROUTES_MAX    256
#define CONFIG_ENDPOINTS_MAX 64 // of one upstream

struct config_fallback {
    enum fallback_kind kind;
    // mock: what is answered, and for which reads only
    unsigned mock_methods; // http_method_bit; GET and HEAD by default, 0 when only rpc methods are
    char **rpc_methods;    // JSON-RPC methods in a POST; NULL-terminated or NULL
    char **order_by; // queue: header fields and json:/POINTER that name the lane; NULL-terminated
                     // or NULL
    uint64_t max_age_ms; // cache
    uint16_t mock_status;
    char *mock_content_type;
    // ${request_id} and ${path} stand for that text, JSON-escaped and without quotes; ${rpc_id} for
    // the id of the caller's JSON-RPC request as JSON (1, "a", null).
    char *mock_body;
};

struct config_endpoint {
    char *host; // name or address literal without brackets; NULL for a Unix socket
    char *unix_path;
    uint16_t port;
    bool tls;  // https, smtps
    bool smtp; // a mail server: smtp, smtps
};

struct config_tls {    // how an https upstream is known, and we to it
    char *ca_file;     // NULL: the machine's authorities
    char *server_name; // asked for (SNI) and looked for in the certificate; NULL: the URL's host
    char *certificate, *key; // of ours, PEM; NULL: none
};

struct config_breaker { // fields that are 0 take CB_*; all ones: the file says 0
    uint64_t timeout_ms, reset_timeout_ms, reset_timeout_max_ms, rolling_timeout_ms;
    uint64_t slow_duration_ms, ramp_ms;
    uint32_t error_threshold_percent, slow_threshold_percent, consecutive, volume_threshold;
    uint32_t rolling_buckets, capacity, probes, reset_backoff_percent;
    enum { TRIP_AT_REACH = 1, TRIP_AT_EXCEED } trip_at;
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
    uint64_t keepalive_idle_ms, resolve_interval_ms;
    struct config_breaker breaker;
    struct config_ejection ejection;
    struct config_outcomes outcomes;
    struct config_fallback fallbacks[FALLBACK_CHAIN_MAX]; // of routes that have none of their own
    size_t n_fallbacks;
    struct config_retry retry;
    struct config_tls tls;
    // auto: with https as both agree on it, plain HTTP never; prior-knowledge: always, without TLS
    enum { HTTP2_AUTO, HTTP2_PRIOR_KNOWLEDGE, HTTP2_OFF } http2;
    struct config_probe probe;
    struct config_smtp smtp;
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
    uint32_t cost;           // in every limit; 0: none is asked
    struct config_fallback fallbacks[FALLBACK_CHAIN_MAX];
    size_t n_fallbacks;
};

// All endpoints of an upstream have one scheme.
bool config_upstream_is_smtp(const struct config_upstream *upstream);

// The chain that holds for a route.
const struct config_fallback *config_fallbacks(const struct config_upstream *upstream,
                                               const struct config_route *route, size_t *ret_n);

// A mail server's: is a mail submitted while its client waits? Else the outbox has it first.
bool config_mail_is_direct(const struct config_upstream *upstream,
                           const struct config_route *route);

// The first of that kind in it; NULL: there is none.
const struct config_fallback *config_fallback_find(const struct config_upstream *upstream,
                                                   const struct config_route *route,
                                                   enum fallback_kind kind);

struct config_parameter {
    char *name;
    char *value; // as it would stand in the environment
    char *place; // "valvechain.json:3:9"
};

struct config_model {
    struct config_upstream *upstreams;
    size_t n_upstreams;
    struct config_route *routes;
    size_t n_routes;
    struct config_limits limits;
    struct config_advice advice;         // with its defaults, also without a file
    struct config_parameter *parameters; // what the file sets, see param_sources
    size_t n_parameters;
};

// From a file. -EINVAL with problems; -errno when it cannot be read (also one problem).
int config_model_load(const char *path, struct problems *problems, struct config_model **ret_model);
int config_model_parse(const char *name, const char *text, size_t len, struct problems *problems,
                       struct config_model **ret_model);
// Of a file that was refused: its parameters alone, to judge them too. Adds no problem; NULL: no
// JSON.
struct config_model *config_model_load_parameters(const char *path);
// Takes the *_UPSTREAM_URL variables in that are set, each as one upstream and its route:
//   UPSTREAM_URL             app         /
//   DATABASE_UPSTREAM_URL    database    /api/db      fallback: cache, then error
//   BLOCKCHAIN_UPSTREAM_URL  blockchain  /api/chain   fallback: mock for JSON-RPC reads, queue
//                                                   for eth_sendRawTransaction, then error
//   EMAIL_UPSTREAM_URL       email       /api/email   fallback: queue, then error
// The upstream sees the whole path. Where the model has an upstream of that name, the variable only
// takes the place of its endpoints (the environment wins over the file); the routes stay as they
// are. Then, what can be said of the whole only: the routes of a mail server have `queue` as the
// first of their chain, because the outbox is what delivers to it. -EINVAL with problems, -ENOMEM;
// the model is then fit for config_model_destroy() only.
int config_model_add_params(struct config_model *model, const struct upstreams_params *upstreams,
                            struct problems *problems);
// Is that the name of a route, in the model or by such a variable? And all of these, for a message.
bool config_may_be_route(const struct config_model *model, const char *name);
void config_route_names(const struct config_model *model, char *names, size_t size);
struct config_model *config_model_empty(void);
void config_model_destroy(struct config_model **model);
// What the file sets a parameter to, and where ("valvechain.json:3:9"); NULL: it does not.
const char *config_model_parameter(const struct config_model *model, const char *name);
const char *config_model_parameter_place(const struct config_model *model, const char *name);
int config_model_schema(struct strbuf *out);    // JSON Schema (2020-12); -ENOMEM
void config_model_markdown(struct strbuf *out); // for docs/
#define CONFIG_URL_ALLOWED "http[s]://HOST[:PORT][/PATH], unix:/SOCKET or smtp[s]://HOST[:PORT]"
// Parses http://host:port/path, https://[::1]:443, unix:/path, smtp://host:587. The strings are the
// caller's (free()). -EINVAL: *ret_why says what is allowed. -ENOMEM.
int config_endpoint_parse(const char *url, struct config_endpoint *ret_endpoint,
                          char **ret_base_path, const char **ret_why);
const char *config_endpoint_scheme(const struct config_endpoint *endpoint); // "https"; not of unix
// "http://10.0.0.1:8080" or "unix:/run/app.sock"; what is longer is cut.
#define CONFIG_ENDPOINT_TEXT_MAX 288
void config_endpoint_format(const struct config_endpoint *endpoint,
                            char ret_text[CONFIG_ENDPOINT_TEXT_MAX]);

#endif
