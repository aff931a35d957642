#include <criterion/criterion.h>
#include <string.h>

#include "config/model.h"
#include "request_check.h"

#define LINES_MAX 6

struct example {
    const char *method, *version;
    const char *lines[LINES_MAX]; // "name\0value" would hide NULs: see values_with_nul
    unsigned status;              // 0: accepted
    const char *code;
};

static size_t split(const char *const *lines, struct http_header *headers)
{
    size_t n = 0;
    for (; n < LINES_MAX && lines[n] != NULL; n++) {
        const char *colon = strchr(lines[n], ':');
        headers[n] = (struct http_header){lines[n], (size_t)(colon - lines[n]), colon + 1,
                                          strlen(colon + 1)};
    }
    return n;
}

static const struct example examples[] = {
    {"GET", "HTTP/1.1", {"Host:a"}, 0, NULL},
    {"PURGE", "HTTP/1.1", {"Host:a"}, 0, NULL},
    {"GET", "HTTP/1.2", {"Host:a"}, 0, NULL},
    {"GET", "HTTP/1.0", {NULL}, 0, NULL},
    {"GET", "HTTP/1.1", {"Host:"}, 0, NULL},
    {"GET", "HTTP/1.1", {"Host:[::1]:8080"}, 0, NULL},
    {"POST", "HTTP/1.1", {"Host:a", "Content-Length:0"}, 0, NULL},
    {"POST", "HTTP/1.1", {"Host:a", "Content-Length:9223372036854775807"}, 0, NULL},
    {"POST", "HTTP/1.1", {"Host:a", "Transfer-Encoding:Chunked"}, 0, NULL},
    {"POST", "HTTP/1.1", {"Host:a", "Expect:100-Continue", "Content-Length:3"}, 0, NULL},
    {"GET", "HTTP/1.1", {"Host:a", "X-A:\x80\xff\t x"}, 0, NULL},
    {"G@T", "HTTP/1.1", {"Host:a"}, 400, "method_invalid"},
    {"", "HTTP/1.1", {"Host:a"}, 400, "method_invalid"},
    {"ABCDEFGHIJKLMNOPQRSTUVWX", "HTTP/1.1", {"Host:a"}, 501, "method_unknown"},
    {"TRACE", "HTTP/1.1", {"Host:a"}, 405, "method_refused"},
    {"CONNECT", "HTTP/1.1", {"Host:a"}, 405, "method_refused"},
    {"GET", "HTTP/1.1", {NULL}, 400, "host_missing"},
    {"GET", "HTTP/1.1", {"Host:a", "host:a"}, 400, "host_repeated"},
    {"GET", "HTTP/1.0", {"Host:a", "Host:b"}, 400, "host_repeated"},
    {"GET", "HTTP/1.1", {"Host:a/b"}, 400, "host_invalid"},
    {"GET", "HTTP/1.1", {"Host:u@a"}, 400, "host_invalid"},
    {"GET", "HTTP/1.1", {"Host:a:x"}, 400, "host_invalid"},
    {"GET", "HTTP/1.1", {"Host:a:65536"}, 400, "host_invalid"},
    {"GET", "HTTP/1.1", {"Host:[::1"}, 400, "host_invalid"},
    {"GET", "HTTP/1.1", {"Host:[::1]x"}, 400, "host_invalid"},
    {"GET", "HTTP/1.1", {"Host:a b"}, 400, "host_invalid"},
    {"GET", "HTTP/1.1", {"Host:a", "X-A :b"}, 400, "header_name_invalid"},
    {"GET", "HTTP/1.1", {"Host:a", ":b"}, 400, "header_name_invalid"},
    {"GET", "HTTP/1.1", {"Host:a", "X(A):b"}, 400, "header_name_invalid"},
    {"GET", "HTTP/1.1", {"Host:a", "X-A:b\rc"}, 400, "header_value_invalid"},
    {"GET", "HTTP/1.1", {"Host:a", "X-A:b\x01"}, 400, "header_value_invalid"},
    {"GET", "HTTP/1.1", {"Host:a", "X-A:\x7f"}, 400, "header_value_invalid"},
    {"POST",
     "HTTP/1.1",
     {"Host:a", "Content-Length:3", "Content-Length:3"},
     400,
     "content_length_repeated"},
    {"POST",
     "HTTP/1.1",
     {"Host:a", "Content-Length:3", "content-length:4"},
     400,
     "content_length_repeated"},
    {"POST", "HTTP/1.1", {"Host:a", "Content-Length:3, 3"}, 400, "content_length_invalid"},
    {"POST", "HTTP/1.1", {"Host:a", "Content-Length:+3"}, 400, "content_length_invalid"},
    {"POST", "HTTP/1.1", {"Host:a", "Content-Length:-1"}, 400, "content_length_invalid"},
    {"POST", "HTTP/1.1", {"Host:a", "Content-Length:0x3"}, 400, "content_length_invalid"},
    {"POST", "HTTP/1.1", {"Host:a", "Content-Length:"}, 400, "content_length_invalid"},
    {"POST",
     "HTTP/1.1",
     {"Host:a", "Content-Length:9223372036854775808"},
     400,
     "content_length_invalid"},
    {"POST",
     "HTTP/1.1",
     {"Host:a", "Content-Length:3", "Transfer-Encoding:chunked"},
     400,
     "framing_conflict"},
    {"POST",
     "HTTP/1.1",
     {"Host:a", "Transfer-Encoding:chunked", "Content-Length:0"},
     400,
     "framing_conflict"},
    {"POST",
     "HTTP/1.1",
     {"Host:a", "Transfer-Encoding:chunked", "Transfer-Encoding:chunked"},
     400,
     "transfer_encoding_repeated"},
    {"POST",
     "HTTP/1.1",
     {"Host:a", "Transfer-Encoding:chunked, chunked"},
     400,
     "transfer_encoding_invalid"},
    {"POST",
     "HTTP/1.1",
     {"Host:a", "Transfer-Encoding:,chunked"},
     400,
     "transfer_encoding_invalid"},
    {"POST",
     "HTTP/1.1",
     {"Host:a", "Transfer-Encoding:xchunked"},
     501,
     "transfer_encoding_unknown"},
    {"POST",
     "HTTP/1.1",
     {"Host:a", "Transfer-Encoding:chunked, identity"},
     501,
     "transfer_encoding_unknown"},
    {"POST",
     "HTTP/1.1",
     {"Host:a", "Transfer-Encoding:gzip, chunked"},
     501,
     "transfer_encoding_unknown"},
    {"POST", "HTTP/1.1", {"Host:a", "Transfer-Encoding:"}, 501, "transfer_encoding_unknown"},
    {"POST", "HTTP/1.0", {"Transfer-Encoding:chunked"}, 400, "transfer_encoding_http10"},
    {"POST", "HTTP/1.1", {"Host:a", "Expect:200-ok"}, 417, "expectation_unknown"},
};

Test(request_check, refuses_what_two_servers_could_read_differently)
{
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const struct example *e = &examples[i];
        struct http_header headers[LINES_MAX];
        size_t n = split(e->lines, headers);
        struct request_shape shape;
        struct request_refusal refusal = {0};
        bool ok = request_check(e->method, e->version, headers, n, &shape, &refusal);
        cr_assert_eq(ok, e->status == 0, "example %zu: %s", i, refusal.code);
        if (!ok) {
            cr_assert_eq(refusal.status, e->status, "example %zu", i);
            cr_assert_str_eq(refusal.code, e->code, "example %zu", i);
            cr_assert_not_null(refusal.title);
            cr_assert_not_null(refusal.detail);
        }
    }
}

Test(request_check, sees_a_nul_by_the_value_s_size)
{
    struct http_header headers[] = {{"Host", 4, "a", 1}, {"X-A", 3, "b\0c", 3}};
    struct request_shape shape;
    struct request_refusal refusal;
    cr_assert_not(request_check("GET", "HTTP/1.1", headers, 2, &shape, &refusal));
    cr_assert_str_eq(refusal.code, "header_value_invalid");
}

Test(request_check, tells_the_shape_of_what_it_accepts)
{
    struct http_header headers[] = {
        {"Host", 4, "a:81", 4}, {"Content-Length", 14, "12", 2}, {"Expect", 6, "100-continue", 12}};
    struct request_shape shape;
    struct request_refusal refusal;
    cr_assert(request_check("PUT", "HTTP/1.1", headers, 3, &shape, &refusal));
    cr_assert(shape.has_body);
    cr_assert_not(shape.chunked);
    cr_assert(shape.expects_continue);
    cr_assert_eq(shape.content_length, 12);
    cr_assert_eq(shape.host_len, 4);
    cr_assert_eq(shape.method_bit, HTTP_PUT);
    cr_assert(request_check("GET", "HTTP/1.1", headers, 1, &shape, &refusal));
    cr_assert_not(shape.has_body);
    cr_assert_eq(shape.content_length, UINT64_MAX);
}
