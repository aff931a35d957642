// Builds the head of the request that goes upstream, anew from its parts: nothing of the client's
// framing survives, so what libmicrohttpd joined silently cannot appear there.
//
//   removed    hop-by-hop headers, those named in Connection, Expect (answered here), Host,
//              Content-Length and Transfer-Encoding (written anew), Proxy (httpoxy); from a peer
//              that is no trusted proxy other names for what a proxy knows (X-Real-IP and all of
//              X-Forwarded-*); from one that is not trusted for claims X-API-Tier and X-Region;
//              from everybody what a CGI backend would take for any of all these (X_Forwarded_For)
//   appended   X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded (RFC 7239). From a
//              peer that is no trusted proxy, what it sent of these is dropped first.
//   set        X-Request-Id
//   Host       as the client sent it; the endpoint's name when it sent none
// Everything else passes unchanged and in order, traceparent and tracestate with it.
// Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_UPSTREAM_HEADER_H
#define VALVECHAIN_API_FRONT_UPSTREAM_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http_syntax.h"

struct upstream_header {
    const char *method;
    const char *base_path; // of the upstream's URL, "" for none
    const char *path;      // normalized
    size_t path_len;
    size_t strip;        // length of the route's prefix to be replaced; 0: the path stays
    const char *rewrite; // what takes the prefix's place; NULL: nothing
    const char *query;   // NULL: no '?' at all
    const char *host;    // Host to send
    const char *peer;    // text of the peer's address
    bool peer_is_proxy;  // its forwarding headers are continued
    bool peer_may_claim; // its X-API-Tier and X-Region pass
    bool tls;            // the client came by TLS
    const char *request_id;
    const struct http_header *headers;
    size_t n_headers;
    bool has_body, chunked;
    uint64_t content_length; // when has_body and not chunked, or a stated length of 0
};

// Bytes that suffice for the head.
size_t upstream_header_bound(const struct upstream_header *header);
// Writes the head with its empty line and returns its length; `cap` is at least the bound.
size_t upstream_header_write(const struct upstream_header *header, char *out, size_t cap);

#endif
