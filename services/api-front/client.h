// One accepted connection, and everything that passes between libmicrohttpd and a request.
//
// libmicrohttpd calls: request line (client_on_request_line), handler (client_on_access: header,
// body pieces, whole request), content reader (client_read_answer), end (client_on_completed).
// The rest of the gateway calls client_answer_ready() and client_wake() from anywhere; both only
// leave a mark, and listener.c acts on it once a turn of the loop. So nothing here ends a request
// under its caller's feet.
//
// Waiting: a connection that waits for its answer first stays in libmicrohttpd's list of ready ones
// and is asked again in each turn; only when it has waited WAIT_TURNS turns it is
// suspended. An answer that comes quickly so saves two epoll_ctl and one recv.
//
// Deadlines (one tick for all): header, keep-alive idle, body rate, answer not taken. A client that
// has gone while its request waits is noticed by a peek at its socket.
// Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_CLIENT_H
#define VALVECHAIN_API_FRONT_CLIENT_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/address.h"
#include "rate_window.h"
#include "request.h"

struct address_count; // address_count.h
struct listener;

struct client {
    struct listener *listener;
    struct client *next, *previous; // listener->clients
    struct MHD_Connection *connection;
    int fd;
    struct address peer;
    struct address_count *counted; // MAX_CONNECTIONS_PER_ADDRESS; NULL: not bound
    struct request *request;       // NULL between requests
    size_t n_requests;

    bool suspended; // libmicrohttpd does not look at it
    bool waiting;   // in its list of ready ones, with nothing to do
    unsigned wait_turns;
    bool cut;          // nothing more is read or answered
    bool read_shut;    // by us: what had arrived is answered, nothing new is read
    bool expiring;     // cut, and libmicrohttpd told to time it out
    bool looked_after; // since its last request, see tick_without_request()
    bool farewell;     // the last answer was written raw; the rest is read and dropped

    void *memory;            // client_memory.h; NULL: not known, or given back already
    uint64_t quiet_since_ms; // last request ended, or accepted
    uint64_t farewell_since_ms, heard_ms, farewell_bytes; // since then: dropped
    struct rate_window rate;                              // of the body
    bool rate_of_call;                                    // since the call began
    bool held; // by us: the exchange had no room for a piece
    uint64_t peeked_ms;
    uint64_t taken_ms;        // last time it took a piece of its answer
    uint64_t taking_since_ms; // its rate of taking is counted from here; 0: not yet
    int64_t taking_bytes;     // taken by then
};

// Callbacks of libmicrohttpd (`cls` is the listener).
void *client_on_request_line(void *cls, const char *uri, struct MHD_Connection *connection);
enum MHD_Result client_on_access(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload_data,
                                 size_t *upload_size, void **con_cls);
void client_on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode code);
void client_on_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code);
ssize_t client_read_answer(struct request *request, char *to, size_t cap);

// The answer is prepared: it goes out as soon as libmicrohttpd can take it.
void client_answer_ready(struct request *request);
// Something the client's side waits for may be there.
void client_wake(struct request *request);
// listener.c: hands over one answer that is ready.
void client_queue_answer(struct request *request);
void client_tick(struct client *client, uint64_t now_ms);
// A connection without a request is closed, unless one has just arrived: ask again until it is.
void client_close_when_idle(struct client *client);
void client_resume_for_stop(struct client *client);

bool client_is_tls(const struct client *client);
struct arena *client_arena(struct request *request);
// So much of an answer's header fits into the connection's memory next to the request's.
// A request that leaves less than CLIENT_ANSWER_HEAD_MIN is refused.
#define CLIENT_ANSWER_HEAD_MIN 8192
size_t client_answer_head_max(const struct request *request);

#endif
