// The commands socket: requests come with their envelope, replies go back with it.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "net/bus_internal.h"

static zmq_msg_t *frame_at(const struct bus_frames *frames, size_t index)
{
    return (zmq_msg_t *)(uintptr_t)&frames->frames[index]; // zmq reads through non-const pointers
}

// The envelope ends with the first empty frame; behind it stand topic and message.
static int envelope_end(const struct bus_frames *frames, size_t *ret_index)
{
    if (frames->too_many)
        return -EPROTO;
    for (size_t i = 1; i < frames->n; i++) {
        if (zmq_msg_size(frame_at(frames, i)) != 0)
            continue;
        if (frames->n != i + 3)
            return -EPROTO;
        *ret_index = i;
        return 0;
    }
    return -EPROTO;
}

static void reply_send(struct bus_socket *socket, const struct bus_frames *frames, size_t end,
                       const char *topic, const ProtobufCMessage *reply)
{
    struct bus_part parts[BUS_FRAMES_MAX + 2];
    void *bytes;
    size_t len;

    ASSERT(bus_topic_type(topic) == reply->descriptor);
    if (bus_message_encode(topic, reply, &bytes, &len) < 0) {
        socket->bus->counters.dropped++;
        return;
    }
    for (size_t i = 0; i <= end; i++)
        parts[i] =
            (struct bus_part){zmq_msg_data(frame_at(frames, i)), zmq_msg_size(frame_at(frames, i))};
    parts[end + 1] = (struct bus_part){topic, strlen(topic)};
    parts[end + 2] = (struct bus_part){bytes, len};
    if (bus_send(socket, parts, end + 3) < 0)
        socket->bus->counters.dropped++;
    else
        socket->bus->counters.requests_served++;
    free(bytes);
}

static void refuse(struct bus_socket *socket, const struct bus_frames *frames, size_t end,
                   const char *topic, const char *reason)
{
    Valvechain__V1__Refusal refusal = VALVECHAIN__V1__REFUSAL__INIT;
    Valvechain__V1__Origin origin;

    bus_origin(socket->bus, &origin);
    refusal.origin = &origin;
    refusal.topic = (char *)(uintptr_t)topic; // read only
    refusal.reason = (char *)(uintptr_t)reason;
    reply_send(socket, frames, end, "refused", &refusal.base);
}

static void answer_ping(struct bus_socket *socket, const struct bus_frames *frames, size_t end)
{
    Valvechain__V1__Ping ping = VALVECHAIN__V1__PING__INIT;
    Valvechain__V1__Origin origin;
    char version[] = VALVECHAIN_VERSION;

    bus_origin(socket->bus, &origin);
    ping.origin = &origin;
    ping.version = version;
    ping.uptime_ms = (clock_mono_ns() - socket->bus->start_ns) / NS_PER_MS;
    reply_send(socket, frames, end, "ping", &ping.base);
}

static void serve_one(struct bus_socket *socket, const struct bus_frames *frames, size_t end,
                      const char *topic, const ProtobufCMessage *message)
{
    const struct bus *bus = socket->bus;
    ProtobufCMessage *reply = NULL;

    if (strcmp(topic, "ping") == 0) {
        answer_ping(socket, frames, end);
        return;
    }
    if (message && bus->on_request)
        reply = bus->on_request(bus->on_request_arg, topic, message);
    if (!reply) {
        refuse(socket, frames, end, topic, "this process does not serve this topic");
        return;
    }
    reply_send(socket, frames, end, topic, reply);
    protobuf_c_message_free_unpacked(reply, NULL);
}

static void server_message(struct bus_socket *socket, const struct bus_frames *frames)
{
    struct bus_counters *counters = &socket->bus->counters;
    char topic[BUS_TOPIC_MAX];
    ProtobufCMessage *message;
    size_t end;

    if (envelope_end(frames, &end) < 0) {
        counters->malformed++;
        return;
    }
    if (bus_topic_decode(zmq_msg_data(frame_at(frames, end + 1)),
                         zmq_msg_size(frame_at(frames, end + 1)), topic) < 0) {
        counters->malformed++;
        refuse(socket, frames, end, "", "the topic is not 1 to 127 bytes of printable ASCII");
        return;
    }
    if (bus_message_decode(topic, zmq_msg_data(frame_at(frames, end + 2)),
                           zmq_msg_size(frame_at(frames, end + 2)), &message) < 0) {
        counters->malformed++;
        refuse(socket, frames, end, topic, "the message is not of the topic's type");
        return;
    }
    counters->received++;
    serve_one(socket, frames, end, topic, message);
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
}

int bus_serve(struct bus *bus, bus_serve_fn *on_request, void *arg)
{
    const struct bus_endpoint *endpoint = bus_endpoint_cmd(bus->process);

    if (!endpoint)
        return -EOPNOTSUPP;
    if (bus->cmd)
        return -EALREADY;
    bus->on_request = on_request;
    bus->on_request_arg = arg;
    return bus_bound_open(bus, ZMQ_ROUTER, endpoint, server_message, &bus->cmd);
}
