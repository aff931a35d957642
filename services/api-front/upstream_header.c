#include "upstream_header.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"

struct writer {
    char *at, *end;
    unsigned seen; // kinds of headers that are there, as bits
};

static void put(struct writer *w, const char *text, size_t len)
{
    ASSERT(len <= (size_t)(w->end - w->at));
    memcpy(w->at, text, len);
    w->at += len;
}

static void puts_(struct writer *w, const char *text)
{
    put(w, text, strlen(text));
}

// Our own lines: at most these texts around the values counted in upstream_header_bound().
#define OWN_LINES_BYTES 512

size_t upstream_header_bound(const struct upstream_header *header)
{
    size_t bytes = OWN_LINES_BYTES + strlen(header->method) + strlen(header->base_path) +
                   header->path_len + 3 * strlen(header->host) + 2 * strlen(header->peer) +
                   strlen(header->request_id);
    bytes += header->rewrite == NULL ? 0 : strlen(header->rewrite);
    bytes += header->query == NULL ? 0 : strlen(header->query);
    for (size_t i = 0; i < header->n_headers; i++) {
        bytes += header->headers[i].name_len + header->headers[i].value_len + 4;
    }
    return bytes;
}

enum kind {
    KIND_PASS,
    KIND_READ, // the gateway reads it, too
    KIND_DROP, // written anew, or for the connection only
    KIND_XFF,
    KIND_PROTO,
    KIND_HOST,
    KIND_FORWARDED,
    KIND_OF_PROXY, // what only a proxy knows
    KIND_CLAIM,
};

#define FORWARDED_FAMILY "x-forwarded-"
#define NAME_MAX_BYTES   24 // of those below

static const struct special {
    const char *name;
    size_t len;
    enum kind kind;
} specials[] = {
#define SPECIAL(name, kind)                                                                        \
    {                                                                                              \
        name, sizeof(name) - 1, kind                                                               \
    }
    SPECIAL("host", KIND_DROP),
    SPECIAL("content-length", KIND_DROP),
    SPECIAL("expect", KIND_DROP),
    SPECIAL("proxy", KIND_DROP),
    SPECIAL("x-request-id", KIND_DROP),
    SPECIAL("x-forwarded-for", KIND_XFF),
    SPECIAL("x-forwarded-proto", KIND_PROTO),
    SPECIAL("x-forwarded-host", KIND_HOST),
    SPECIAL("forwarded", KIND_FORWARDED),
    SPECIAL("x-api-tier", KIND_CLAIM),
    SPECIAL("x-region", KIND_CLAIM),
    SPECIAL("x-api-key", KIND_READ),
    // Other names for the client's address, scheme, host and target that backends believe.
    SPECIAL("x-forwarded", KIND_OF_PROXY),
    SPECIAL("forwarded-for", KIND_OF_PROXY),
    SPECIAL("x-real-ip", KIND_OF_PROXY),
    SPECIAL("client-ip", KIND_OF_PROXY),
    SPECIAL("x-client-ip", KIND_OF_PROXY),
    SPECIAL("x-cluster-client-ip", KIND_OF_PROXY),
    SPECIAL("true-client-ip", KIND_OF_PROXY),
    SPECIAL("cf-connecting-ip", KIND_OF_PROXY),
    SPECIAL("fastly-client-ip", KIND_OF_PROXY),
    SPECIAL("x-original-for", KIND_OF_PROXY),
    SPECIAL("x-original-forwarded-for", KIND_OF_PROXY),
    SPECIAL("x-original-host", KIND_OF_PROXY),
    SPECIAL("x-original-proto", KIND_OF_PROXY),
    SPECIAL("x-original-url", KIND_OF_PROXY),
    SPECIAL("x-rewrite-url", KIND_OF_PROXY),
    SPECIAL("x-host", KIND_OF_PROXY),
    SPECIAL("x-scheme", KIND_OF_PROXY),
    SPECIAL("x-url-scheme", KIND_OF_PROXY),
    SPECIAL("front-end-https", KIND_OF_PROXY),
#undef SPECIAL
};

static enum kind kind_of_name(const char *name, size_t len)
{
    // Most headers are told apart by their first letter alone.
    bool may_be = len > 0 && strchr("hcepxftHCEPXFT", name[0]) != NULL;
    for (size_t i = 0; may_be && i < sizeof(specials) / sizeof(specials[0]); i++) {
        if (len == specials[i].len && strncasecmp(name, specials[i].name, len) == 0) {
            return specials[i].kind;
        }
    }
    size_t family = sizeof(FORWARDED_FAMILY) - 1;
    if (len > family && strncasecmp(name, FORWARDED_FAMILY, family) == 0) {
        return KIND_OF_PROXY;
    }
    return http_is_hop_by_hop(name, len) ? KIND_DROP : KIND_PASS;
}

// CGI and what learned from it (WSGI, Rack, PHP) turn '-' into '_', some of them all that is no
// letter and no digit, so that X_Forwarded_For is X-Forwarded-For there.
static enum kind kind_of(const struct http_header *h)
{
    char plain[NAME_MAX_BYTES + 1];
    size_t n = h->name_len < sizeof(plain) ? h->name_len : sizeof(plain);
    bool disguised = false;
    for (size_t i = 0; i < n; i++) {
        bool is_alnum = isalnum((unsigned char)h->name[i]) != 0;
        disguised = disguised || !(is_alnum || h->name[i] == '-');
        plain[i] = is_alnum ? h->name[i] : '-';
    }
    if (!disguised) {
        return kind_of_name(h->name, h->name_len);
    }
    return kind_of_name(plain, n) == KIND_PASS ? KIND_PASS : KIND_DROP;
}

static bool passes(const struct upstream_header *header, enum kind kind)
{
    switch (kind) {
    case KIND_PASS:
    case KIND_READ:
        return true;
    case KIND_OF_PROXY:
        return header->peer_is_proxy;
    case KIND_CLAIM:
        return header->peer_may_claim;
    default:
        return false;
    }
}

static void put_request_line(struct writer *w, const struct upstream_header *header)
{
    puts_(w, header->method);
    put(w, " ", 1);
    const char *path = header->path + header->strip;
    size_t len = header->path_len - header->strip;
    char *start = w->at;
    puts_(w, header->base_path);
    if (header->rewrite != NULL) {
        puts_(w, header->rewrite);
    }
    // Whatever was cut off and put in front: one slash between the parts, and one at the start.
    bool has_prefix = w->at > start;
    bool prefix_slash = has_prefix && w->at[-1] == '/';
    bool path_slash = len > 0 && path[0] == '/';
    if (prefix_slash && path_slash) {
        path++;
        len--;
    } else if (!prefix_slash && !path_slash && (len > 0 || !has_prefix)) {
        put(w, "/", 1);
    }
    put(w, path, len);
    if (header->query != NULL) {
        put(w, "?", 1);
        puts_(w, header->query);
    }
    puts_(w, " HTTP/1.1\r\nHost: ");
    puts_(w, header->host);
    put(w, "\r\n", 2);
}

// The values of a forwarding header joined, ready for our own element.
static void put_earlier(struct writer *w, const struct upstream_header *header, enum kind kind)
{
    bool looked_for = header->peer_is_proxy && (w->seen & (1U << kind)) != 0;
    for (size_t i = 0; looked_for && i < header->n_headers; i++) {
        const struct http_header *h = &header->headers[i];
        if (h->value_len > 0 && kind_of(h) == kind) {
            put(w, h->value, h->value_len);
            put(w, ", ", 2);
        }
    }
}

// A fact that the first proxy knows: its word stands, else ours.
static void put_first(struct writer *w, const struct upstream_header *header, enum kind kind,
                      const char *own)
{
    bool looked_for = header->peer_is_proxy && (w->seen & (1U << kind)) != 0;
    for (size_t i = 0; looked_for && i < header->n_headers; i++) {
        const struct http_header *h = &header->headers[i];
        if (h->value_len > 0 && kind_of(h) == kind) {
            put(w, h->value, h->value_len);
            return;
        }
    }
    puts_(w, own);
}

static void put_forwarding(struct writer *w, const struct upstream_header *header)
{
    const char *proto = header->tls ? "https" : "http";
    puts_(w, "X-Forwarded-For: ");
    put_earlier(w, header, KIND_XFF);
    puts_(w, header->peer);
    puts_(w, "\r\nX-Forwarded-Proto: ");
    put_first(w, header, KIND_PROTO, proto);
    puts_(w, "\r\nX-Forwarded-Host: ");
    put_first(w, header, KIND_HOST, header->host);
    puts_(w, "\r\nForwarded: ");
    put_earlier(w, header, KIND_FORWARDED);
    bool v6 = strchr(header->peer, ':') != NULL;
    puts_(w, v6 ? "for=\"[" : "for=");
    puts_(w, header->peer);
    puts_(w, v6 ? "]\";proto=" : ";proto=");
    puts_(w, proto);
    puts_(w, ";host=\"");
    puts_(w, header->host); // request_check let no quote and no backslash in
    puts_(w, "\"\r\nX-Request-Id: ");
    puts_(w, header->request_id);
    put(w, "\r\n", 2);
}

size_t upstream_header_write(const struct upstream_header *header, char *out, size_t cap)
{
    struct writer w = {.at = out, .end = out + cap};
    bool named = false; // only then is the list of names looked through
    for (size_t i = 0; i < header->n_headers; i++) {
        const struct http_header *h = &header->headers[i];
        named = named || http_name_is(h->name, h->name_len, "connection");
    }
    put_request_line(&w, header);
    for (size_t i = 0; i < header->n_headers; i++) {
        const struct http_header *h = &header->headers[i];
        enum kind kind = kind_of(h);
        w.seen |= 1U << kind;
        if (passes(header, kind) &&
            !(named &&
              http_connection_names(header->headers, header->n_headers, h->name, h->name_len))) {
            put(&w, h->name, h->name_len);
            put(&w, ": ", 2);
            put(&w, h->value, h->value_len);
            put(&w, "\r\n", 2);
        }
    }
    put_forwarding(&w, header);
    if (header->chunked) {
        puts_(&w, "Transfer-Encoding: chunked\r\n");
    } else if (header->content_length != UINT64_MAX) {
        char line[48];
        int len =
            snprintf(line, sizeof(line), "Content-Length: %" PRIu64 "\r\n", header->content_length);
        put(&w, line, (size_t)len);
    }
    put(&w, "\r\n", 2);
    return (size_t)(w.at - out);
}
