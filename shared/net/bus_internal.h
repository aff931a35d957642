// What the files of the bus share: the bus itself and one ZeroMQ socket in the libuv loop.
// Only bus*.c include this.
#ifndef VALVECHAIN_NET_BUS_INTERNAL_H
#define VALVECHAIN_NET_BUS_INTERNAL_H

#include <stdbool.h>
#include <sys/stat.h>
#include <zmq.h>

#include "base/strbuf.h"
#include "net/bus.h"
#include "net/bus_topics.h"

#define BUS_FRAMES_MAX 8
#define BUS_LINGER_MS  100
#define BUS_TICK_MS    1000
#define BUS_ROWS_MAX   16 // topics served on their bytes

struct bus_frames {
    zmq_msg_t frames[BUS_FRAMES_MAX];
    size_t sizes[BUS_FRAMES_MAX];
    size_t n, bytes; // of all together
    bool too_many;   // the rest was read and dropped
};
struct bus_part { // of a message to send
    const void *bytes;
    size_t len;
};

// A ZeroMQ socket and the poll handle of its descriptor. First member of what it serves; the whole
// is freed when its poll handle has closed.
struct bus_socket {
    uv_poll_t poll;
    void *zmq;
    struct bus *bus;
    bool kicked; // its events have to be looked at again, see bus_socket_kick
    void (*on_message)(struct bus_socket *socket, struct bus_frames *frames);
    void (*on_writable)(struct bus_socket *socket); // may be NULL
    struct bus_socket *next;
};

struct bus_row { // bus_serve_bytes
    const char *topic;
    size_t topic_len;
    const ProtobufCMessageDescriptor *type, *reply;
    bus_bytes_fn *serve;
    void *arg;
};

struct bus_secure; // bus_secure.c: the PUB for other hosts and who may hear it
struct bus_bound;  // bus_bound.c: a PUB or ROUTER and its path
struct bus_subscription;
struct bus_serving; // bus_serve.c
struct bus_peer;    // bus_request.c: the DEALER to one process

struct bus {
    uv_loop_t *loop;
    void *context;
    char *socket_dir, *suite, *process, *instance;
    char host[65];
    uint64_t start_ns;
    struct bus_counters counters;
    uv_timer_t tick;
    uv_idle_t kick;
    unsigned open_handles; // the bus is freed with the last of them
    struct bus_socket *sockets;
    struct bus_bound *pub, *cmd;
    struct bus_secure *secure; // NULL: other hosts hear nothing
    bus_serve_fn *on_request;
    void *on_request_arg;
    struct bus_row rows[BUS_ROWS_MAX];
    size_t n_rows;
    char reason[BUS_REASON_MAX];        // of the request being refused, see bus_refuse
    struct strbuf request, reply, json; // of the request being served, reused
    const struct bus_serving *serving;  // the request whose handler runs
    bool call_kept;                     // by that handler
    bool message_taken;                 // by that handler
    struct bus_call *calls;             // kept, not answered yet
    struct bus_subscription *subscriptions;
    struct bus_peer *peers;
};

// ---- bus_socket.c
// Opens a socket of `size` bytes (which begins with a struct bus_socket, rest zeroed) and takes it
// into the loop. -errno.
int bus_socket_open(struct bus *bus, int type, size_t size,
                    void (*on_message)(struct bus_socket *, struct bus_frames *),
                    void **ret_socket);
// Closes the socket; its memory goes when the loop turns.
void bus_socket_close(struct bus_socket *socket, int linger_ms);
// To be called after every send: the descriptor is edge-triggered, so a send may have eaten the
// edge that announced a message.
void bus_socket_kick(struct bus_socket *socket);
int bus_socket_option(struct bus_socket *socket, int option, int value);
// Never waits: -EAGAIN. The first `n_moved` frames are sent as they are, and are empty then.
int bus_send_behind(struct bus_socket *socket, zmq_msg_t *frames, size_t n_moved,
                    const struct bus_part *parts, size_t n);
int bus_send(struct bus_socket *socket, const struct bus_part *parts, size_t n);
void bus_kicked(uv_idle_t *idle); // the callback of bus->kick

// ---- bus_bound.c
int bus_bound_open(struct bus *bus, int type, const struct bus_endpoint *endpoint,
                   void (*on_message)(struct bus_socket *, struct bus_frames *),
                   struct bus_bound **ret_bound);
void bus_bound_tick(struct bus_bound *bound);                 // NULL: nothing
void bus_bound_close(struct bus_bound *bound, int linger_ms); // removes the path
bool bus_bound_is_up(const struct bus_bound *bound);
const char *bus_bound_path(const struct bus_bound *bound);

// ---- bus_secure.c
// Makes a socket the client of servers with that key, before it connects. -errno.
int bus_secure_client(struct bus_socket *socket, const struct bus_keys *keys);
void bus_secure_publish(struct bus_secure *secure, const struct bus_part *parts, size_t n);
void bus_secure_close(struct bus_secure **secure);

// ---- bus_json_decode.c
// Appends the message that this JSON is, in protobuf's bytes. -EPROTO with the reason; -ENOMEM.
int bus_json_decode(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
                    struct strbuf *out, char reason[BUS_REASON_MAX]);

// ---- the others
void bus_subscriptions_tick(struct bus *bus);
void bus_subscriptions_close(struct bus *bus);
void bus_peers_close(struct bus *bus);
void bus_calls_forget(struct bus *bus);
// Encodes into malloc'd memory. -EINVAL when the message is not of the type or the topic too long.
int bus_message_encode(const char *topic, const ProtobufCMessageDescriptor *type,
                       const ProtobufCMessage *message, void **ret_bytes, size_t *ret_len);

#endif
