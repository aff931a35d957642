// One request on its way through the gateway, and the order of its steps. Each step is a file of
// its own and decides one thing; request.c walks them:
//
//   request_check  -> identity -> system endpoint? -> limits -> route -> valve (breaker permit)
//   -> exchange (or fallback) -> valve (outcome) -> answer -> counters, access log
//
// Memory: everything hangs on the request and goes with it (request_destroy). Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_REQUEST_H
#define VALVECHAIN_API_FRONT_REQUEST_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "base/address.h"
#include "breaker/breaker.h"
#include "config/model.h"
#include "exchange_result.h"
#include "http_syntax.h"
#include "limit/limit.h"
#include "limits_after.h"
#include "route_match.h"
#include "traceparent.h"

struct front;    // front.h: state of the process
struct valves;   // valves.h: the decisions half's state of the process
struct client;   // client.h: one accepted connection
struct exchange; // exchange.h: the call to the upstream
struct handover; // handover.h: the fallback `queue`
struct operations_ask;
struct permits_ask;
struct answer_tap;
struct stored_answer;
struct route_counters;

#define SUBJECT_MAX 128 // a longer subject is replaced by its hash: it is only ever a key
// As much of a request body is read ahead, before the breaker is asked.
#define REQUEST_BODY_KEPT_MAX 65536

// ANSWERED ends the walk: an answer is queued, or will be when another process has replied. WAITS
// ends it for now.
enum step { STEP_NEXT, STEP_ANSWERED, STEP_WAITS };

struct identity {
    struct address client;       // real client, by TRUSTED_PROXIES
    struct address peer;         // who holds the connection
    bool peer_is_proxy;          // forwarding headers of this peer count
    bool peer_may_claim;         // claims in headers of this peer count; known when it made some
    bool forwarded_by_untrusted; // such headers came from a peer that is not trusted
    bool client_uncertain; // a trusted peer's headers name no one address: `client` is a proxy
    char subject_text[SUBJECT_MAX];
    const char *subject; // verified subject (subject_text), NULL: none
    size_t subject_len;
    const char *api_key; // X-API-Key of a peer trusted for claims
    size_t api_key_len;
    uint32_t tier;      // index, see limit_tier_name
    bool tier_verified; // from a verified token or a peer trusted for claims
    uint32_t region;    // enum limit_region
    unsigned scopes;    // of a verified token, enum token_scope
    bool token_refused; // a token was there and did not verify
};

enum answer_source { // who made the answer: label of metrics, field of the access log
    ANSWER_UPSTREAM,
    ANSWER_SYSTEM,
    ANSWER_GATEWAY,  // problem bodies of ours
    ANSWER_FALLBACK, // mock, queue, cache
};

enum request_stage {
    REQUEST_HEADER,   // libmicrohttpd is reading it
    REQUEST_BODY,     // header accepted, body coming
    REQUEST_COMPLETE, // all of it is here
};

struct response_header {
    char *name, *value;
    struct response_header *next;
};

struct request {
    struct front *front;
    struct valves *valves; // set when the request begins
    struct MHD_Connection *connection;
    struct client *client;

    // What was asked. Texts live as long as the request.
    char method[24];
    unsigned method_bit; // http_method_bit
    char *raw_target;    // as on the wire
    char *path;          // normalized once; what is matched is what is sent
    size_t path_len;
    const char *query; // after '?', "" for none, inside raw_target
    const char *host;  // Host header, lower case, without port; "" for none (HTTP/1.0)
    char *host_header; // as sent
    bool http10, has_body, chunked;
    uint64_t content_length;           // UINT64_MAX when not known
    bool admin;                        // came to ADMIN_PORT
    const struct http_header *headers; // all of them, in order, as sent (see request_header)
    size_t n_headers;
    char request_id[64];
    struct traceparent traceparent; // id "" for none
    struct identity identity;
    struct route_match match; // what the route table says, before limits
    struct limit_verdict limits;
    struct limits_after limits_after;
    struct lease_wait *lease_wait;    // lease_wait.h; NULL: nobody is asked
    const struct config_route *route; // of the model the request began with
    const struct config_upstream *upstream;
    struct config_model_ref *model_ref;    // keeps that model alive (front.h)
    struct route_counters *route_counters; // set by route_apply; outlives a reload
    // The body, read ahead; what is sent upstream begins with it.
    char *body;                               // NULL: not kept
    size_t body_len, body_cap, body_keep_max; // as much is read ahead
    bool body_complete;                       // all of it is in `body`
    struct breaker_permit permit;
    uint64_t call_timeout_ns; // connecting and first byte, by the breaker
    struct exchange *exchange;
    struct handover *handover;             // NULL: none is under way, as the next
    struct mail *mail;                     // mail.h
    struct operations_ask *operations_ask; // operations.h
    struct permits_ask *permits_ask;       // permits.h
    struct answer_tap *tap;                // answer_tap.h
    struct stored_answer *stored;          // last_good.h: the answer lies in it
    bool end_unknown; // it may have taken effect: without a key it is not sent again
    bool body_passed; // some of the body that is not in `body` was given to the exchange

    // The answer.
    struct response_header *answer_headers; // to be added to whatever answer is given
    unsigned status;
    enum answer_source source;
    bool answered;            // never twice
    const char *fallback;     // "mock", "queue", "cache", NULL: none
    const char *problem_code; // short stable reason of a gateway answer, for log and metrics

    // Measured.
    uint64_t start_ns, upstream_start_ns, first_byte_ns, bytes_in, bytes_out;

    // The transport's own (request.c, client.c, answer.c).
    struct arena arena; // everything of the request, itself included
    enum request_stage stage;
    uint64_t line_ms;                // when its first line was there, by the loop's clock
    bool expects_continue, asterisk; // asterisk: OPTIONS *
    bool body_kept;                  // valve_enter waits for `body`
    uint64_t max_body_bytes;
    size_t body_sent;                      // of `body`, handed to the exchange
    uint64_t discarded;                    // bytes of the body that nobody wanted
    const char *answer_type, *answer_body; // a complete answer of ours
    size_t answer_body_len;
    bool ready;     // in the client side's list of answers to be queued
    bool cut_short; // the client did not get all of it
    bool queued;    // the answer is libmicrohttpd's or was written raw
    struct request *ready_next;
};

// The first header of this name (any case); NULL: none. The value is not NUL-terminated.
const struct http_header *request_header(const struct request *request, const char *name);
// Memory that lives as long as the request, aligned for anything; NULL when there is none.
void *request_alloc(struct request *request, size_t bytes);

// Adds a header to the answer, whoever makes it (copied). -ENOMEM.
int request_add_answer_header(struct request *request, const char *name, const char *value);

// answer.c: each queues the answer and returns STEP_ANSWERED; the first call counts, a second is
// our bug.
enum step answer_text(struct request *request, unsigned status, const char *content_type,
                      const char *body, size_t len);
// RFC 9457 problem body with the request id; `type_suffix` NULL: about:blank. `extra_members` is
// JSON text of further members ("\"policy\":\"tier-free\"") or NULL. No inner detail goes into
// `detail`.
enum step answer_problem(struct request *request, unsigned status, const char *code,
                         const char *title, const char *detail, const char *type,
                         const char *extra_members);
const char *answer_title(unsigned status); // "Too Many Requests" of 429

// Steps, in order (each in the file of its name).
enum step identity_resolve(struct request *request); // identity.c
enum step system_answer(struct request *request);    // system.c
void route_look(struct request *request);            // route.c: sets match
enum step route_apply(struct request *request);      // route.c: sets route, upstream; 404, 405
// valve.c. The walk waits between route_apply and valve_enter until the body is complete in
// request->body or body_keep_max bytes of it are (then body_complete stays false, and the rest
// streams): a client that sends slowly holds nothing of the upstream's.
enum step valve_enter(struct request *request);   // permit, or the fallback chain's answer
enum step valve_acquire(struct request *request); // its second half, for mail.c
// The head of the upstream's answer is here: a probe is decided, however long its body takes.
void valve_judge(struct request *request);
// The rest of the body is waited for: a probe that its client holds up goes to another call before
// its lease would count it as the upstream's failure.
void valve_upload_waits(struct request *request);
bool valve_is_crowded(const struct request *request); // more than half of the capacity is in use
// Called once by exchange.c when the call is over. `started`: some of the answer went to the client
// already. If not, and the result is no answer, this gives the fallback chain's answer.
void valve_leave(struct request *request, enum exchange_result result, bool started);
void counters_record(struct request *request);   // counters.c, at the very end
void access_log_record(struct request *request); // access_log.c

#endif
