// The commands socket: requests come with their envelope, replies go back with it. A request in
// JSON is turned into protobuf's bytes before it is served, and its reply into JSON after.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "net/bus_internal.h"

// The envelope ends with the first empty frame; behind it stand topic and message.
static int envelope_end(const struct bus_frames *frames, size_t *ret_index)
{
    if (frames->too_many)
        return -EPROTO;
    for (size_t i = 1; i < frames->n; i++) {
        if (frames->sizes[i] != 0)
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
    zmq_msg_t *frames; // the envelope as it came, and the topic behind it; NULL: answered later
    const char *topic;
    bool is_json; // and so will its reply be
};
struct bus_call {
    struct bus *bus; // NULL: closed meanwhile
    struct bus_call *next;
    struct bus_serving serving; // its texts lie in `bytes`
    char topic[BUS_TOPIC_MAX];
    char bytes[];
};

static void bytes_send(const struct bus_serving *serving, const char *topic, const void *bytes,
                       size_t len)
{
    struct bus_part parts[BUS_FRAMES_MAX + 2];
    struct bus_counters *counters = &serving->socket->bus->counters;
    size_t n = 0, n_moved = 0;

    if (serving->frames) { // they go back as they are, and a topic that did not change with them
        n_moved = serving->n_envelope + (topic == serving->topic);
    } else {
        n = serving->n_envelope;
        memcpy(parts, serving->envelope, n * sizeof(parts[0]));
    }
    if (n_moved <= serving->n_envelope)
        parts[n++] = (struct bus_part){topic, strlen(topic)};
    parts[n++] = (struct bus_part){bytes, len};
    if (bus_send_behind(serving->socket, serving->frames, n_moved, parts, n) < 0)
        counters->dropped++;
    else
        counters->requests_served++;
}

static void json_send(const struct bus_serving *serving, const char *topic,
                      const ProtobufCMessage *reply)
{
    struct bus *bus = serving->socket->bus;

    strbuf_clear(&bus->json);
    bus_message_json(reply, &bus->json);
    if (strbuf_ok(&bus->json))
        bytes_send(serving, topic, strbuf_text(&bus->json), bus->json.len);
    else
        bus->counters.dropped++;
}

static void reply_send(const struct bus_serving *serving, const char *topic,
                       const ProtobufCMessage *reply)
{
    void *bytes;
    size_t len;

    ASSERT(bus_topic_reply(topic) == reply->descriptor);
    if (serving->is_json) {
        json_send(serving, topic, reply);
    } else if (bus_message_encode(topic, reply->descriptor, reply, &bytes, &len) < 0) {
        serving->socket->bus->counters.dropped++;
    } else {
        bytes_send(serving, topic, bytes, len);
        free(bytes);
    }
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

static const char *reason_of(const struct bus *bus)
{
    return bus->reason[0] ? bus->reason : BUS_NOT_SERVED;
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
        refuse(serving, reason_of(bus));
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
    call->serving.frames = NULL;
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

void bus_message_take(struct bus *bus)
{
    bus->message_taken = true;
}

static void call_end(struct bus_call **call_pointer, const ProtobufCMessage *reply,
                     const char *reason)
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
            refuse(&call->serving, reason);
    }
    free(call);
}

void bus_call_answer(struct bus_call **call, const ProtobufCMessage *reply)
{
    call_end(call, reply, "this process could not serve the request");
}

void bus_call_refuse(struct bus_call **call, const char *reason)
{
    call_end(call, NULL, reason);
}

void bus_calls_forget(struct bus *bus)
{
    for (struct bus_call *call = bus->calls; call; call = call->next)
        call->bus = NULL;
    bus->calls = NULL;
}

// ---- as they come ---------------------------------------------------------------------------

static const struct bus_row *row_find(const struct bus *bus, const void *topic, size_t len)
{
    for (size_t i = 0; i < bus->n_rows; i++)
        if (bus->rows[i].topic_len == len && memcmp(bus->rows[i].topic, topic, len) == 0)
            return &bus->rows[i];
    return NULL;
}

static void serve_row(const struct bus_serving *serving, const struct bus_row *row,
                      const struct bus_part *message)
{
    struct bus *bus = serving->socket->bus;
    ProtobufCMessage *reply = NULL;

    int error;

    bus->counters.received++;
    strbuf_clear(&bus->reply);
    bus->serving = serving;
    bus->call_kept = false;
    error = row->serve(row->arg, message->bytes, message->len, &bus->reply);
    bus->serving = NULL;
    if (bus->call_kept)
        return;
    if (error < 0)
        refuse(serving, reason_of(bus));
    else if (!strbuf_ok(&bus->reply) || bus->reply.len > BUS_MESSAGE_MAX)
        refuse(serving, "the reply would be too large");
    else if (!serving->is_json)
        bytes_send(serving, row->topic, strbuf_text(&bus->reply), bus->reply.len);
    else if (bus_type_decode(row->reply, strbuf_text(&bus->reply), bus->reply.len, &reply) == 0)
        json_send(serving, row->topic, reply);
    if (reply)
        protobuf_c_message_free_unpacked(reply, NULL);
}

static void serve_message(const struct bus_serving *serving, const struct bus_part *bytes)
{
    struct bus_counters *counters = &serving->socket->bus->counters;
    ProtobufCMessage *message;

    if (bus_message_decode(serving->topic, bytes->bytes, bytes->len, &message) < 0) {
        counters->malformed++;
        refuse(serving, "the message is not of the topic's type");
        return;
    }
    counters->received++;
    serving->socket->bus->message_taken = false;
    serve_one(serving, message);
    if (message && !serving->socket->bus->message_taken)
        protobuf_c_message_free_unpacked(message, NULL);
}

// JSON begins with '{', which no message of ours can: it would be the begin of a group of field 15.
static int take_json(struct bus_serving *serving, const ProtobufCMessageDescriptor *type,
                     struct bus_part *message)
{
    struct bus *bus = serving->socket->bus;
    int error;

    if (!type || message->len == 0 || *(const char *)message->bytes != '{')
        return 0;
    serving->is_json = true;
    strbuf_clear(&bus->request);
    error = bus_json_decode(type, message->bytes, message->len, &bus->request, bus->reason);
    if (error < 0) {
        bus->counters.malformed++;
        refuse(serving, bus->reason[0] ? bus->reason : "there is no memory");
        return error;
    }
    *message = (struct bus_part){strbuf_text(&bus->request), bus->request.len};
    return 0;
}

static void server_message(struct bus_socket *socket, struct bus_frames *frames)
{
    struct bus *bus = socket->bus;
    struct bus_serving serving = {.socket = socket, .topic = ""};
    struct bus_part parts[BUS_FRAMES_MAX], *topic_part, *message;
    const struct bus_row *row;
    char topic[BUS_TOPIC_MAX];
    size_t end;

    if (envelope_end(frames, &end) < 0) {
        bus->counters.malformed++;
        return;
    }
    for (size_t i = 0; i < frames->n; i++)
        parts[i] = (struct bus_part){zmq_msg_data(&frames->frames[i]), frames->sizes[i]};
    serving.frames = frames->frames;
    serving.n_envelope = end + 1;
    memcpy(serving.envelope, parts, serving.n_envelope * sizeof(parts[0]));
    topic_part = &parts[end + 1];
    message = &parts[end + 2];
    bus->reason[0] = '\0';
    row = row_find(bus, topic_part->bytes, topic_part->len);
    if (row) {
        serving.topic = row->topic;
        if (take_json(&serving, row->type, message) == 0)
            serve_row(&serving, row, message);
    } else if (bus_topic_decode(topic_part->bytes, topic_part->len, topic) < 0) {
        bus->counters.malformed++;
        refuse(&serving, "the topic is not 1 to 127 bytes of printable ASCII");
    } else {
        serving.topic = topic;
        if (take_json(&serving, bus_topic_type(topic), message) == 0)
            serve_message(&serving, message);
    }
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

int bus_serve_bytes(struct bus *bus, const char *topic, bus_bytes_fn *serve, void *arg)
{
    if (bus->n_rows == BUS_ROWS_MAX)
        return -ENOSPC;
    bus->rows[bus->n_rows++] = (struct bus_row){.topic = topic,
                                                .topic_len = strlen(topic),
                                                .type = bus_topic_type(topic),
                                                .reply = bus_topic_reply(topic),
                                                .serve = serve,
                                                .arg = arg};
    return 0;
}

void bus_serve_no_bytes(struct bus *bus)
{
    bus->n_rows = 0;
}

void bus_refuse(struct bus *bus, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(bus->reason, sizeof(bus->reason), format, arguments);
    va_end(arguments);
}
