#include "answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "answer_header.h"
#include "base/assert.h"
#include "base/strbuf.h"
#include "client.h"
#include "exchange.h"
#include "front.h"
#include "limits.h"

#define PROBLEM_TYPE      "application/problem+json"
#define READER_BLOCK      32768 // libmicrohttpd asks for this much at a time
#define REQUEST_ID_HEADER "X-Request-Id"

int request_add_answer_header(struct request *request, const char *name, const char *value)
{
    struct response_header *header = request_alloc(request, sizeof(*header));
    if (header == NULL) {
        return -ENOMEM;
    }
    header->name = arena_copy(&request->arena, name, strlen(name));
    header->value = arena_copy(&request->arena, value, strlen(value));
    header->next = NULL;
    if (header->name == NULL || header->value == NULL) {
        return -ENOMEM;
    }
    struct response_header **end = &request->answer_headers;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = header;
    return 0;
}

static void set_answered(struct request *request, unsigned status)
{
    ASSERT(!request->answered);
    request->answered = true;
    request->status = status;
    limits_settle(request);
    client_answer_ready(request);
}

enum step answer_text(struct request *request, unsigned status, const char *content_type,
                      const char *body, size_t len)
{
    char *copy = arena_copy(&request->arena, body, len);
    request->answer_type = arena_copy(&request->arena, content_type, strlen(content_type));
    request->answer_body = copy != NULL ? copy : "";
    request->answer_body_len = copy != NULL ? len : 0;
    set_answered(request, copy != NULL ? status : 500);
    return STEP_ANSWERED;
}

enum step answer_in_place(struct request *request, unsigned status, const char *body, size_t len)
{
    request->answer_type = "";
    request->answer_body = body;
    request->answer_body_len = len;
    set_answered(request, status);
    return STEP_ANSWERED;
}

static void add_member(struct strbuf *json, const char *name, const char *value)
{
    strbuf_printf(json, ",\"%s\":", name);
    strbuf_json_string(json, value, strlen(value));
}

const char *answer_title(unsigned status)
{
    return MHD_get_reason_phrase_for(status);
}

enum step answer_problem(struct request *request, unsigned status, const char *code,
                         const char *title, const char *detail, const char *type,
                         const char *extra_members)
{
    struct strbuf json = STRBUF_INIT;
    strbuf_puts(&json, "{\"type\":");
    const char *type_text = type != NULL ? type : "about:blank";
    strbuf_json_string(&json, type_text, strlen(type_text));
    add_member(&json, "title", title);
    strbuf_printf(&json, ",\"status\":%u", status);
    if (detail != NULL) {
        add_member(&json, "detail", detail);
    }
    add_member(&json, "code", code);
    add_member(&json, "requestId", request->request_id);
    if (extra_members != NULL && extra_members[0] != '\0') {
        strbuf_printf(&json, ",%s", extra_members);
    }
    strbuf_puts(&json, "}\n");
    request->source = ANSWER_GATEWAY;
    // Read once more when the request ends; a code that came with a message is gone by then.
    request->problem_code = arena_copy(&request->arena, code, strlen(code));
    const char *text = strbuf_ok(&json) ? strbuf_text(&json) : "";
    enum step step = answer_text(request, status, PROBLEM_TYPE, text, strlen(text));
    strbuf_fini(&json);
    return step;
}

void answer_upstream(struct request *request)
{
    request->source = ANSWER_UPSTREAM;
    set_answered(request, request->exchange->answer.status);
    valve_judge(request);
}

bool answer_has_own_header(const struct request *request, const struct http_header *header)
{
    if (header->name_len == strlen(REQUEST_ID_HEADER) &&
        strncasecmp(header->name, REQUEST_ID_HEADER, header->name_len) == 0) {
        return true;
    }
    for (const struct response_header *own = request->answer_headers; own != NULL;
         own = own->next) {
        if (strcasecmp(own->name, header->name) == 0) {
            return true;
        }
    }
    return false;
}

// An empty value is legal, but libmicrohttpd takes none: a blank means the same (RFC 9112 5.1).
static const char *value_or_blank(const char *value)
{
    return value[0] != '\0' ? value : " ";
}

// Calls back for every header of the answer but those of framing and connection.
static void each_header(const struct request *request,
                        void (*each)(void *arg, const char *name, const char *value), void *arg)
{
    if (request->source == ANSWER_UPSTREAM) {
        const struct upstream_answer *answer = &request->exchange->answer;
        for (size_t i = 0; i < answer->n_headers; i++) {
            if (answer_header_passes(answer->headers, answer->n_headers, i) &&
                !answer_has_own_header(request, &answer->headers[i]) &&
                !limits_hide_header(request, answer->headers[i].name,
                                    answer->headers[i].name_len)) {
                each(arg, answer->headers[i].name, value_or_blank(answer->headers[i].value));
            }
        }
    } else if (request->answer_type != NULL && request->answer_type[0] != '\0') {
        each(arg, "Content-Type", request->answer_type);
    }
    for (const struct response_header *own = request->answer_headers; own != NULL;
         own = own->next) {
        each(arg, own->name, value_or_blank(own->value));
    }
    if (request->request_id[0] != '\0') {
        each(arg, REQUEST_ID_HEADER, request->request_id);
    }
}

static void add_to_response(void *arg, const char *name, const char *value)
{
    // A refusal is memory's; the answer is then short of that header.
    (void)MHD_add_response_header(arg, name, value);
}

static ssize_t read_body(void *cls, uint64_t position, char *to, size_t cap)
{
    (void)position;
    return client_read_answer(cls, to, cap);
}

// libmicrohttpd 0.9.75 ends a bodyless answer of unknown length with a chunked terminator that does
// not belong there. 304 gets Content-Length: 0, which caches must not take over (RFC 9111 3.2); to
// HEAD it would be a false statement, so that connection is closed instead.
static struct MHD_Response *response_without_body(struct request *request, uint64_t length)
{
    if (length == UINT64_MAX && request->method_bit == HTTP_HEAD) {
        struct MHD_Response *response =
            MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1, read_body, request, NULL);
        if (response != NULL) {
            MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
        }
        return response;
    }
    length = length == UINT64_MAX ? 0 : length;
    return MHD_create_response_from_callback(length, 1, read_body, request, NULL);
}

static struct MHD_Response *response_of_upstream(struct request *request)
{
    struct exchange *x = request->exchange;
    const struct upstream_answer *answer = &x->answer;
    if (answer->framing == ANSWER_NO_BODY) {
        return response_without_body(request, answer->length);
    }
    struct iovec pieces[2];
    int n = body_peek(&x->in, pieces);
    if (answer->complete && !x->broken && n <= 1) {
        request->bytes_out = n == 0 ? 0 : pieces[0].iov_len;
        return MHD_create_response_from_buffer(
            request->bytes_out, n == 0 ? NULL : pieces[0].iov_base, MHD_RESPMEM_PERSISTENT);
    }
    uint64_t size = answer->framing == ANSWER_BY_LENGTH ? answer->length : MHD_SIZE_UNKNOWN;
    return MHD_create_response_from_callback(size, READER_BLOCK, read_body, request, NULL);
}

static bool is_bodyless(const struct request *request)
{
    return request->method_bit == HTTP_HEAD || request->status == 204 || request->status == 304;
}

struct MHD_Response *answer_response(struct request *request, bool closing)
{
    struct MHD_Response *response;
    if (request->source == ANSWER_UPSTREAM) {
        response = response_of_upstream(request);
    } else {
        // Persistent: it is read only while the request lives.
        void *body = (void *)(uintptr_t)request->answer_body;
        response =
            MHD_create_response_from_buffer(request->answer_body_len, body, MHD_RESPMEM_PERSISTENT);
        request->bytes_out = is_bodyless(request) ? 0 : request->answer_body_len;
    }
    if (response == NULL) {
        return NULL;
    }
    each_header(request, add_to_response, response);
    if (closing) {
        (void)MHD_add_response_header(response, "Connection", "close");
    }
    return response;
}

static void add_to_text(void *arg, const char *name, const char *value)
{
    strbuf_printf(arg, "%s: %s\r\n", name, value);
}

// A complete answer of the upstream's in one piece. False: it is not.
static bool whole_body_of_upstream(const struct request *request, struct iovec *ret_body)
{
    const struct exchange *x = request->exchange;
    struct iovec pieces[2] = {0};
    if (!x->answer.complete || x->broken || body_peek(&x->in, pieces) > 1) {
        return false;
    }
    *ret_body = pieces[0];
    return true;
}

// The length to state; UINT64_MAX: none. 1xx and 204 have no such header at all (RFC 9110 8.6); of
// HEAD and 304 it is that of the body which GET would have got.
static uint64_t length_to_state(const struct request *request, size_t body_len)
{
    if (request->status < 200 || request->status == 204) {
        return UINT64_MAX;
    }
    bool upstreams = request->source == ANSWER_UPSTREAM;
    if (upstreams && request->exchange->answer.framing == ANSWER_NO_BODY) {
        return request->exchange->answer.length;
    }
    return body_len;
}

size_t answer_raw(struct request *request, char *out, size_t cap)
{
    struct iovec body = {.iov_base = (void *)(uintptr_t)request->answer_body,
                         .iov_len = request->answer_body_len};
    if (request->source == ANSWER_UPSTREAM && !whole_body_of_upstream(request, &body)) {
        return 0;
    }
    char date[40];
    time_t now = time(NULL);
    struct tm tm;
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    struct strbuf text = STRBUF_INIT;
    strbuf_printf(&text, "HTTP/1.1 %u %s\r\nDate: %s\r\n", request->status,
                  MHD_get_reason_phrase_for(request->status), date);
    each_header(request, add_to_text, &text);
    uint64_t length = length_to_state(request, body.iov_len);
    if (length != UINT64_MAX) {
        strbuf_printf(&text, "Content-Length: %" PRIu64 "\r\n", length);
    }
    strbuf_puts(&text, "Connection: close\r\n\r\n");
    body.iov_len = is_bodyless(request) ? 0 : body.iov_len;
    if (body.iov_len > 0) {
        strbuf_append(&text, body.iov_base, body.iov_len);
    }
    size_t len = strbuf_ok(&text) && text.len <= cap ? text.len : 0;
    memcpy(out, strbuf_text(&text), len);
    request->bytes_out = body.iov_len;
    strbuf_fini(&text);
    return len;
}
