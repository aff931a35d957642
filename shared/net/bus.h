// ZeroMQ in the libuv loop: publish, subscribe, serve and ask. Two frames a message: topic,
// protobuf. Nothing here waits: a peer that is gone or slow costs messages (counted), never time.
// Addresses come from proto/endpoints.def; paths carry the segment's ABI number.
// Errors: -errno. Ownership: the bus owns its sockets; messages handed in stay the caller's.
// Thread: the loop's.
#ifndef VALVECHAIN_NET_BUS_H
#define VALVECHAIN_NET_BUS_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>
#include <uv.h>

#include "valvechain/v1/valvechain.pb-c.h"

struct bus;
struct bus_options {
    const char *socket_dir; // exists, ours
    const char *suite;      // VALVECHAIN_NAME
    const char *process;    // "limiter"
    const char *instance;
};
struct bus_counters { // for the metrics of the process
    uint64_t published, dropped, received, malformed, requests_served;
};

int bus_open(uv_loop_t *loop, const struct bus_options *options, struct bus **ret_bus);
void bus_close(struct bus **bus);
const struct bus_counters *bus_counters(const struct bus *bus);

// Fills suite, process, instance, host and time. Texts point into the bus.
void bus_origin(const struct bus *bus, Valvechain__V1__Origin *ret_origin);

// Binds this process's PUB socket at first use. -EAGAIN when the high-water mark dropped it.
int bus_publish(struct bus *bus, const char *topic, const ProtobufCMessage *message);

// `message` is decoded by the topic's type and freed after the call; NULL type: not known.
typedef void bus_message_fn(void *arg, const char *topic, const ProtobufCMessage *message);
// Connects to a process's PUB socket (any start order; reconnects by itself).
int bus_subscribe(struct bus *bus, const char *process, const char *topic_prefix,
                  bus_message_fn *on_message, void *arg);
// Every PUB socket in the socket folder, instances that come later included (looked for once a
// second).
int bus_subscribe_all(struct bus *bus, const char *topic_prefix, bus_message_fn *on_message,
                      void *arg);

// Serves requests on this process's CMD socket; `ping` is answered by the bus itself.
// The handler returns a reply (freed by the bus with protobuf_c_message_free_unpacked) or NULL.
typedef ProtobufCMessage *bus_serve_fn(void *arg, const char *topic,
                                       const ProtobufCMessage *message);
int bus_serve(struct bus *bus, bus_serve_fn *on_request, void *arg);
// Asks; the callback comes once, with NULL and -ETIMEDOUT after the deadline.
typedef void bus_reply_fn(void *arg, int error, const ProtobufCMessage *reply);
int bus_request(struct bus *bus, const char *process, const char *topic,
                const ProtobufCMessage *message, uint64_t timeout_ms, bus_reply_fn *on_reply,
                void *arg);

// The message type of a topic by endpoints.def; NULL when unknown.
const ProtobufCMessageDescriptor *bus_topic_type(const char *topic);
// The message as JSON text, any type, by its descriptor (for valvectl tap).
struct strbuf;
void bus_message_json(const ProtobufCMessage *message, struct strbuf *out);

#endif
