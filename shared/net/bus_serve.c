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

// A request as its reply needs it: where it came from, and its topic.
struct bus_serving {
    struct bus_socket *socket;
    struct bus_part envelope[BUS_FRAMES_MAX]; // up to and with the empty frame
    size_t n_envelope;
    const char *topic;
};
struct bus_call {
    struct bus *bus; // NULL: closed meanwhile
    struct bus_call *next;
    struct bus_serving serving; // its texts lie in `bytes`
    char topic[BUS_TOPIC_MAX];
    char bytes[];
};

static void reply_send(const struct bus_serving *serving, const char *topic,
                       const ProtobufCMessage *reply)
{
    struct bus_part parts[BUS_FRAMES_MAX + 2];
    struct bus_counters *counters = &serving->socket->bus->counters;
    size_t n = serving->n_envelope;
    void *bytes;
    size_t len;

    ASSERT(bus_topic_type(topic) == reply->descriptor);
    if (bus_message_encode(topic, reply, &bytes, &len) < 0) {
        counters->dropped++;
        return;
    }
    memcpy(parts, serving->envelope, n * sizeof(parts[0]));
    parts[n] = (struct bus_part){topic, strlen(topic)};
    parts[n + 1] = (struct bus_part){bytes, len};
    if (bus_send(serving->socket, parts, n + 2) < 0)
        counters->dropped++;
    else
        counters->requests_served++;
    free(bytes);
}

static void refuse(const struct bus_serving *serving, const char *reason)
{
    Valvechain__V1__Refusal refusal = VALVECHAIN__V1__REFUSAL__INIT;
    Valvechain__V1__Origin origin;

    bus_origin(serving->socket->bus, &origin);
    refusal.origin = &origin;
    refusal.topic = (char *)(uintptr_t)serving->topic; // read only
    refusal.reason = (char *)(uintptr_t)reason;
    reply_send(serving, "refused", &refusal.base);
}

static void answer_ping(const struct bus_serving *serving)
{
    const struct bus *bus = serving->socket->bus;
    Valvechain__V1__Ping ping = VALVECHAIN__V1__PING__INIT;
    Valvechain__V1__Origin origin;
    char version[] = VALVECHAIN_VERSION;

    bus_origin(bus, &origin);
    ping.origin = &origin;
    ping.version = version;
    ping.uptime_ms = (clock_mono_ns() - bus->start_ns) / NS_PER_MS;
    reply_send(serving, "ping", &ping.base);
}

static void serve_one(const struct bus_serving *serving, const ProtobufCMessage *message)
{
    struct bus *bus = serving->socket->bus;
    ProtobufCMessage *reply = NULL;

    if (strcmp(serving->topic, "ping") == 0) {
        answer_ping(serving);
        return;
    }
    bus->serving = serving;
    bus->call_kept = false;
    if (message && bus->on_request)
        reply = bus->on_request(bus->on_request_arg, serving->topic, message);
    bus->serving = NULL;
    if (reply) {
        reply_send(serving, serving->topic, reply);
        protobuf_c_message_free_unpacked(reply, NULL);
    } else if (!bus->call_kept) {
        refuse(serving, "this process does not serve this topic");
    }
}

// ---- answered later -------------------------------------------------------------------------

struct bus_call *bus_call_keep(struct bus *bus)
{
    const struct bus_serving *serving = bus->serving;
    struct bus_call *call;
    size_t len = 0;

    if (!serving)
        return NULL;
    for (size_t i = 0; i < serving->n_envelope; i++)
        len += serving->envelope[i].len;
    call = malloc(sizeof(*call) + len);
    if (!call)
        return NULL;
    call->bus = bus;
    call->serving = *serving;
    memcpy(call->topic, serving->topic, strlen(serving->topic) + 1);
    call->serving.topic = call->topic;
    for (size_t i = 0, at = 0; i < serving->n_envelope; i++) {
        struct bus_part *part = &call->serving.envelope[i];

        if (part->len > 0)
            memcpy(call->bytes + at, part->bytes, part->len);
        part->bytes = call->bytes + at;
        at += part->len;
    }
    call->next = bus->calls;
    bus->calls = call;
    bus->call_kept = true;
    return call;
}

void bus_call_answer(struct bus_call **call_pointer, const ProtobufCMessage *reply)
{
    struct bus_call *call = *call_pointer;

    *call_pointer = NULL;
    if (call->bus) {
        struct bus_call **link = &call->bus->calls;

        while (*link != call)
            link = &(*link)->next;
        *link = call->next;
        if (reply)
            reply_send(&call->serving, call->topic, reply);
        else
            refuse(&call->serving, "this process could not serve the request");
    }
    free(call);
}

void bus_calls_forget(struct bus *bus)
{
    for (struct bus_call *call = bus->calls; call; call = call->next)
        call->bus = NULL;
    bus->calls = NULL;
}

// ---- as they come ---------------------------------------------------------------------------

static void server_message(struct bus_socket *socket, const struct bus_frames *frames)
{
    struct bus_counters *counters = &socket->bus->counters;
    struct bus_serving serving = {.socket = socket, .topic = ""};
    char topic[BUS_TOPIC_MAX];
    ProtobufCMessage *message;
    size_t end;

    if (envelope_end(frames, &end) < 0) {
        counters->malformed++;
        return;
    }
    for (; serving.n_envelope <= end; serving.n_envelope++) {
        zmq_msg_t *frame = frame_at(frames, serving.n_envelope);

        serving.envelope[serving.n_envelope] =
            (struct bus_part){zmq_msg_data(frame), zmq_msg_size(frame)};
    }
    if (bus_topic_decode(zmq_msg_data(frame_at(frames, end + 1)),
                         zmq_msg_size(frame_at(frames, end + 1)), topic) < 0) {
        counters->malformed++;
        refuse(&serving, "the topic is not 1 to 127 bytes of printable ASCII");
        return;
    }
    serving.topic = topic;
    if (bus_message_decode(topic, zmq_msg_data(frame_at(frames, end + 2)),
                           zmq_msg_size(frame_at(frames, end + 2)), &message) < 0) {
        counters->malformed++;
        refuse(&serving, "the message is not of the topic's type");
        return;
    }
    counters->received++;
    serve_one(&serving, message);
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
