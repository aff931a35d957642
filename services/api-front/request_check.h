// Is this a request that every server on the way would read alike? Everything that libmicrohttpd
// lets through and that two recipients could frame or route differently is refused here, before any
// decision and before a byte goes upstream (RFC 9112 sections 3, 5, 6 and 11.2).
// Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_REQUEST_CHECK_H
#define VALVECHAIN_API_FRONT_REQUEST_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http_syntax.h"

struct request_shape { // what an accepted request is
    bool http10;
    bool has_body, chunked;
    bool expects_continue;
    uint64_t content_length; // UINT64_MAX when not known
    const char *host;        // Host's value as sent, not NUL-terminated; len 0: none
    size_t host_len;
    unsigned method_bit; // http_method_bit
};

struct request_refusal {
    unsigned status;    // 400, 405, 417, 501; 0: accepted
    const char *code;   // stable word
    const char *title;  // of the problem body
    const char *detail; // what is wrong and what is allowed
};

// False with *ret_refusal filled when the request is refused. `version` as in the request line.
bool request_check(const char *method, const char *version, const struct http_header *headers,
                   size_t n_headers, struct request_shape *ret_shape,
                   struct request_refusal *ret_refusal);

#define REQUEST_METHOD_MAX 23

#endif
