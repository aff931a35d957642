// Requests: one DEALER to each process asked, many requests on their way at once, each with its
// deadline. A request leaves only when the peer is connected (ZMQ_IMMEDIATE), so that nothing old
// is carried out by a peer that comes up after the asker gave up.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/bus_internal.h"

struct ask {
    uv_timer_t deadline;
    struct bus_peer *peer;
    uint64_t id;
    char topic[BUS_TOPIC_MAX];
    void *bytes; // NULL once sent
    size_t len;
    bus_reply_fn *on_reply;
    void *arg;
    struct ask *next;
};
struct bus_peer {
    struct bus_socket socket;
    char process[BUS_PROCESS_MAX];
    uint64_t last_id;
    struct ask *asks; // oldest first
    struct bus_peer *next;
};

static void ask_closed(uv_handle_t *timer)
{
    struct ask *ask = timer->data;

    free(ask->bytes);
    free(ask);
}

// Takes the request from the list and calls back: exactly once for each.
static void ask_end(struct ask *ask, int error, const ProtobufCMessage *reply)
{
    struct ask **link = &ask->peer->asks;

    while (*link != ask)
        link = &(*link)->next;
    *link = ask->next;
    uv_close((uv_handle_t *)&ask->deadline, ask_closed);
    ask->on_reply(ask->arg, error, reply);
}

static void ask_expired(uv_timer_t *timer)
{
    ask_end(timer->data, -ETIMEDOUT, NULL);
}

static void peer_writable(struct bus_socket *socket)
{
    struct bus_peer *peer = (struct bus_peer *)socket;

    for (struct ask *ask = peer->asks; ask; ask = ask->next) {
        const struct bus_part parts[] = {{&ask->id, sizeof(ask->id)},
                                         {"", 0},
                                         {ask->topic, strlen(ask->topic)},
                                         {ask->bytes, ask->len}};

        if (!ask->bytes)
            continue;
        if (bus_send(socket, parts, sizeof(parts) / sizeof(parts[0])) < 0)
            return;
        free(ask->bytes);
        ask->bytes = NULL;
    }
}

static void ask_answer(struct ask *ask, const char *topic, const void *bytes, size_t len)
{
    struct bus_counters *counters = &ask->peer->socket.bus->counters;
    bool is_refusal = strcmp(topic, "refused") == 0;
    ProtobufCMessage *reply = NULL;
    int error = is_refusal ? -EOPNOTSUPP : 0;

    if ((!is_refusal && strcmp(topic, ask->topic) != 0) ||
        bus_type_decode(bus_topic_reply(topic), bytes, len, &reply) < 0) {
        counters->malformed++;
        error = -EPROTO;
    } else {
        counters->received++;
    }
    ask_end(ask, error, reply);
    if (reply)
        protobuf_c_message_free_unpacked(reply, NULL);
}

static void peer_message(struct bus_socket *socket, struct bus_frames *frames)
{
    struct bus_peer *peer = (struct bus_peer *)socket;
    zmq_msg_t *frame = frames->frames;
    char topic[BUS_TOPIC_MAX];
    struct ask *ask;
    uint64_t id;

    if (frames->n != 4 || frames->too_many || frames->sizes[0] != sizeof(id) ||
        frames->sizes[1] != 0 ||
        bus_topic_decode(zmq_msg_data(&frame[2]), frames->sizes[2], topic) < 0) {
        socket->bus->counters.malformed++;
        return;
    }
    memcpy(&id, zmq_msg_data(&frame[0]), sizeof(id));
    ask = peer->asks;
    while (ask && ask->id != id)
        ask = ask->next;
    if (ask) // else: later than its deadline
        ask_answer(ask, topic, zmq_msg_data(&frame[3]), frames->sizes[3]);
}

static int peer_open(struct bus *bus, const struct bus_endpoint *endpoint,
                     struct bus_peer **ret_peer)
{
    char path[BUS_PATH_MAX], address[BUS_PATH_MAX + 8];
    struct bus_peer *peer;
    void *socket;
    int error = bus_endpoint_path(endpoint, bus->socket_dir, NULL, path);

    if (error < 0)
        return error;
    error = bus_socket_open(bus, ZMQ_DEALER, sizeof(*peer), peer_message, &socket);
    if (error < 0)
        return error;
    peer = socket;
    peer->socket.on_writable = peer_writable;
    snprintf(peer->process, sizeof(peer->process), "%s", endpoint->process);
    snprintf(address, sizeof(address), "ipc://%s", path);
    error = bus_socket_option(&peer->socket, ZMQ_IMMEDIATE, 1);
    if (!error && zmq_connect(peer->socket.zmq, address) < 0)
        error = -errno;
    if (error < 0) {
        bus_socket_close(&peer->socket, 0);
        return error;
    }
    peer->next = bus->peers;
    bus->peers = peer;
    *ret_peer = peer;
    return 0;
}

static int peer_get(struct bus *bus, const char *process, struct bus_peer **ret_peer)
{
    const struct bus_endpoint *endpoint = bus_endpoint_cmd(process);

    if (!endpoint)
        return -EOPNOTSUPP;
    for (struct bus_peer *peer = bus->peers; peer; peer = peer->next) {
        if (strcmp(peer->process, process) == 0) {
            *ret_peer = peer;
            return 0;
        }
    }
    return peer_open(bus, endpoint, ret_peer);
}

int bus_request(struct bus *bus, const char *process, const char *topic,
                const ProtobufCMessage *message, uint64_t timeout_ms, bus_reply_fn *on_reply,
                void *arg)
{
    struct bus_peer *peer;
    struct ask *ask, **link;
    void *bytes;
    size_t len;
    int error = peer_get(bus, process, &peer);

    if (!error)
        error = bus_message_encode(topic, bus_topic_type(topic), message, &bytes, &len);
    if (error < 0)
        return error;
    ask = calloc(1, sizeof(*ask));
    if (!ask) {
        free(bytes);
        return -ENOMEM;
    }
    ask->peer = peer;
    ask->id = ++peer->last_id;
    ask->bytes = bytes;
    ask->len = len;
    ask->on_reply = on_reply;
    ask->arg = arg;
    memcpy(ask->topic, topic, strlen(topic) + 1);
    uv_update_time(bus->loop); // the loop's clock stands still while a handler works
    uv_timer_init(bus->loop, &ask->deadline);
    ask->deadline.data = ask;
    uv_timer_start(&ask->deadline, ask_expired, timeout_ms, 0);
    for (link = &peer->asks; *link; link = &(*link)->next)
        continue;
    *link = ask;
    bus_socket_kick(&peer->socket); // sends when the peer is connected
    return 0;
}

void bus_peers_close(struct bus *bus)
{
    while (bus->peers) {
        struct bus_peer *peer = bus->peers;

        while (peer->asks)
            ask_end(peer->asks, -ECANCELED, NULL);
        bus->peers = peer->next;
        bus_socket_close(&peer->socket, 0);
    }
}
