#include "handover.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "client.h"
#include "counters.h"
#include "exchange.h"
#include "front.h"
#include "idempotency.h"
#include "lane.h"
#include "ratelimit_fields.h"
#include "rpc_call.h"
#include "service/lanes.h"
#include "valves.h"

#define PIECE_BYTES 65536
#define RPC_ID_MAX  256

struct handover {
    struct request *request; // NULL: gone
    struct front *front;
    bool uploading, piece_out, ended;
    char upload[40];
    uint64_t offset; // of the piece
    char *piece;     // NULL: the body goes with the operation
    size_t piece_len;
    size_t kept_taken; // of what the request has read ahead
    // Of the operation.
    const struct config_fallback *fallback;
    char lane[LANE_MAX];
    unsigned char key[CALLER_HASH_BYTES], scope[CALLER_HASH_BYTES];
    size_t key_len, scope_len;
    bool resend, rpc;
    char rpc_id[RPC_ID_MAX]; // as JSON
};

static struct bus *bus_of(const struct handover *handover)
{
    return handover->front->service->bus;
}

static void hash_text(crypto_generichash_state *state, const void *text, size_t len)
{
    uint64_t length = len; // so that no two lists of texts are the same bytes
    crypto_generichash_update(state, (const unsigned char *)&length, sizeof(length));
    crypto_generichash_update(state, text, len);
}

size_t handover_caller(const struct request *request, unsigned char ret_hash[CALLER_HASH_BYTES])
{
    const struct identity *identity = &request->identity;
    const struct http_header *field = request_header(request, "authorization");
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, CALLER_HASH_BYTES);
    if (identity->subject != NULL) {
        hash_text(&state, "subject", 7);
        hash_text(&state, identity->subject, identity->subject_len);
    } else if (identity->api_key != NULL) {
        hash_text(&state, "key", 3);
        hash_text(&state, identity->api_key, identity->api_key_len);
    } else if (field != NULL) {
        hash_text(&state, "field", 5);
        hash_text(&state, field->value, field->value_len);
    } else {
        return 0;
    }
    crypto_generichash_final(&state, ret_hash, CALLER_HASH_BYTES);
    return CALLER_HASH_BYTES;
}

// ---- answers --------------------------------------------------------------------------------

static void mark(struct request *request)
{
    request->fallback = "queue";
    (void)request_add_answer_header(request, "Valvechain-Fallback", "queue");
    (void)request_add_answer_header(request, "Cache-Control", "no-store");
}

// A JSON-RPC caller understands errors of its own kind only: `data` says what became of the call.
static void answer_rpc(struct handover *handover, unsigned status, int code, const char *message,
                       const char *data)
{
    struct strbuf body = STRBUF_INIT;
    strbuf_printf(&body, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":%d,\"message\":",
                  handover->rpc_id, code);
    strbuf_json_string(&body, message, strlen(message));
    strbuf_printf(&body, ",\"data\":%s}}\n", data);
    handover->request->source = ANSWER_FALLBACK;
    (void)answer_text(handover->request, status, "application/json", strbuf_text(&body), body.len);
    strbuf_fini(&body);
}

static void answer_refused(struct handover *handover, unsigned status, const char *code,
                           const char *detail, uint64_t retry_after_ms)
{
    struct request *request = handover->request;
    char data[96], seconds[24];
    if (status == 503) {
        uint64_t wait_s =
            ratelimit_seconds((retry_after_ms > 0 ? retry_after_ms : 1000) * NS_PER_MS);
        (void)snprintf(seconds, sizeof(seconds), "%" PRIu64, wait_s);
        (void)request_add_answer_header(request, "Retry-After", seconds);
    }
    counters_fallback(request->valves, "error");
    if (handover->rpc) {
        (void)snprintf(data, sizeof(data), "{\"code\":\"%.40s\"}", code);
        answer_rpc(handover, status, -32000, detail, data);
        return;
    }
    const char *title = status == 400   ? "Bad Request"
                        : status == 409 ? "Conflict"
                        : status == 413 ? "Content Too Large"
                        : status == 422 ? "Unprocessable Content"
                                        : "Service Unavailable";
    (void)answer_problem(request, status, code, title, detail, NULL, NULL);
}

static const char *detail_of(unsigned status, const char *code)
{
    if (status == 409)
        return "The request with this Idempotency-Key is under way; ask again later.";
    if (status == 422)
        return "This Idempotency-Key was used for a request with another target or body.";
    if (status == 413)
        return "The request cannot be passed on now, and the body is too large to be kept for "
               "later.";
    if (strcmp(code, "outbox_full") == 0)
        return "The request cannot be passed on now, and no more can be kept for it.";
    return "The request cannot be passed on now, and could not be kept for later.";
}

static void add_location(struct request *request, const char *id)
{
    char location[512];
    (void)snprintf(location, sizeof(location), "%s/%s",
                   valves_front_params(request->valves)->operations_path, id);
    (void)request_add_answer_header(request, "Location", location);
}

static void answer_accepted(struct handover *handover, const char *id)
{
    struct request *request = handover->request;
    struct strbuf body = STRBUF_INIT;
    mark(request);
    add_location(request, id);
    request->source = ANSWER_FALLBACK;
    counters_fallback(request->valves, "queue");
    strbuf_printf(&body, "{\"id\":\"%s\",\"state\":\"queued\",\"href\":\"%s/%s\"}", id,
                  valves_front_params(request->valves)->operations_path, id);
    if (handover->rpc) {
        answer_rpc(handover, 202, -32000, "queued for later delivery; not sent yet",
                   strbuf_text(&body));
    } else {
        strbuf_puts(&body, "\n");
        (void)answer_text(request, 202, "application/json", strbuf_text(&body), body.len);
    }
    strbuf_fini(&body);
}

// An answer to an earlier call, with the id of this one. NULL: it is no JSON-RPC answer.
static char *answer_with_id(const struct handover *handover, const ProtobufCBinaryData *bytes)
{
    const struct rpc_id id = {.text = handover->rpc_id, .len = strlen(handover->rpc_id)};
    json_t *answer = rpc_parse((const char *)bytes->data, bytes->len);
    char *rest = json_is_object(answer) ? rpc_without_id(answer) : NULL;
    struct strbuf text = STRBUF_INIT;
    if (rest != NULL)
        rpc_with_id(answer, &id, rest, &text);
    char *copy = rest != NULL && strbuf_ok(&text) ? strdup(strbuf_text(&text)) : NULL;
    strbuf_fini(&text);
    free(rest);
    json_decref(answer);
    return copy;
}

// The same request came before and has been delivered: its answer once more.
static void answer_again(struct handover *handover, const Valvechain__V1__OutboxReceipt *receipt)
{
    struct request *request = handover->request;
    mark(request);
    add_location(request, receipt->id);
    (void)request_add_answer_header(request, "Idempotent-Replayed", "true");
    request->source = ANSWER_FALLBACK;
    counters_fallback(request->valves, "queue");
    unsigned status = receipt->answer_status >= 200 && receipt->answer_status < 600
                          ? receipt->answer_status
                          : 200;
    char *call = handover->rpc ? answer_with_id(handover, &receipt->answer) : NULL;
    (void)answer_text(request, status, receipt->answer_type,
                      call != NULL ? call : (const char *)receipt->answer.data,
                      call != NULL ? strlen(call) : receipt->answer.len);
    free(call);
}

// ---- the operation --------------------------------------------------------------------------

static void end(struct handover *handover)
{
    if (handover->request != NULL)
        handover->request->handover = NULL;
    free(handover->piece);
    free(handover);
}

static void answer_receipt(struct handover *handover, const Valvechain__V1__OutboxReceipt *receipt)
{
    if (receipt->status == 409)
        add_location(handover->request, receipt->id);
    answer_refused(handover, receipt->status, receipt->code,
                   detail_of(receipt->status, receipt->code), receipt->retry_after_ms);
}

static void submitted(void *arg, int error, const ProtobufCMessage *reply)
{
    struct handover *handover = arg;
    const Valvechain__V1__OutboxReceipt *receipt = (const Valvechain__V1__OutboxReceipt *)reply;
    struct request *request = handover->request;
    if (request == NULL || request->answered) {
        end(handover);
        return;
    }
    if (error < 0 || receipt == NULL)
        answer_refused(handover, 503, "outbox_unavailable", detail_of(503, ""), 0);
    else if (receipt->status == 202)
        answer_accepted(handover, receipt->id);
    else if (receipt->status == 200)
        answer_again(handover, receipt);
    else
        answer_receipt(handover, receipt);
    client_wake(request);
    end(handover);
}

static void fail(struct handover *handover)
{
    answer_refused(handover, 503, "outbox_unavailable", detail_of(503, ""), 0);
    end(handover);
}

static void submit(struct handover *handover)
{
    struct request *request = handover->request;
    Valvechain__V1__OutboxSubmit ask = VALVECHAIN__V1__OUTBOX_SUBMIT__INIT;
    char *head;
    size_t head_len;
    if (exchange_build_head(request, &head, &head_len) < 0) {
        fail(handover);
        return;
    }
    ask.upstream = request->upstream->name;
    ask.route = request->route->name;
    ask.lane = handover->lane;
    ask.key = (ProtobufCBinaryData){handover->key_len, handover->key};
    ask.scope = (ProtobufCBinaryData){handover->scope_len, handover->scope};
    ask.resend = handover->resend;
    ask.rpc = handover->rpc;
    ask.head = (ProtobufCBinaryData){head_len, (uint8_t *)head};
    if (handover->offset > 0)
        ask.upload = handover->upload;
    else
        ask.body = (ProtobufCBinaryData){request->body_len, (uint8_t *)request->body};
    handover->uploading = false;
    if (bus_request(bus_of(handover), "breaker", "outbox.submit", &ask.base,
                    handover->front->params->outbox_timeout_ms, submitted, handover) < 0)
        fail(handover);
}

// ---- a body that comes in pieces ------------------------------------------------------------

static void ignore_reply(void *arg, int error, const ProtobufCMessage *reply)
{
    (void)arg;
    (void)error;
    (void)reply;
}

static void abandon(struct handover *handover)
{
    Valvechain__V1__OutboxUpload ask = VALVECHAIN__V1__OUTBOX_UPLOAD__INIT;
    ask.upload = handover->upload;
    ask.abandon = true;
    // Lost, the owner removes the body when it has stood still for a minute.
    (void)bus_request(bus_of(handover), "breaker", "outbox.upload", &ask.base,
                      handover->front->params->outbox_timeout_ms, ignore_reply, NULL);
}

static void send_piece(struct handover *handover);

// What was read ahead goes before the rest.
static void take_kept(struct handover *handover)
{
    const struct request *request = handover->request;
    size_t left = request->body_len - handover->kept_taken;
    size_t room = PIECE_BYTES - handover->piece_len;
    size_t n = left < room ? left : room;
    if (n == 0)
        return;
    memcpy(handover->piece + handover->piece_len, request->body + handover->kept_taken, n);
    handover->piece_len += n;
    handover->kept_taken += n;
}

// A piece is full, or it is the last: on with it.
static void go_on(struct handover *handover)
{
    take_kept(handover);
    if (handover->piece_len == PIECE_BYTES || (handover->ended && handover->piece_len > 0))
        send_piece(handover);
    else if (handover->ended)
        submit(handover);
}

static void piece_kept(void *arg, int error, const ProtobufCMessage *reply)
{
    struct handover *handover = arg;
    const Valvechain__V1__OutboxReceipt *receipt = (const Valvechain__V1__OutboxReceipt *)reply;
    struct request *request = handover->request;
    handover->piece_out = false;
    if (request == NULL || request->answered) {
        abandon(handover);
        end(handover);
        return;
    }
    if (error < 0 || receipt == NULL || receipt->status != 200) {
        unsigned status = error == 0 && receipt != NULL && receipt->status == 413 ? 413 : 503;
        answer_refused(handover, status,
                       status == 413 ? "outbox_body_too_large" : "outbox_unavailable",
                       detail_of(status, ""), 0);
        end(handover);
        client_wake(request);
        return;
    }
    handover->offset += handover->piece_len;
    handover->piece_len = 0;
    client_wake(request);
    go_on(handover);
}

static void send_piece(struct handover *handover)
{
    Valvechain__V1__OutboxUpload ask = VALVECHAIN__V1__OUTBOX_UPLOAD__INIT;
    ask.upload = handover->upload;
    ask.offset = handover->offset;
    ask.bytes = (ProtobufCBinaryData){handover->piece_len, (uint8_t *)handover->piece};
    handover->piece_out = true;
    if (bus_request(bus_of(handover), "breaker", "outbox.upload", &ask.base,
                    handover->front->params->outbox_timeout_ms, piece_kept, handover) < 0) {
        handover->piece_out = false;
        fail(handover);
    }
}

size_t handover_send(struct handover *handover, const void *bytes, size_t len)
{
    if (handover->piece_out)
        return 0;
    size_t room = PIECE_BYTES - handover->piece_len;
    size_t n = len < room ? len : room;
    memcpy(handover->piece + handover->piece_len, bytes, n);
    handover->piece_len += n;
    if (handover->piece_len == PIECE_BYTES)
        send_piece(handover);
    return n;
}

bool handover_wants_body(const struct handover *handover)
{
    return handover->uploading;
}

void handover_end_body(struct handover *handover)
{
    if (!handover->uploading || handover->ended)
        return;
    handover->ended = true;
    if (handover->piece_out)
        return; // its reply goes on
    if (handover->piece_len > 0)
        send_piece(handover);
    else
        submit(handover);
}

void handover_cancel(struct handover *handover)
{
    struct request *request = handover->request;
    request->handover = NULL;
    handover->request = NULL;
    if (handover->uploading && !handover->piece_out) {
        abandon(handover);
        end(handover);
    }
}

static int begin_upload(struct handover *handover)
{
    const struct request *request = handover->request;
    handover->piece = malloc(PIECE_BYTES);
    if (handover->piece == NULL)
        return -ENOMEM;
    handover->uploading = true;
    for (size_t i = 0; i < 32; i++)
        handover->upload[i] = "0123456789abcdef"[randombytes_uniform(16)];
    handover->ended = request->body_complete;
    go_on(handover);
    return 0;
}

// ---- does it fit? ---------------------------------------------------------------------------

static void read_lane(const struct request *request, const struct config_fallback *fallback,
                      char ret_lane[LANE_MAX])
{
    const struct lane_source source = {.headers = request->headers,
                                       .n_headers = request->n_headers,
                                       .body = request->body_complete ? request->body : NULL,
                                       .body_len = request->body_len};
    lane_read(fallback->order_by, &source, ret_lane);
}

// One call with an id, of a declared method. A batch and a notification are none.
static bool read_rpc(struct handover *handover, crypto_generichash_state *print)
{
    const struct request *request = handover->request;
    if (request->method_bit != HTTP_POST || !request->body_complete)
        return false;
    json_t *call = rpc_parse(request->body, request->body_len);
    const json_t *id = json_object_get(call, "id");
    struct rpc_ids ids = rpc_ids_of(request->body, request->body_len);
    const struct rpc_id raw = rpc_ids_next(&ids);
    struct strbuf text = STRBUF_INIT;
    bool fits = rpc_is_listed(handover->fallback->rpc_methods,
                              json_string_value(json_object_get(call, "method"))) &&
                (json_is_string(id) || json_is_number(id));
    if (fits)
        rpc_write_id(call, &raw, &text);
    fits = fits && strbuf_ok(&text) && text.len < RPC_ID_MAX;
    if (fits) {
        memcpy(handover->rpc_id, strbuf_text(&text), text.len + 1);
        // The id tells attempts of the caller apart, not transactions.
        char *params = json_dumps(json_object_get(call, "params"),
                                  JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
        const char *method = json_string_value(json_object_get(call, "method"));
        hash_text(print, method, strlen(method));
        hash_text(print, params != NULL ? params : "", params != NULL ? strlen(params) : 0);
        free(params);
    }
    strbuf_fini(&text);
    json_decref(call);
    return fits;
}

// False: answered.
static bool read_key(struct handover *handover)
{
    const struct request *request = handover->request;
    const char *text = NULL;
    size_t len = 0;
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, CALLER_HASH_BYTES);
    hash_text(&state, request->upstream->name, strlen(request->upstream->name));
    hash_text(&state, handover->scope, handover->scope_len);
    enum idempotency found = idempotency_read(request->headers, request->n_headers, &text, &len);
    if (found == IDEMPOTENCY_BAD) {
        answer_refused(handover, 400, "idempotency_key_bad",
                       "Idempotency-Key must be given once, as a string of at most 255 characters: "
                       "Idempotency-Key: \"8e03978e-40d5-43dd\".",
                       0);
        return false;
    }
    handover->resend = true;
    if (found == IDEMPOTENCY_KEY) {
        hash_text(&state, text, len);
    } else if (handover->rpc) {
        (void)read_rpc(handover, &state);
    } else if ((request->method_bit & HTTP_IDEMPOTENT) != 0) {
        return true;
    } else if (config_upstream_is_smtp(request->upstream)) {
        handover->resend = false; // when nobody knows whether it arrived, a human decides
        return true;
    } else {
        answer_refused(handover, 400, "idempotency_key_missing",
                       "The request cannot be passed on now. It can be kept and delivered "
                       "later if it has an Idempotency-Key, so that it takes effect once.",
                       0);
        return false;
    }
    crypto_generichash_final(&state, handover->key, CALLER_HASH_BYTES);
    handover->key_len = CALLER_HASH_BYTES;
    return true;
}

static const struct config_fallback *queue_of(const struct request *request)
{
    return config_fallback_find(request->upstream, request->route, FALLBACK_QUEUE);
}

static bool is_write(unsigned method_bit)
{
    return (method_bit & HTTP_WRITES) != 0;
}

// JSON-RPC none of which the queue would keep is no operation of the lane: it goes to the upstream,
// as a GET does. What cannot be told (no JSON, not all of it here), and a batch with an operation
// in it, must not overtake.
static bool is_rpc_read(const struct request *request, const struct config_fallback *fallback)
{
    if (fallback->rpc_methods == NULL || !request->body_complete)
        return false;
    json_t *root = rpc_parse(request->body, request->body_len);
    size_t n_reads = 0, n = root != NULL ? rpc_count(root) : 0;
    for (size_t i = 0; i < n; i++) {
        const char *method = json_string_value(json_object_get(rpc_at(root, i), "method"));
        n_reads += method != NULL && !rpc_is_listed(fallback->rpc_methods, method);
    }
    json_decref(root);
    return n > 0 && n_reads == n;
}

bool handover_must_queue(struct request *request)
{
    const struct config_fallback *fallback = queue_of(request);
    char lane[LANE_MAX];
    if (fallback == NULL || fallback->order_by == NULL || !is_write(request->method_bit))
        return false;
    read_lane(request, fallback, lane);
    return lane[0] != '\0' &&
           lanes_is_waiting(request->valves->service->segment,
                            lanes_hash(request->upstream->name, lane)) &&
           !is_rpc_read(request, fallback);
}

static bool has_key(const struct request *request)
{
    const char *text;
    size_t len;
    return idempotency_read(request->headers, request->n_headers, &text, &len) == IDEMPOTENCY_KEY;
}

enum step handover_start(struct request *request, const struct config_fallback *fallback)
{
    // What the upstream has taken of the body already cannot be had again.
    if (!is_write(request->method_bit) || request->body_passed ||
        (request->end_unknown && !has_key(request)))
        return STEP_NEXT;
    struct handover *handover = calloc(1, sizeof(*handover));
    if (handover == NULL)
        return STEP_NEXT;
    crypto_generichash_state unused;
    handover->request = request;
    handover->front = request->front;
    handover->fallback = fallback;
    crypto_generichash_init(&unused, NULL, 0, CALLER_HASH_BYTES);
    handover->rpc = fallback->rpc_methods != NULL && read_rpc(handover, &unused);
    if (fallback->rpc_methods != NULL && !handover->rpc) {
        free(handover);
        return STEP_NEXT;
    }
    handover->scope_len = handover_caller(request, handover->scope);
    read_lane(request, fallback, handover->lane);
    if (!read_key(handover)) {
        free(handover);
        return STEP_ANSWERED;
    }
    request->handover = handover;
    if (!request->has_body || (request->body_complete && request->body_len <= PIECE_BYTES))
        submit(handover);
    else if (begin_upload(handover) < 0)
        fail(handover);
    return STEP_ANSWERED;
}
