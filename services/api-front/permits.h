// POST PERMITS_ENDPOINT/{breaker}/acquire and .../report: what applications ask of the breaker
// process over ZeroMQ (breaker.acquire, breaker.report: the same fields), over HTTP. Open to
// PERMITS_ALLOW, and to who shows a verified token with scope valvechain:permits or
// valvechain:admin. The request waits for its body, then for the breaker process's word, at most
// PERMITS_TIMEOUT. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_PERMITS_H
#define VALVECHAIN_API_FRONT_PERMITS_H

#include "request.h"

struct permits_ask; // a question under way

// STEP_NEXT: not this path. STEP_WAITS: for the body, request->permits_ask is set.
enum step permits_answer(struct request *request);
// The body of such a request is there, or as much as is ever kept of one.
void permits_body(struct request *request);
void permits_cancel(struct permits_ask *ask); // the request goes; what is still granted goes back

#endif
