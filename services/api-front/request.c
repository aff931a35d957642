#include "request.h"

#include <string.h>
#include <strings.h>

#include "answer.h"
#include "base/clock.h"
#include "check.h"
#include "client.h"
#include "counters.h"
#include "exchange.h"
#include "front.h"
#include "handover.h"
#include "header_block.h"
#include "last_good.h"
#include "lease_wait.h"
#include "limits.h"
#include "listener.h"
#include "mail.h"
#include "operations.h"
#include "permits.h"
#include "request_check.h"
#include "request_life.h"
#include "target.h"
#include "valves.h"

#define HEADERS_FIRST   32
#define BODY_KEPT_FIRST 4096 // memory for a body grows with what has come of it

static char no_text[] = "";

void *request_alloc(struct request *request, size_t bytes)
{
    return arena_alloc(&request->arena, bytes);
}

const struct http_header *request_header(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->n_headers; i++) {
        if (http_name_is(request->headers[i].name, request->headers[i].name_len, name)) {
            return &request->headers[i];
        }
    }
    return NULL;
}

struct request *request_create(struct client *client, const char *uri)
{
    struct front *front = client->listener->front;
    struct arena arena;
    arena_init(&arena, &front->arenas);
    struct request *request = arena_alloc(&arena, sizeof(*request));
    if (request == NULL) {
        return NULL;
    }
    memset(request, 0, sizeof(*request));
    size_t len = strlen(uri);
    request->raw_target = arena_copy(&arena, uri, len);
    request->path = arena_alloc(&arena, len + 2);
    request->arena = arena;
    if (request->raw_target == NULL || request->path == NULL) {
        arena_fini(&arena); // the request lies in it
        return NULL;
    }
    request->path[0] = '\0';
    request->query = request->host = "";
    request->host_header = no_text;
    request->front = front;
    request->valves = front->valves;
    request->client = client;
    request->connection = client->connection;
    request->admin = client->listener->admin;
    request->content_length = UINT64_MAX;
    request->call_timeout_ns = UINT64_MAX;
    request->max_body_bytes = front->params->max_body_bytes;
    request->body_keep_max = REQUEST_BODY_KEPT_MAX;
    request->identity.peer = client->peer;
    request->identity.client =
        client->peer; // for the log, should it be refused before its headers count
    request->start_ns = clock_mono_ns();
    request->line_ms = front_now_ms(front);
    return request;
}

struct header_list {
    struct request *request;
    struct http_header *items;
    size_t n, cap;
    bool failed;
};

static enum MHD_Result collect_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                      size_t name_len, const char *value, size_t value_len)
{
    struct header_list *list = cls;
    (void)kind;
    if (list->n == list->cap) {
        size_t cap = list->cap == 0 ? HEADERS_FIRST : list->cap * 2;
        struct http_header *items = request_alloc(list->request, cap * sizeof(*items));
        if (items == NULL) {
            list->failed = true;
            return MHD_NO;
        }
        memcpy(items, list->items, list->n * sizeof(*items));
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = (struct http_header){
        .name = name,
        .name_len = name_len,
        .value = value != NULL ? value : "",
        .value_len = value != NULL ? value_len : 0,
    };
    return MHD_YES;
}

static bool collect_headers(struct request *request)
{
    struct http_header first[1];
    struct header_list list = {.request = request, .items = first};
    MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, collect_header, &list);
    request->headers = list.cap > 0 ? list.items : NULL;
    request->n_headers = list.cap > 0 ? list.n : 0;
    return !list.failed;
}

// "Example.com:80" is "example.com".
static void set_host(struct request *request, const char *host, size_t len)
{
    request->host_header = arena_copy(&request->arena, host, len);
    char *bare = arena_copy(&request->arena, host, len);
    if (request->host_header == NULL || bare == NULL) {
        request->host_header = no_text;
        return;
    }
    char *end = bare[0] == '[' ? strchr(bare, ']') : bare;
    char *port = end != NULL ? strchr(end, ':') : NULL;
    if (port != NULL) {
        *port = '\0';
    }
    size_t bare_len = strlen(bare);
    if (bare_len > 1 && bare[bare_len - 1] == '.') { // the root's: the same name, the same limits
        bare[bare_len - 1] = '\0';
    }
    for (char *c = bare; *c != '\0'; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
    }
    request->host = bare;
}

static bool is_id_text(const struct http_header *header)
{
    for (size_t i = 0; i < header->value_len; i++) {
        unsigned char c = (unsigned char)header->value[i];
        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
              c == '_' || c == '.')) {
            return false;
        }
    }
    return header->value_len > 0;
}

// Passed when it is a short word, else made anew: nothing of it can break a log line or a header.
static void set_request_id(struct request *request)
{
    static const char digits[] = "0123456789abcdef";
    const struct http_header *given = request_header(request, "x-request-id");
    if (given != NULL && given->value_len < sizeof(request->request_id) && is_id_text(given)) {
        memcpy(request->request_id, given->value, given->value_len);
        request->request_id[given->value_len] = '\0';
        return;
    }
    for (size_t i = 0; i < 32; i += 8) {
        uint32_t random = front_random(request->front);
        for (size_t k = 0; k < 8; k++, random >>= 4) {
            request->request_id[i + k] = digits[random & 15];
        }
    }
    request->request_id[32] = '\0';
}

static void set_trace(struct request *request)
{
    const struct http_header *parent = request_header(request, "traceparent");
    if (parent != NULL) {
        (void)traceparent_parse(parent->value, parent->value_len, &request->traceparent);
    }
}

static bool refuse(struct request *request, const struct request_refusal *refusal)
{
    counters_add(request->valves, METRIC_INDEX_smuggling, 1);
    if (refusal->status == 405) {
        request_add_answer_header(request, "Allow", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");
    }
    answer_problem(request, refusal->status, refusal->code, refusal->title, refusal->detail, NULL,
                   NULL);
    return false;
}

static bool check_target(struct request *request, const char *url, const char *version)
{
    struct target target;
    enum target_verdict verdict;
    size_t len = strlen(request->raw_target);
    // libmicrohttpd left the target in its line, "target SP version": a longer one held a NUL.
    if ((size_t)(version - url) != len + 1) {
        verdict = TARGET_BAD_CHARACTER;
    } else {
        verdict = target_normalize(request->raw_target, len, request->method, request->host_header,
                                   request->path, &target);
    }
    if (verdict != TARGET_OK) {
        struct request_refusal refusal = {400, target_verdict_names[verdict], "Bad Request",
                                          target_verdict_details[verdict]};
        return refuse(request, &refusal);
    }
    request->path_len = target.path_len;
    request->query = request->raw_target + target.query_offset;
    request->asterisk = target.asterisk;
    return true;
}

// libmicrohttpd's header lies in its buffer behind the version, as it came.
static bool is_header_plain(const struct request *request, const char *method, const char *version)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info != NULL &&
           header_block_is_plain(version + strlen(version), method + info->header_size,
                                 request->headers, request->n_headers);
}

static bool check(struct request *request, const char *url, const char *method, const char *version)
{
    struct request_shape shape;
    struct request_refusal refusal;
    if (!collect_headers(request)) {
        refusal = (struct request_refusal){503, "no_memory", "Service Unavailable", NULL};
        return refuse(request, &refusal);
    }
    set_request_id(request);
    set_trace(request);
    size_t len = strnlen(method, sizeof(request->method) - 1);
    memcpy(request->method, method, len);
    if (!is_header_plain(request, method, version)) {
        refusal = (struct request_refusal){400, "header_malformed", "Bad Request",
                                           "Each header line must be 'Name: value' and end in CR "
                                           "LF, without NUL bytes and without folding."};
        return refuse(request, &refusal);
    }
    if (!request_check(method, version, request->headers, request->n_headers, &shape, &refusal)) {
        request->method_bit = strcmp(method, "HEAD") == 0 ? HTTP_HEAD : HTTP_OTHER;
        return refuse(request, &refusal);
    }
    request->method_bit = shape.method_bit;
    request->http10 = shape.http10;
    request->has_body = shape.has_body;
    request->chunked = shape.chunked;
    request->content_length = shape.content_length;
    request->expects_continue = shape.expects_continue && shape.has_body;
    if (shape.host_len > 0) {
        set_host(request, shape.host, shape.host_len);
    }
    return check_target(request, url, version);
}

// ---- the walk -------------------------------------------------------------------------------

static void walk_from_valve(struct request *request)
{
    request->body_kept = false;
    if (request->permits_ask != NULL) {
        permits_body(request);
    } else if (valve_enter(request) == STEP_NEXT) {
        exchange_start(request);
        request_pump(request);
    }
}

static enum step answer_too_large(struct request *request)
{
    return answer_problem(request, 413, "body_too_large", "Content Too Large",
                          "The request body is larger than this route takes.", NULL, NULL);
}

static enum step apply_body_bound(struct request *request)
{
    if (request->route->max_body_bytes != UINT64_MAX) {
        request->max_body_bytes = request->route->max_body_bytes;
    }
    bool too_large =
        request->has_body && !request->chunked && request->content_length > request->max_body_bytes;
    return too_large ? answer_too_large(request) : STEP_NEXT;
}

static enum step answer_asterisk(struct request *request)
{
    if (!request->asterisk) {
        return STEP_NEXT;
    }
    request->source = ANSWER_GATEWAY;
    request_add_answer_header(request, "Allow", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");
    return answer_text(request, 204, "", "", 0);
}

// What stands here may run twice: a step that waits is taken up again by request_go_on().
static void walk_from_check(struct request *request)
{
    if (check_answer(request) != STEP_NEXT || permits_answer(request) != STEP_NEXT ||
        system_answer(request) == STEP_ANSWERED) {
        return;
    }
    route_look(request);
    if (limits_apply(request) != STEP_NEXT || operations_answer(request) == STEP_ANSWERED ||
        answer_asterisk(request) == STEP_ANSWERED || route_apply(request) == STEP_ANSWERED ||
        apply_body_bound(request) == STEP_ANSWERED) {
        return;
    }
    request->body_kept = request->has_body;
    request->body_keep_max = mail_body_kept_max(request);
    if (!request->body_kept) {
        walk_from_valve(request);
    }
}

static void walk(struct request *request)
{
    if (identity_resolve(request) == STEP_NEXT) {
        walk_from_check(request);
    }
}

void request_go_on(struct request *request)
{
    if (request->answered) {
        lease_wait_forget(request);
        return;
    }
    walk_from_check(request);
    if (request->body_kept && request->stage == REQUEST_COMPLETE) {
        request->body_complete = true; // an empty one: it was complete before
        walk_from_valve(request);
    } else if (request->body_kept) {
        client_wake(request); // no byte of the body was taken while it waited
    }
}

// The answer's head lies beside the request's: a client must not decide that a good answer of the
// upstream does not fit.
static bool leaves_room(struct request *request)
{
    if (client_answer_head_max(request) >= CLIENT_ANSWER_HEAD_MIN) {
        return true;
    }
    answer_problem(request, 431, "header_too_large", "Request Header Fields Too Large",
                   "The request's header leaves no room for an answer's; send fewer or smaller "
                   "header fields.",
                   NULL, NULL);
    return false;
}

bool request_begin(struct request *request, const char *url, const char *method,
                   const char *version)
{
    request->stage = REQUEST_BODY;
    request->front->n_requests++;
    request->model_ref = front_model_get(request->front);
    if (!check(request, url, method, version) || !leaves_room(request)) {
        return false;
    }
    if (request->has_body) {
        walk(request);
    }
    return true;
}

// ---- the body -------------------------------------------------------------------------------

void request_refuse_body(struct request *request, unsigned status, const char *code,
                         const char *title, const char *detail)
{
    if (request->exchange != NULL) {
        exchange_cancel(request->exchange);
    }
    request->body_kept = false;
    if (!request->answered) {
        answer_problem(request, status, code, title, detail, NULL, NULL);
    }
}

// Hands the part that was kept to the exchange. True when all of it went.
static bool send_kept(struct request *request)
{
    if (request->body_sent < request->body_len) {
        request->body_sent += exchange_send(request->exchange, request->body + request->body_sent,
                                            request->body_len - request->body_sent);
    }
    return request->body_sent == request->body_len;
}

static bool grow_kept(struct request *request, size_t needed)
{
    size_t cap = request->body_cap > 0 ? request->body_cap : BODY_KEPT_FIRST;
    while (cap < needed) {
        cap *= 2;
    }
    cap = cap < request->body_keep_max ? cap : request->body_keep_max;
    cap = cap < request->content_length ? cap : (size_t)request->content_length;
    if (cap <= request->body_cap) {
        return true;
    }
    char *body = request_alloc(request, cap);
    if (body == NULL) {
        return false;
    }
    if (request->body_len > 0) {
        memcpy(body, request->body, request->body_len);
    }
    request->body = body;
    request->body_cap = cap;
    return true;
}

static size_t keep(struct request *request, const void *bytes, size_t len)
{
    size_t room = request->body_keep_max - request->body_len;
    size_t n = len < room ? len : room;
    if (!grow_kept(request, request->body_len + n)) {
        walk_from_valve(request); // no memory to read ahead: all of it streams
        return 0;
    }
    memcpy(request->body + request->body_len, bytes, n);
    request->body_len += n;
    if (n < len) {
        walk_from_valve(request); // larger than what is kept: the rest streams
    }
    return n;
}

bool request_drops_body(const struct request *request)
{
    if (request->handover != NULL) {
        return !handover_wants_body(request->handover);
    }
    return request->exchange != NULL ? !exchange_wants_body(request->exchange) : request->answered;
}

// Gives the exchange as much as it takes, writing in between: what stays here waits for an event
// that only a full buffer brings.
static size_t send_on(struct request *request, const char *bytes, size_t len)
{
    struct exchange *x = request->exchange;
    size_t taken = 0;
    for (;;) {
        size_t n = send_kept(request) ? exchange_send(x, bytes + taken, len - taken) : 0;
        taken += n;
        exchange_flush(x);
        bool again = taken < len && exchange_wants_body(x) && exchange_room(x) > 0;
        if (!again) {
            return taken;
        }
    }
}

// What is not kept goes to the call, or to the outbox when there is none.
static size_t pass_on(struct request *request, const char *bytes, size_t len)
{
    size_t n = 0;
    if (request->handover != NULL) {
        return handover_send(request->handover, bytes, len);
    }
    if (request->exchange != NULL) {
        n = send_on(request, bytes, len);
        request->body_passed = request->body_passed || n > 0;
    }
    return n;
}

size_t request_body(struct request *request, const void *bytes, size_t len)
{
    size_t taken = 0;
    if (!request_drops_body(request) && request->bytes_in + len > request->max_body_bytes) {
        request_refuse_body(request, 413, "body_too_large", "Content Too Large",
                            "The request body is larger than this route takes.");
    }
    if (request->body_kept && !request_drops_body(request)) {
        taken = keep(request, bytes, len);
    }
    if (taken < len && !request_drops_body(request)) {
        taken += pass_on(request, (const char *)bytes + taken, len - taken);
    }
    if (taken < len && request_drops_body(request)) {
        request->discarded += len - taken;
        taken = len;
    }
    request->bytes_in += taken;
    return taken;
}

void request_pump(struct request *request)
{
    struct exchange *x = request->exchange;
    while (x != NULL && exchange_wants_body(x) && request->body_sent < request->body_len) {
        bool all = send_kept(request);
        exchange_flush(x);
        if (!all && exchange_room(x) == 0) {
            return; // a wake-up comes when there is room
        }
    }
    if (x != NULL && exchange_wants_body(x) && request->stage == REQUEST_COMPLETE &&
        request->has_body) {
        exchange_send_end(x);
    }
}

void request_complete(struct request *request)
{
    request->stage = REQUEST_COMPLETE;
    if (request->body_kept) {
        request->body_complete = true;
        walk_from_valve(request);
    } else if (request->handover != NULL) {
        handover_end_body(request->handover);
    } else if (!request->has_body) {
        walk(request);
    }
}

void request_end(struct request *request, bool clean)
{
    struct front *front = request->front;
    if (request->exchange != NULL) {
        exchange_cancel(request->exchange);
        body_fini(&request->exchange->in);
    }
    lease_wait_forget(request);
    if (request->handover != NULL) {
        handover_cancel(request->handover);
    }
    if (request->mail != NULL) {
        mail_cancel(request->mail);
    }
    if (request->operations_ask != NULL) {
        operations_cancel(request->operations_ask);
    }
    if (request->permits_ask != NULL) {
        permits_cancel(request->permits_ask);
    }
    last_good_end(request);
    listener_remove_ready(request->client->listener, request);
    if (request->stage == REQUEST_HEADER) {
        counters_add(request->valves, METRIC_INDEX_malformed, 1);
    } else {
        if (!request->queued) {
            request->status = 0;
        }
        request->cut_short = !clean;
        counters_record(request);
        access_log_record(request);
        front->n_requests--;
    }
    limits_end(request);
    front_model_put(&request->model_ref);
    struct arena arena = request->arena;
    arena_fini(&arena);
}
