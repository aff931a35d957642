// A bounded copy of the upstream's answer as it passes to the client, for what must know all of it:
// the fallback `cache`, and the breaker whose upstream tells failures by JSON-RPC errors. It holds
// nothing up: what becomes too large, or has no room in the store's memory, is given up, and the
// answer goes on as without it. Made for requests that need one only. Memory: of the request; the
// copy is malloc's. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_ANSWER_TAP_H
#define VALVECHAIN_API_FRONT_ANSWER_TAP_H

#include "request.h"
#include "upstream_answer.h"

struct answer_tap {
    struct request *request;
    bool begun;                   // the head has been looked at
    bool keeps;                   // it is gathered for the fallback `cache`, in the store's memory
    bool judges;                  // JSON-RPC error codes in it decide the outcome of the call
    enum breaker_outcome outcome; // once it has ended, by status when nothing said otherwise
    uint64_t seen;                // bytes of the body
    char *bytes;
    size_t len, cap, reserved;
};

// So much of a body is looked at for error codes; a longer one counts by its status.
#define ANSWER_TAP_JUDGED_MAX 65536

// The call begins: sets request->tap when its answer is to be looked at.
void answer_tap_open(struct request *request);
// A piece of the body is here; `answer` has its head.
void answer_tap_piece(struct answer_tap *tap, const struct upstream_answer *answer,
                      const char *bytes, size_t len);
// The head is here: will the outcome be known with the end of the body only?
bool answer_tap_decides(struct answer_tap *tap, const struct upstream_answer *answer);
// The call is over; `whole`: its answer was complete, and meant `outcome` by its status.
void answer_tap_end(struct answer_tap *tap, bool whole, enum breaker_outcome outcome);
void answer_tap_close(struct answer_tap *tap); // the request goes; NULL allowed

#endif
