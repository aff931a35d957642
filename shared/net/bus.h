// ZeroMQ in the libuv loop: publish, subscribe, serve and ask. Two frames a message: topic,
// protobuf. Nothing here waits: a peer that is gone or slow costs messages, never time.
// Addresses come from proto/endpoints.def; paths carry the segment's ABI number.
// Errors: -errno. Ownership: the bus owns its sockets; messages handed in stay the caller's.
// Thread: the loop's. No function here may close the bus from inside one of its callbacks.
#ifndef VALVECHAIN_NET_BUS_H
#define VALVECHAIN_NET_BUS_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "valvechain/v1/valvechain.pb-c.h"

#define BUS_REASON_MAX 200 // of a refusal
// What a process refuses a request with that has nobody to serve it.
#define BUS_NOT_SERVED "this process does not serve this topic"

struct bus;
struct bus_options {
    const char *socket_dir; // exists, ours
    const char *suite;      // VALVECHAIN_NAME
    const char *process;    // "limiter"
    const char *instance;
};
struct bus_counters {   // for the metrics of the process
    uint64_t published; // handed to ZeroMQ; a subscriber too slow loses its own copies unseen
    uint64_t dropped;   // could not be handed over (the socket is not bound, or full)
    uint64_t received;  // messages and replies that arrived whole
    uint64_t malformed; // messages that arrived and are none: wrong frames, topic or bytes
    uint64_t requests_served;
};

// Binds the process's PUB socket, if endpoints.def has one for it. A socket file that a dead
// process left is replaced; one that a live process holds is waited for (bus_taken_path).
// -ENAMETOOLONG: a path would not fit a Unix socket's address.
int bus_open(uv_loop_t *loop, const struct bus_options *options, struct bus **ret_bus);
// Gives what was just published BUS_LINGER_MS to leave. The loop must turn once more afterwards.
void bus_close(struct bus **bus);
const struct bus_counters *bus_counters(const struct bus *bus);
// The path that another live process of this name holds and this bus tries to take each second;
// NULL when everything is bound.
const char *bus_taken_path(const struct bus *bus);

// Fills suite, process, instance, host and time. Texts point into the bus.
void bus_origin(const struct bus *bus, Valvechain__V1__Origin *ret_origin);

// -EAGAIN when it was dropped here, -EOPNOTSUPP when this process has no PUB socket, -EINVAL when
// the message is not of the topic's type.
int bus_publish(struct bus *bus, const char *topic, const ProtobufCMessage *message);

// `message` is decoded by the topic's type and freed after the call; NULL type: not known.
typedef void bus_message_fn(void *arg, const char *topic, const ProtobufCMessage *message);
// Connects to a process's PUB socket (any start order; reconnects by itself). A process whose
// instances have sockets of their own (api-front): to all of them.
int bus_subscribe(struct bus *bus, const char *process, const char *topic_prefix,
                  bus_message_fn *on_message, void *arg);
// Every PUB socket in the socket folder, instances that come later included (looked for once a
// second).
int bus_subscribe_all(struct bus *bus, const char *topic_prefix, bus_message_fn *on_message,
                      void *arg);

// ---- between hosts: over TCP, with CURVE keys on both sides. Keys are Z85, 40 characters.
#define BUS_KEY_CHARS 41 // with its NUL

struct bus_keys {
    const char *secret; // our own
    const char *server; // listen: NULL; connect: the public key of those who publish
};
bool bus_key_is_valid(const char *text); // 40 characters of Z85
#define BUS_KEY_FORM                                                                               \
    .is_valid = bus_key_is_valid, .allowed = "a key of 40 characters (valvectl keys)"
// A new pair, by libzmq. -ENOTSUP: this libzmq has no CURVE.
int bus_key_pair(char ret_public[BUS_KEY_CHARS], char ret_secret[BUS_KEY_CHARS]);
// What the process publishes goes to this address too ("tcp://0.0.0.0:9465"; IPv6 in brackets), to
// who has one of the `n_clients` keys; others are refused and counted. Once per bus. -EADDRINUSE.
int bus_listen(struct bus *bus, const char *address, const struct bus_keys *keys,
               const char *const *clients, size_t n_clients);
uint64_t bus_refused_clients(const struct bus *bus);
// A subscription to any number of such addresses, none at first; lives as long as the bus. A peer
// that is gone is knocked at until it is disconnected; one that vanished without a word is noticed
// by missing heartbeats.
struct bus_subscription;
int bus_subscribe_remote(struct bus *bus, const struct bus_keys *keys, const char *topic_prefix,
                         bus_message_fn *on_message, void *arg,
                         struct bus_subscription **ret_subscription);
int bus_remote_connect(struct bus_subscription *subscription, const char *address);
void bus_remote_disconnect(struct bus_subscription *subscription, const char *address);

// Serves requests on this process's CMD socket; `ping` is answered by the bus itself.
// The handler returns a reply (freed by the bus with protobuf_c_message_free_unpacked; strings and
// submessages from malloc) or NULL: the asker gets a Refusal. `on_request` may be NULL.
typedef ProtobufCMessage *bus_serve_fn(void *arg, const char *topic,
                                       const ProtobufCMessage *message);
int bus_serve(struct bus *bus, bus_serve_fn *on_request, void *arg);
// For a handler that cannot answer yet: it keeps the call, returns NULL, and answers later (the
// message stays the caller's; NULL: the asker gets a Refusal). bus_call_answer frees the call;
// after bus_close it does nothing else. bus_call_keep outside of a handler, or without memory:
// NULL.
struct bus_call;
struct bus_call *bus_call_keep(struct bus *bus);
void bus_call_answer(struct bus_call **call, const ProtobufCMessage *reply);
void bus_call_refuse(struct bus_call **call, const char *reason); // the same with a Refusal
// Called by a handler (not of bytes): the message it was given is its own from here on, to be freed
// with protobuf_c_message_free_unpacked().
void bus_message_take(struct bus *bus);
// Serves one topic with a CALL row on the message's bytes, for what has to be fast: appends the
// reply's bytes to `reply`. Negative: refused, with the reason from bus_refuse. `topic` lives as
// long as the bus. -ENOSPC: too many of them.
struct strbuf;
typedef int bus_bytes_fn(void *arg, const void *bytes, size_t len, struct strbuf *reply);
int bus_serve_bytes(struct bus *bus, const char *topic, bus_bytes_fn *serve, void *arg);
void bus_serve_no_bytes(struct bus *bus); // takes all of them away
// To be called by a handler of either kind that refuses: what the asker is told.
void bus_refuse(struct bus *bus, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Asks; the callback comes once, from the loop: with NULL and -ETIMEDOUT after the deadline,
// -EOPNOTSUPP when the peer refused (the Refusal is in `reply`), -EPROTO when the reply does not
// decode, -ECANCELED when the bus closes first. A peer that is not there yet is waited for.
typedef void bus_reply_fn(void *arg, int error, const ProtobufCMessage *reply);
int bus_request(struct bus *bus, const char *process, const char *topic,
                const ProtobufCMessage *message, uint64_t timeout_ms, bus_reply_fn *on_reply,
                void *arg);

// The message type of a topic by endpoints.def; NULL when unknown.
const ProtobufCMessageDescriptor *bus_topic_type(const char *topic);
// The message as JSON text, any type, by its descriptor (for valvectl tap): names as in the .proto,
// 64-bit numbers as JSON numbers, NaN and infinities as null, absent messages left out.
void bus_message_json(const ProtobufCMessage *message, struct strbuf *out);
// And back. -EPROTO with what is wrong and what is allowed; -ENOMEM. Ownership:
// protobuf_c_message_free_unpacked().
int bus_message_from_json(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
                          char ret_reason[BUS_REASON_MAX], ProtobufCMessage **ret_message);

#endif
