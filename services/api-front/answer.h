// Answers, prepared here whoever decides on them, and given to libmicrohttpd by client.c when it
// can take them. What answer_text() and answer_problem() promise stands in request.h. Thread: the
// loop's.
#ifndef VALVECHAIN_API_FRONT_ANSWER_H
#define VALVECHAIN_API_FRONT_ANSWER_H

#include <microhttpd.h>

#include "request.h"

// Passes the upstream's answer on: in one piece when it is complete, else as it comes.
void answer_upstream(struct request *request);
// A complete answer whose body lies elsewhere and stays there as long as the request; its headers,
// Content-Type included, were added before. Of 304 it is the body that the client has.
enum step answer_in_place(struct request *request, unsigned status, const char *body, size_t len);
// Was a header of this name added to the answer, or will be?
bool answer_has_own_header(const struct request *request, const struct http_header *header);
// The prepared answer as libmicrohttpd wants it; NULL when there is no memory. `closing` adds
// Connection: close.
struct MHD_Response *answer_response(struct request *request, bool closing);
// The prepared answer as bytes for the wire, with Connection: close; for when libmicrohttpd cannot
// take it because the request's body is not over. Only for answers of ours and complete ones of the
// upstream. Length, 0 when it does not fit.
size_t answer_raw(struct request *request, char *out, size_t cap);

#endif
