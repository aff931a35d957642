// A bounded copy of the upstream's answer as it passes to the client, for whoever must know all of
// it when it is over. It holds nothing up: what becomes too large, or has no room in the store's
// memory, is given up, and the answer goes on as without it. Made for requests that need one only.
// Memory: of the request; the copy is malloc's and counted by the store. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_ANSWER_TAP_H
#define VALVECHAIN_API_FRONT_ANSWER_TAP_H

#include "request.h"
#include "upstream_answer.h"

struct answer_tap {
    struct request *request;
    bool begun;    // the head has been looked at
    bool keeps;    // a last good answer is gathered
    bool given_up; // it will not be
    char *bytes;
    size_t len, cap; // cap bytes are reserved in the store
};

// The call begins: sets request->tap when its answer is to be looked at.
void answer_tap_open(struct request *request);
// A piece of the body is here; `answer` has its head.
void answer_tap_piece(struct answer_tap *tap, const struct upstream_answer *answer,
                      const char *bytes, size_t len);
// The call is over; `whole`: its answer was complete.
void answer_tap_end(struct answer_tap *tap, bool whole);
void answer_tap_close(struct answer_tap *tap); // the request goes; NULL allowed

#endif
