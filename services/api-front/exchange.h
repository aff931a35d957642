// The call to the upstream: from a granted permit to the last byte of the answer. Streams both ways
// with bounded buffers; knows nothing of limits and breakers, and tells valve_leave() once how it
// ended. How bytes come and go is its transport's (exchange_transport.h).
//
//   connect (or a kept connection) -> send head and body -> head of the answer -> body -> end
//
// A kept connection that turns out to be closed is replaced once, when nothing of the answer came
// and the request may be repeated (RFC 9112 9.3.1): its method is idempotent and its body, if any,
// is still in the buffer. A connection that was never made is always replaced, by each address
// once, within the time of the call. Other attempts at other endpoints: exchange_retry.h. What this
// process lacks (descriptors, memory, free local ports) is no failure of the upstream:
// EXCHANGE_POOL_FULL. Memory: the request's. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_EXCHANGE_H
#define VALVECHAIN_API_FRONT_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "body.h"
#include "request.h"
#include "upstream_answer.h"
#include "upstream_pool.h"

struct exchange_transport;

enum exchange_phase { EXCHANGE_WAITING, EXCHANGE_CONNECTING, EXCHANGE_OPEN, EXCHANGE_ENDED };

struct exchange {
    struct request *request;
    struct front *front;
    struct upstream_pool *pool;
    struct upstream_endpoint *endpoint;
    uint32_t ticket; // of that endpoint's health
    const struct exchange_transport *transport;
    struct upstream_conn *conn;       // of the plain transport
    struct curl_exchange *curl;       // of the other
    struct exchange *next, *previous; // front->exchanges
    enum exchange_phase phase;

    char *head; // of the request
    size_t head_len, head_sent;
    struct body out;   // the request's body, framed as it is sent; ended when it is complete
    bool send_stopped; // no more is sent, what comes is dropped: the upstream has answered
    bool write_failed; // nothing can be written; the reading side will tell why
    bool end_pending;  // the last chunk finds no room yet
    bool sent_all;
    bool repeatable; // by its method
    bool conn_was_kept;
    bool retried;
    bool retry_judged; // whether this attempt is followed by another (exchange_retry.h)
    uint32_t attempts; // beyond the first
    uint64_t retry_at_ms;
    int connect_error;      // the worst for the upstream so far: see note_connect_error()
    uint64_t tried;         // endpoints, as bits
    size_t addresses_tried; // of the endpoint

    struct upstream_answer answer;
    bool answer_begun; // a byte of it, or of an interim one, is here
    struct body in;    // the answer's body, as the client gets it
    bool reading_paused;
    uint64_t held_since_ms; // a short answer waits a moment for its body; 0: not
    bool broken;            // the answer will not be completed

    // UINT64_MAX: none. The connect deadline is one address's, the call deadline that of all.
    uint64_t connect_deadline_ms, call_deadline_ms, first_byte_deadline_ms, total_deadline_ms;
    uint64_t connect_timeout_ms, call_timeout_ms, first_byte_timeout_ms, idle_timeout_ms;
    uint64_t progress_ms; // last byte either way
};

// The head of the request as it goes to its upstream, in the request's memory. -ENOMEM.
int exchange_build_head(struct request *request, char **ret_head, size_t *ret_len);
// After valve_enter: begins the call for the request's upstream. Whatever goes wrong, also at once,
// ends in valve_leave() and an answer.
void exchange_start(struct request *request);
// Bytes of the request's body as the client sent them (unframed); returns how many were taken.
// Without memory for them the call ends.
size_t exchange_send(struct exchange *exchange, const void *bytes, size_t len);
size_t exchange_room(const struct exchange *exchange); // bytes that exchange_send would take now
bool exchange_wants_body(const struct exchange *exchange); // false: the rest is to be dropped
void exchange_send_end(struct exchange *exchange);
// Writes what is pending; called when a turn's bytes are together.
void exchange_flush(struct exchange *exchange);
// The client is gone, or its request was refused half-way.
void exchange_cancel(struct exchange *exchange);
// Gives the client's side bytes of the answer: > 0; 0: none now; -ENODATA: all given; -ECONNRESET:
// the answer is broken.
ssize_t exchange_read(struct exchange *exchange, void *to, size_t cap);
void exchange_tick(struct exchange *exchange, uint64_t now_ms);

// Between exchange.c and exchange_stream.c.
void exchange_finish(struct exchange *exchange, enum exchange_result result);
void exchange_release_held(struct exchange *exchange);
void exchange_connect(struct exchange *exchange); // by the next address that may do
void exchange_on_body_piece(void *arg, const char *bytes, size_t len);

#endif
