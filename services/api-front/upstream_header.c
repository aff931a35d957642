#include "upstream_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

struct writer {
    char *at, *end;
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

enum kind { KIND_PASS, KIND_DROP, KIND_XFF, KIND_PROTO, KIND_HOST, KIND_FORWARDED };

static enum kind kind_of(const struct http_header *h)
{
    static const struct {
        const char *name;
        enum kind kind;
    } special[] = {
        {"host", KIND_DROP},
        {"content-length", KIND_DROP},
        {"expect", KIND_DROP},
        {"proxy", KIND_DROP},
        {"x-request-id", KIND_DROP},
        {"x-forwarded-for", KIND_XFF},
        {"x-forwarded-proto", KIND_PROTO},
        {"x-forwarded-host", KIND_HOST},
        {"forwarded", KIND_FORWARDED},
    };
    if (h->name_len == 0 || strchr("hcepxfHCEPXF", h->name[0]) == NULL) {
        return http_is_hop_by_hop(h->name, h->name_len) ? KIND_DROP : KIND_PASS;
    }
    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
        if (http_name_is(h->name, h->name_len, special[i].name)) {
            return special[i].kind;
        }
    }
    return http_is_hop_by_hop(h->name, h->name_len) ? KIND_DROP : KIND_PASS;
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
    for (size_t i = 0; header->peer_is_proxy && i < header->n_headers; i++) {
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
    for (size_t i = 0; header->peer_is_proxy && i < header->n_headers; i++) {
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
        if (kind_of(h) == KIND_PASS &&
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
