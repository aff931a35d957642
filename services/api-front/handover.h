// The fallback `queue`: a request goes to the breaker process, which keeps it and delivers it
// later. The client hears 202 only after that process has committed it.
//
// A body that was read ahead goes with the operation in one message; a longer one goes before it,
// piece by piece, as the client sends it. Any waiting has a deadline (OUTBOX_TIMEOUT).
// Memory: the hand-over outlives its request until the last reply. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_HANDOVER_H
#define VALVECHAIN_API_FRONT_HANDOVER_H

#include "request.h"

struct handover;

// STEP_NEXT: the fallback does not fit this request. STEP_ANSWERED: it will be answered, or is.
enum step handover_start(struct request *request, const struct config_fallback *fallback);
// A write, and other operations of its lane wait in the outbox: it must not go past them.
bool handover_must_queue(struct request *request);

size_t handover_send(struct handover *handover, const void *bytes, size_t len);
bool handover_wants_body(const struct handover *handover);
void handover_end_body(struct handover *handover);
void handover_cancel(struct handover *handover); // the request goes

#define CALLER_HASH_BYTES 16
// Who asks, as far as an operation is his: subject, API key or Authorization field. 0: nobody
// known.
size_t handover_caller(const struct request *request, unsigned char ret_hash[CALLER_HASH_BYTES]);

#endif
