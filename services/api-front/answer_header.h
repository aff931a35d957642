// Which headers of an upstream's answer pass to the client, and how its body is framed.
// Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_ANSWER_HEADER_H
#define VALVECHAIN_API_FRONT_ANSWER_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http_syntax.h"

// Does header i pass? Hop-by-hop headers and those named in Connection do not; Content-Length and
// Transfer-Encoding are written anew; names that are no token and values with control characters
// would be read differently by different clients.
bool answer_header_passes(const struct http_header *headers, size_t n, size_t i);

enum answer_framing {
    ANSWER_NO_BODY,   // HEAD, 1xx, 204, 304: whatever the headers say
    ANSWER_BY_LENGTH, // exactly so many bytes
    ANSWER_OPEN,      // chunked or until the upstream closes
    ANSWER_BAD,       // two readings are possible
};
// RFC 9112 6.3. *ret_length: the stated length, UINT64_MAX when none is (also for ANSWER_NO_BODY,
// where it describes the body that a GET would have got).
enum answer_framing answer_header_framing(const struct http_header *headers, size_t n,
                                          unsigned status, bool head_request, uint64_t *ret_length);

#endif
