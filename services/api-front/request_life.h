// The life of a request, as client.c drives it: created with its first line, begun with its
// complete header, walked through the steps of request.h, ended with the last byte of its answer.
// Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_REQUEST_LIFE_H
#define VALVECHAIN_API_FRONT_REQUEST_LIFE_H

#include "request.h"

// NULL when there is no memory. `uri` is the raw target.
struct request *request_create(struct client *client, const char *uri);
// The header is complete: checks it and, when a body follows, walks the steps. False: refused in a
// way that leaves unclear where the next request begins; an answer is prepared.
bool request_begin(struct request *request, const char *url, const char *method,
                   const char *version);
// What a step waited for is there (STEP_WAITS): the walk goes on.
void request_go_on(struct request *request);
// A piece of the body; returns how much was taken (less than `len`: there is no room now).
size_t request_body(struct request *request, const void *bytes, size_t len);
// What still comes of the body is dropped: it is answered and no call takes the rest. An answer
// that the upstream has begun does not mean that: it may be made of the body as it comes.
bool request_drops_body(const struct request *request);
// All of the request is here: walks the steps, unless a body did that already.
void request_complete(struct request *request);
// Moves on what waited for room in the exchange.
void request_pump(struct request *request);
// Refuses a request whose body is coming; ends its call to the upstream.
void request_refuse_body(struct request *request, unsigned status, const char *code,
                         const char *title, const char *detail);
// Counts and logs it, and frees it. `clean`: the answer went out whole.
void request_end(struct request *request, bool clean);

#endif
