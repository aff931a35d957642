#include "request_check.h"

#include <string.h>

#include "base/parse.h"
#include "config/method.h"

#define REFUSE(status_, code_, title_, detail_)                                                    \
    do {                                                                                           \
        *ret_refusal = (struct request_refusal){(status_), (code_), (title_), (detail_)};          \
        return false;                                                                              \
    } while (0)

static bool check_method(const char *method, struct request_shape *shape,
                         struct request_refusal *ret_refusal)
{
    size_t len = strlen(method);
    if (!http_is_token(method, len)) {
        REFUSE(400, "method_invalid", "Bad Request", "The method is not a token (RFC 9110 5.6.2).");
    }
    if (len > REQUEST_METHOD_MAX) {
        REFUSE(501, "method_unknown", "Not Implemented", "The method is longer than any known.");
    }
    if (strcmp(method, "TRACE") == 0 || strcmp(method, "CONNECT") == 0) {
        REFUSE(405, "method_refused", "Method Not Allowed",
               "TRACE and CONNECT are not passed through.");
    }
    shape->method_bit = method_bit_of(method, len);
    return true;
}

// host[:port] with the characters of RFC 3986 3.2.2, no user information.
static bool is_host(const char *text, size_t len)
{
    size_t i = 0;
    if (len > 0 && text[0] == '[') {
        while (i < len && text[i] != ']') {
            i++;
        }
        if (i == len) {
            return false;
        }
        for (size_t k = 1; k < i; k++) {
            if (strchr("0123456789abcdefABCDEF:.", text[k]) == NULL || text[k] == '\0') {
                return false;
            }
        }
        i++;
    } else {
        for (; i < len && text[i] != ':'; i++) {
            unsigned char c = (unsigned char)text[i];
            bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
            if (!alnum && (c == '\0' || strchr("-._~!$&'()*+,;=%", c) == NULL)) {
                return false;
            }
        }
    }
    if (i == len) {
        return true;
    }
    uint64_t port;
    return text[i] == ':' &&
           (i + 1 == len || parse_u64_n(text + i + 1, len - i - 1, 0, 65535, &port) == 0);
}

static bool check_host(const struct http_header *header, bool seen, struct request_shape *shape,
                       struct request_refusal *ret_refusal)
{
    if (seen) {
        REFUSE(400, "host_repeated", "Bad Request", "A request must have one Host header only.");
    }
    if (!is_host(header->value, header->value_len)) {
        REFUSE(400, "host_invalid", "Bad Request",
               "Host must be a name or address with an optional port.");
    }
    shape->host = header->value;
    shape->host_len = header->value_len;
    return true;
}

static bool check_length(const struct http_header *header, bool seen, struct request_shape *shape,
                         struct request_refusal *ret_refusal)
{
    if (seen) {
        REFUSE(400, "content_length_repeated", "Bad Request",
               "A request must have one Content-Length only.");
    }
    if (parse_u64_n(header->value, header->value_len, 0, INT64_MAX, &shape->content_length) != 0) {
        REFUSE(400, "content_length_invalid", "Bad Request",
               "Content-Length must be a decimal number of bytes.");
    }
    return true;
}

static bool check_coding(const struct http_header *header, bool seen, struct request_shape *shape,
                         struct request_refusal *ret_refusal)
{
    if (seen) {
        REFUSE(400, "transfer_encoding_repeated", "Bad Request",
               "A request must have one Transfer-Encoding header only.");
    }
    size_t position = 0;
    size_t item_len;
    const char *item;
    unsigned codings = 0;
    bool all_chunked = true;
    while (http_list_next(header->value, header->value_len, &position, &item, &item_len)) {
        codings++;
        all_chunked = all_chunked && http_name_is(item, item_len, "chunked");
    }
    if (codings == 0 || !all_chunked) {
        REFUSE(501, "transfer_encoding_unknown", "Not Implemented",
               "The only transfer coding for requests is chunked.");
    }
    // "chunked," and "chunked , chunked" alike: only the bare word is read alike by everybody.
    if (!http_name_is(header->value, header->value_len, "chunked")) {
        REFUSE(400, "transfer_encoding_invalid", "Bad Request",
               "Transfer-Encoding must be chunked, once.");
    }
    shape->chunked = true;
    return true;
}

static bool check_expect(const struct http_header *header, struct request_shape *shape,
                         struct request_refusal *ret_refusal)
{
    if (!http_name_is(header->value, header->value_len, "100-continue")) {
        REFUSE(417, "expectation_unknown", "Expectation Failed",
               "The only expectation is 100-continue.");
    }
    shape->expects_continue = true;
    return true;
}

static bool check_headers(const struct http_header *headers, size_t n, struct request_shape *shape,
                          struct request_refusal *ret_refusal)
{
    bool host = false;
    bool length = false;
    bool coding = false;
    for (size_t i = 0; i < n; i++) {
        const struct http_header *h = &headers[i];
        if (!http_is_token(h->name, h->name_len)) {
            REFUSE(400, "header_name_invalid", "Bad Request",
                   "A header name is not a token (RFC 9110 5.6.2).");
        }
        if (!http_is_field_value(h->value, h->value_len)) {
            REFUSE(400, "header_value_invalid", "Bad Request",
                   "A header value contains a control character.");
        }
        bool ok = true;
        if (http_name_is(h->name, h->name_len, "host")) {
            ok = check_host(h, host, shape, ret_refusal);
            host = true;
        } else if (http_name_is(h->name, h->name_len, "content-length")) {
            ok = check_length(h, length, shape, ret_refusal);
            length = true;
        } else if (http_name_is(h->name, h->name_len, "transfer-encoding")) {
            ok = check_coding(h, coding, shape, ret_refusal);
            coding = true;
        } else if (http_name_is(h->name, h->name_len, "expect")) {
            ok = check_expect(h, shape, ret_refusal);
        }
        if (!ok) {
            return false;
        }
    }
    if (length && coding) {
        REFUSE(400, "framing_conflict", "Bad Request",
               "A request must not have both Content-Length and Transfer-Encoding.");
    }
    if (!host && !shape->http10) {
        REFUSE(400, "host_missing", "Bad Request", "A request must have a Host header.");
    }
    return true;
}

bool request_check(const char *method, const char *version, const struct http_header *headers,
                   size_t n_headers, struct request_shape *ret_shape,
                   struct request_refusal *ret_refusal)
{
    struct request_shape shape = {.content_length = UINT64_MAX};
    // A higher minor version is read as the highest known one (RFC 9110 2.5).
    shape.http10 = strcmp(version, "HTTP/1.0") == 0;
    if (!check_method(method, &shape, ret_refusal) ||
        !check_headers(headers, n_headers, &shape, ret_refusal)) {
        return false;
    }
    if (shape.chunked && shape.http10) {
        REFUSE(400, "transfer_encoding_http10", "Bad Request",
               "Transfer-Encoding does not exist in HTTP/1.0.");
    }
    if (shape.http10) {
        shape.expects_continue = false; // RFC 9110 10.1.1
    }
    shape.has_body =
        shape.chunked || (shape.content_length != UINT64_MAX && shape.content_length > 0);
    *ret_shape = shape;
    return true;
}
