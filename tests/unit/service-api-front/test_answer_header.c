#include <criterion/criterion.h>

#include "answer_header.h"

#define H(name, value)                                                                             \
    {                                                                                              \
        name, sizeof(name) - 1, value, sizeof(value) - 1                                           \
    }

Test(answer_header, keeps_back_what_belongs_to_the_upstream_connection)
{
    static const struct http_header headers[] = {
        H("Content-Type", "text/plain"),
        H("Set-Cookie", "a"),
        H("Set-Cookie", "b"),
        H("Connection", "close, X-Hop"),
        H("X-Hop", "1"),
        H("Keep-Alive", "timeout=5"),
        H("Transfer-Encoding", "chunked"),
        H("Content-Length", "3"),
        H("Upgrade", "x"),
        H("Trailer", "x"),
        H("X A", "1"),
        H("X-B", "a\nb"),
        H("Date", "now"),
        H("X-Empty", ""),
    };
    static const bool passes[] = {true,  true,  true,  false, false, false, false,
                                  false, false, false, false, false, true,  true};
    size_t n = sizeof(headers) / sizeof(headers[0]);
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(answer_header_passes(headers, n, i), passes[i], "%s", headers[i].name);
    }
}

static enum answer_framing framing(const struct http_header *headers, size_t n, unsigned status,
                                   bool head, uint64_t *length)
{
    *length = 99;
    return answer_header_framing(headers, n, status, head, length);
}

Test(answer_header, frames_by_status_method_and_headers)
{
    static const struct http_header length[] = {H("content-length", "3")};
    static const struct http_header same[] = {H("Content-Length", "3"), H("Content-Length", "3")};
    static const struct http_header differ[] = {H("Content-Length", "3"), H("Content-Length", "4")};
    static const struct http_header chunked[] = {H("Transfer-Encoding", "chunked")};
    static const struct http_header gzip[] = {H("Transfer-Encoding", "gzip, chunked")};
    static const struct http_header both[] = {H("Transfer-Encoding", "chunked"),
                                              H("Content-Length", "3")};
    static const struct http_header bad[] = {H("Content-Length", "3x")};
    uint64_t n;
    cr_assert_eq(framing(length, 1, 200, false, &n), ANSWER_BY_LENGTH);
    cr_assert_eq(n, 3);
    cr_assert_eq(framing(same, 2, 200, false, &n), ANSWER_BY_LENGTH);
    cr_assert_eq(framing(length, 1, 200, true, &n), ANSWER_NO_BODY);
    cr_assert_eq(n, 3);
    cr_assert_eq(framing(length, 1, 304, false, &n), ANSWER_NO_BODY);
    cr_assert_eq(framing(length, 0, 204, false, &n), ANSWER_NO_BODY);
    cr_assert_eq(n, UINT64_MAX);
    cr_assert_eq(framing(length, 0, 200, false, &n), ANSWER_OPEN);
    cr_assert_eq(framing(chunked, 1, 200, false, &n), ANSWER_OPEN);
    cr_assert_eq(framing(differ, 2, 200, false, &n), ANSWER_BAD);
    cr_assert_eq(framing(gzip, 1, 200, false, &n), ANSWER_BAD);
    cr_assert_eq(framing(both, 2, 200, false, &n), ANSWER_BAD);
    cr_assert_eq(framing(bad, 1, 200, false, &n), ANSWER_BAD);
}
