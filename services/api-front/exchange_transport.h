// What an exchange asks of its way to the upstream, and what that tells it. There are two: our own
// connections for plain HTTP (exchange_plain.c), and libcurl for HTTPS and HTTP/2
// (exchange_curl.c), which costs more of the processor a request (docs/decisions). Thread: the
// loop's.
#ifndef VALVECHAIN_API_FRONT_EXCHANGE_TRANSPORT_H
#define VALVECHAIN_API_FRONT_EXCHANGE_TRANSPORT_H

#include "exchange.h"

struct exchange_transport {
    // Begins to reach x->endpoint, one of its addresses, and sets `phase` and `conn_was_kept`; what
    // follows comes by the functions below. 0 or -errno; then it is as before.
    int (*open)(struct exchange *x);
    // Gives the connection back; `keep`: it may carry another call. Nothing happens when there is
    // none.
    void (*close)(struct exchange *x, bool keep);
    // Sends what is pending. Only while the phase is OPEN and the request is wanted.
    void (*flush)(struct exchange *x);
    void (*pause)(struct exchange *x, bool paused); // reading; called on a change only
    bool frames_chunks; // x->out holds a body of unknown length in chunks, as on the wire
};
extern const struct exchange_transport exchange_plain, exchange_curl;
void exchange_plain_readable(struct exchange *x); // by upstream_conn.c

// What a transport tells. After each of these the call may be over (EXCHANGE_ENDED).
void exchange_on_connected(struct exchange *x, int error); // -errno: by this address it is not
// The connection broke: once more, or the end.
void exchange_lost(struct exchange *x);
void exchange_answer_begins(struct exchange *x);  // its first byte is here
void exchange_deliver(struct exchange *x);        // something of the answer is new
void exchange_expect_answer(struct exchange *x);  // the request is sent, or will be no further
void exchange_sent(struct exchange *x, bool all); // there is room in x->out
void exchange_stop_sending(struct exchange *x);
// Bytes of the answer do not fit its rules (see upstream_answer_feed).
void exchange_refuse_answer(struct exchange *x, int error);

#endif
