// What proto/endpoints.def says, as tables: topics with their types, sockets with their paths.
// Pure; thread: any.
#ifndef VALVECHAIN_NET_BUS_TOPICS_H
#define VALVECHAIN_NET_BUS_TOPICS_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#define BUS_TOPIC_MAX   128 // with its NUL
#define BUS_PATH_MAX    108 // of a Unix socket's address, with its NUL (unix(7))
#define BUS_PROCESS_MAX 24  // with its NUL
#define BUS_MESSAGE_MAX (1024 * 1024)

enum bus_kind { BUS_PUB, BUS_PUB_EACH, BUS_CMD };
struct bus_endpoint {
    const char *process; // "api-front"
    enum bus_kind kind;
    const char *suffix, *help;
};
struct bus_topic {
    const char *topic; // ends in a dot: a prefix
    const ProtobufCMessageDescriptor *type;
    const ProtobufCMessageDescriptor
        *reply;          // of a request; NULL: it is none, or answered by `type`
    const char *process; // who sends it, or who answers; "any"
    const char *help;
};
// The rows in the order of the file; NULL past the end.
const struct bus_endpoint *bus_endpoint_at(size_t index);
const struct bus_topic *bus_topic_at(size_t index);

// The process's publishing or commands endpoint; NULL when it has none.
const struct bus_endpoint *bus_endpoint_pub(const char *process);
const struct bus_endpoint *bus_endpoint_cmd(const char *process);
// DIR/process[@instance].ABI.suffix. -ENAMETOOLONG, -EINVAL (an instance with a slash, or empty).
int bus_endpoint_path(const struct bus_endpoint *endpoint, const char *dir, const char *instance,
                      char ret_path[BUS_PATH_MAX]);
// Is this file name (without folder) the socket of that endpoint, of whichever instance?
bool bus_endpoint_is_file(const struct bus_endpoint *endpoint, const char *file);

// Checks a topic frame: 1 to BUS_TOPIC_MAX - 1 printable ASCII bytes without blanks. -EPROTO.
int bus_topic_decode(const void *bytes, size_t len, char ret_topic[BUS_TOPIC_MAX]);
// The type of what a request of this topic is answered with; NULL when the topic is unknown.
const ProtobufCMessageDescriptor *bus_topic_reply(const char *topic);
// A topic and its bytes as a message. Unknown topic: 0 and NULL. Bytes that are no message of the
// topic's type: -EPROTO. Ownership: protobuf_c_message_free_unpacked().
int bus_message_decode(const char *topic, const void *bytes, size_t len,
                       ProtobufCMessage **ret_message);
// The same by type; NULL: as an unknown topic.
int bus_type_decode(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
                    ProtobufCMessage **ret_message);

#endif
