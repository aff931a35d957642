#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "upstream_header.h"

static struct upstream_header plain(void)
{
    return (struct upstream_header){
        .method = "GET",
        .base_path = "",
        .path = "/a",
        .path_len = 2,
        .host = "front.example",
        .peer = "192.0.2.7",
        .request_id = "id-1",
        .content_length = UINT64_MAX,
    };
}

// Writes into exactly the bound, so that ASan sees a bound that is too small.
static char *write_head(const struct upstream_header *header)
{
    size_t cap = upstream_header_bound(header);
    char *text = malloc(cap);
    size_t len = upstream_header_write(header, text, cap);
    char *copy = strndup(text, len);
    free(text);
    return copy;
}

static void expect_line(const struct upstream_header *header, const char *line)
{
    char *text = write_head(header);
    cr_assert_eq(strncmp(text, line, strlen(line)), 0, "%s", text);
    free(text);
}

Test(upstream_header, writes_a_plain_request)
{
    struct upstream_header header = plain();
    char *text = write_head(&header);
    cr_assert_str_eq(text, "GET /a HTTP/1.1\r\nHost: front.example\r\n"
                           "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n"
                           "X-Forwarded-Host: front.example\r\n"
                           "Forwarded: for=192.0.2.7;proto=http;host=\"front.example\"\r\n"
                           "X-Request-Id: id-1\r\n\r\n");
    free(text);
}

Test(upstream_header, joins_base_path_prefix_and_rest_with_one_slash)
{
    static const struct {
        const char *base, *path, *rewrite;
        size_t strip;
        const char *query, *line;
    } examples[] = {
        {"", "/a/b", NULL, 0, NULL, "GET /a/b HTTP"},
        {"/base", "/a/b", NULL, 0, "q=1", "GET /base/a/b?q=1 HTTP"},
        {"/base/", "/a", NULL, 0, NULL, "GET /base/a HTTP"},
        {"", "/api/app/hello", NULL, 9, NULL, "GET /hello HTTP"}, // route "/api/app/"
        {"", "/api/app/hello", NULL, 8, NULL, "GET /hello HTTP"}, // route "/api/app"
        {"", "/api/app", NULL, 8, NULL, "GET / HTTP"},
        {"", "/api/app/x", "/v2", 8, NULL, "GET /v2/x HTTP"},
        {"", "/api/app/x", "/v2/", 8, NULL, "GET /v2/x HTTP"},
        {"", "/api/app/x", "/v2", 9, NULL, "GET /v2/x HTTP"},
        {"/b", "/api/app", "/v2", 8, "", "GET /b/v2? HTTP"},
        {"/b", "/api/app/x", NULL, 9, NULL, "GET /b/x HTTP"},
    };
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct upstream_header header = plain();
        header.base_path = examples[i].base;
        header.path = examples[i].path;
        header.path_len = strlen(examples[i].path);
        header.rewrite = examples[i].rewrite;
        header.strip = examples[i].strip;
        header.query = examples[i].query;
        expect_line(&header, examples[i].line);
    }
}

#define H(name, value)                                                                             \
    {                                                                                              \
        name, sizeof(name) - 1, value, sizeof(value) - 1                                           \
    }

Test(upstream_header, drops_what_belongs_to_the_connection_and_keeps_the_rest_in_order)
{
    static const struct http_header headers[] = {
        H("Host", "evil"),
        H("B", "1"),
        H("Connection", "keep-alive, X-Hop"),
        H("X-Hop", "2"),
        H("Keep-Alive", "5"),
        H("TE", "trailers"),
        H("Trailer", "x"),
        H("Upgrade", "h2c"),
        H("Proxy-Connection", "x"),
        H("Proxy-Authorization", "x"),
        H("Proxy", "http://evil"),
        H("Expect", "100-continue"),
        H("Content-Length", "7"),
        H("Transfer-Encoding", "x"),
        H("X-Request-Id", "other"),
        H("A", "3"),
        H("B", "4"),
        H("traceparent", "00-1"),
        H("Cookie", ""),
    };
    struct upstream_header header = plain();
    header.headers = headers;
    header.n_headers = sizeof(headers) / sizeof(headers[0]);
    header.has_body = true;
    header.content_length = 7;
    char *text = write_head(&header);
    cr_assert_str_eq(text, "GET /a HTTP/1.1\r\nHost: front.example\r\n"
                           "B: 1\r\nA: 3\r\nB: 4\r\ntraceparent: 00-1\r\nCookie: \r\n"
                           "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n"
                           "X-Forwarded-Host: front.example\r\n"
                           "Forwarded: for=192.0.2.7;proto=http;host=\"front.example\"\r\n"
                           "X-Request-Id: id-1\r\nContent-Length: 7\r\n\r\n");
    free(text);
}

static const struct http_header forwarding[] = {
    H("X-Forwarded-For", "10.1.1.1"), H("x-forwarded-for", "10.2.2.2"),
    H("X-Forwarded-Proto", "https"),  H("X-Forwarded-Host", "public.example"),
    H("Forwarded", "for=10.1.1.1"),
};

Test(upstream_header, continues_what_a_trusted_proxy_says)
{
    struct upstream_header header = plain();
    header.headers = forwarding;
    header.n_headers = 5;
    header.peer_is_proxy = true;
    header.peer = "2001:db8::1";
    char *text = write_head(&header);
    cr_assert_not_null(strstr(text, "\r\nX-Forwarded-For: 10.1.1.1, 10.2.2.2, 2001:db8::1\r\n"));
    cr_assert_not_null(strstr(text, "\r\nX-Forwarded-Proto: https\r\n"));
    cr_assert_not_null(strstr(text, "\r\nX-Forwarded-Host: public.example\r\n"));
    cr_assert_not_null(
        strstr(text, "\r\nForwarded: for=10.1.1.1, for=\"[2001:db8::1]\";proto=http"));
    free(text);
}

Test(upstream_header, forgets_what_a_stranger_says)
{
    struct upstream_header header = plain();
    header.headers = forwarding;
    header.n_headers = 5;
    char *text = write_head(&header);
    cr_assert_null(strstr(text, "10.1.1.1"));
    cr_assert_null(strstr(text, "10.2.2.2"));
    cr_assert_null(strstr(text, "public.example"));
    cr_assert_not_null(strstr(text, "X-Forwarded-Proto: http\r\n"));
    free(text);
}

// What a CGI backend would read as one of ours, spelt as none of them.
static const struct http_header disguised[] = {
    H("X_Forwarded_For", "6.6.6.6"),
    H("X-Forwarded_For", "6.6.6.6"),
    H("x_forwarded_proto", "6.6.6.6"),
    H("X_Forwarded_Host", "6.6.6.6"),
    H("X_Forwarded_Anything", "6"),
    H("Content_Length", "6"),
    H("Transfer_Encoding", "6"),
    H("Keep_Alive", "6"),
    H("Proxy_Authorization", "6"),
    H("X_Request_Id", "6"),
    H("X_Real_IP", "6"),
    H("X_API_Tier", "6"),
    H("X_Api_Key", "6"),
    H("X_Region", "6"),
    H("X.Forwarded.For", "6"),
    H("X-Original_Forwarded_For", "6"),
    H("HTTP2_Settings", "6"),
    H("X_Forwarded", "6"),
};

Test(upstream_header, drops_names_that_a_cgi_backend_takes_for_others)
{
    for (size_t i = 0; i < sizeof(disguised) / sizeof(disguised[0]); i++) {
        struct upstream_header header = plain();
        header.headers = &disguised[i];
        header.n_headers = 1;
        header.peer_is_proxy = header.peer_may_claim = true; // not even from our own proxies
        char *text = write_head(&header);
        cr_expect_null(strstr(text, disguised[i].name), "%s", disguised[i].name);
        cr_expect_null(strstr(text, "6.6.6.6"), "%s", disguised[i].name);
        free(text);
    }
}

Test(upstream_header, keeps_other_names_with_underscores)
{
    static const struct http_header headers[] = {
        H("user_id", "1"),
        H("X_Custom_Header_That_Is_Longer_Than_Any_Of_Ours", "2"),
        H("_", "3"),
        H("X_Forwarding", "4"),
    };
    struct upstream_header header = plain();
    header.headers = headers;
    header.n_headers = 4;
    char *text = write_head(&header);
    cr_assert_not_null(strstr(text, "\r\nuser_id: 1\r\n"
                                    "X_Custom_Header_That_Is_Longer_Than_Any_Of_Ours: 2\r\n"
                                    "_: 3\r\nX_Forwarding: 4\r\n"));
    free(text);
}

static const struct http_header of_proxies[] = {
    H("X-Real-IP", "6"),        H("X-Forwarded-Port", "6"),   H("X-Forwarded-Ssl", "6"),
    H("X-Forwarded-User", "6"), H("X-Forwarded-Prefix", "6"), H("X-Client-IP", "6"),
    H("True-Client-IP", "6"),   H("X-Original-URL", "6"),     H("x-rewrite-url", "6"),
    H("Front-End-Https", "6"),  H("CF-Connecting-IP", "6"),   H("Forwarded-For", "6"),
};
static const struct http_header claims[] = {H("X-API-Tier", "6"), H("X-Region", "6")};

static void expect_only_when(const struct http_header *h, bool proxy, bool claimant, bool passes)
{
    struct upstream_header header = plain();
    header.headers = h;
    header.n_headers = 1;
    header.peer_is_proxy = proxy;
    header.peer_may_claim = claimant;
    char *text = write_head(&header);
    char line[64];
    snprintf(line, sizeof(line), "\r\n%s: %s\r\n", h->name, h->value);
    cr_expect_eq(strstr(text, line) != NULL, passes, "%s", h->name);
    free(text);
}

Test(upstream_header, passes_what_proxies_know_and_claims_from_those_trusted_for_them)
{
    for (size_t i = 0; i < sizeof(of_proxies) / sizeof(of_proxies[0]); i++) {
        expect_only_when(&of_proxies[i], false, true, false);
        expect_only_when(&of_proxies[i], true, false, true);
    }
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        expect_only_when(&claims[i], true, false, false);
        expect_only_when(&claims[i], false, true, true);
    }
    static const struct http_header key = H("X-API-Key", "6"); // the backend's to judge
    expect_only_when(&key, false, false, true);
}

Test(upstream_header, frames_the_body_anew)
{
    struct upstream_header header = plain();
    header.has_body = header.chunked = true;
    header.tls = true;
    char *text = write_head(&header);
    cr_assert_not_null(strstr(text, "\r\nTransfer-Encoding: chunked\r\n\r\n"));
    cr_assert_not_null(strstr(text, "X-Forwarded-Proto: https\r\n"));
    free(text);
}
