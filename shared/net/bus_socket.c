// One ZeroMQ socket in the libuv loop.
//
// zmq_getsockopt(3), ZMQ_FD: the descriptor becomes readable when *something* happened, once; only
// ZMQ_EVENTS tells what, and it has to be asked again after every send and receive. Therefore: when
// the descriptor is readable, everything is read until ZMQ_EVENTS says no more; after a send the
// events are looked at again in the next turn of the loop (the kick), not within the sender's call.
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "net/bus_internal.h"

#define TURN_NS          (2 * NS_PER_MS) // so that a flood does not starve the loop
#define TURN_LOOK_BYTES  8192            // the clock is looked at after so much work,
#define MESSAGE_BYTES    256             // of which each message is as much as these at least
#define BUS_HWM          10000
#define RECONNECT_MS     100
#define RECONNECT_MAX_MS 1000

static int socket_events(const struct bus_socket *socket)
{
    int events = 0;
    size_t len = sizeof(events);

    return zmq_getsockopt(socket->zmq, ZMQ_EVENTS, &events, &len) == 0 ? events : 0;
}

static void frames_close(struct bus_frames *frames)
{
    for (size_t i = 0; i < frames->n; i++)
        zmq_msg_close(&frames->frames[i]);
    frames->n = 0;
}

// All parts of one message. -EAGAIN: there is none.
static int frames_recv(void *zmq, struct bus_frames *ret_frames)
{
    bool more = true;

    ret_frames->n = ret_frames->bytes = 0;
    ret_frames->too_many = false;
    while (more) {
        zmq_msg_t beyond;
        bool is_beyond = ret_frames->n == BUS_FRAMES_MAX;
        zmq_msg_t *frame = is_beyond ? &beyond : &ret_frames->frames[ret_frames->n];
        int size;

        zmq_msg_init(frame);
        size = zmq_msg_recv(frame, zmq, ZMQ_DONTWAIT);
        if (size < 0) {
            int error = errno;

            zmq_msg_close(frame);
            frames_close(ret_frames);
            return -error;
        }
        more = zmq_msg_more(frame);
        ret_frames->bytes += (size_t)size;
        if (is_beyond) {
            ret_frames->too_many = true;
            zmq_msg_close(&beyond);
        } else {
            ret_frames->sizes[ret_frames->n++] = (size_t)size;
        }
    }
    return 0;
}

// What is there, but no longer than a turn: timers and other sockets come in between.
static void socket_drain(struct bus_socket *socket)
{
    struct bus_frames frames;
    uint64_t end_ns = clock_mono_ns() + TURN_NS;
    size_t bytes = 0;
    int events;

    while (frames_recv(socket->zmq, &frames) == 0) {
        bytes += frames.bytes + MESSAGE_BYTES;
        socket->on_message(socket, &frames);
        frames_close(&frames);
        if (bytes < TURN_LOOK_BYTES)
            continue;
        bytes = 0;
        if (clock_mono_ns() >= end_ns)
            break;
    }
    // The last receive that found nothing has also eaten the descriptor's edge, whatever it was
    // for: a message, or a peer that is connected now and may be written to.
    events = socket_events(socket);
    if (events & ZMQ_POLLIN)
        bus_socket_kick(socket);
    if (socket->on_writable && (events & ZMQ_POLLOUT))
        socket->on_writable(socket);
}

static void socket_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    socket_drain(poll->data);
}

void bus_socket_kick(struct bus_socket *socket)
{
    socket->kicked = true;
    uv_idle_start(&socket->bus->kick, bus_kicked);
}

void bus_kicked(uv_idle_t *idle)
{
    struct bus *bus = idle->data;

    uv_idle_stop(idle);
    // Handlers may open sockets (they come to the head of the list) but none closes one.
    for (struct bus_socket *socket = bus->sockets; socket; socket = socket->next) {
        if (!socket->kicked)
            continue;
        socket->kicked = false;
        socket_drain(socket);
    }
}

int bus_socket_option(struct bus_socket *socket, int option, int value)
{
    return zmq_setsockopt(socket->zmq, option, &value, sizeof(value)) == 0 ? 0 : -errno;
}

static int socket_configure(struct bus_socket *socket)
{
    const int64_t message_max = BUS_MESSAGE_MAX;

    if (bus_socket_option(socket, ZMQ_LINGER, 0) < 0 ||
        bus_socket_option(socket, ZMQ_SNDHWM, BUS_HWM) < 0 ||
        bus_socket_option(socket, ZMQ_RCVHWM, BUS_HWM) < 0 ||
        bus_socket_option(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS) < 0 ||
        bus_socket_option(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) < 0 ||
        zmq_setsockopt(socket->zmq, ZMQ_MAXMSGSIZE, &message_max, sizeof(message_max)) < 0)
        return -errno;
    return 0;
}

static int socket_watch(struct bus_socket *socket)
{
    struct bus *bus = socket->bus;
    int fd, error;
    size_t len = sizeof(fd);

    if (zmq_getsockopt(socket->zmq, ZMQ_FD, &fd, &len) < 0)
        return -errno;
    error = uv_poll_init(bus->loop, &socket->poll, fd);
    if (error < 0)
        return error;
    socket->poll.data = socket;
    bus->open_handles++;
    socket->next = bus->sockets;
    bus->sockets = socket;
    uv_poll_start(&socket->poll, UV_READABLE, socket_readable);
    bus_socket_kick(socket); // what happened before the watch began
    return 0;
}

int bus_socket_open(struct bus *bus, int type, size_t size,
                    void (*on_message)(struct bus_socket *, struct bus_frames *), void **ret_socket)
{
    struct bus_socket *socket;
    int error;

    ASSERT(size >= sizeof(*socket));
    socket = calloc(1, size);
    if (!socket)
        return -ENOMEM;
    socket->bus = bus;
    socket->on_message = on_message;
    socket->zmq = zmq_socket(bus->context, type);
    error = socket->zmq ? socket_configure(socket) : -errno;
    if (!error)
        error = socket_watch(socket);
    if (error) {
        if (socket->zmq)
            zmq_close(socket->zmq);
        free(socket);
        return error;
    }
    *ret_socket = socket;
    return 0;
}

static void socket_closed(uv_handle_t *poll)
{
    struct bus_socket *socket = poll->data;
    struct bus *bus = socket->bus;

    free(socket);
    if (--bus->open_handles == 0)
        free(bus);
}

void bus_socket_close(struct bus_socket *socket, int linger_ms)
{
    struct bus_socket **link = &socket->bus->sockets;

    while (*link != socket)
        link = &(*link)->next;
    *link = socket->next;
    bus_socket_option(socket, ZMQ_LINGER, linger_ms);
    uv_close((uv_handle_t *)&socket->poll, socket_closed); // leaves epoll now, before the fd goes
    zmq_close(socket->zmq);
    socket->zmq = NULL;
}

int bus_send_behind(struct bus_socket *socket, zmq_msg_t *frames, size_t n_moved,
                    const struct bus_part *parts, size_t n)
{
    int error = 0;

    for (size_t i = 0; i < n_moved && !error; i++) {
        int more = i + 1 < n_moved + n ? ZMQ_SNDMORE : 0;

        if (zmq_msg_send(&frames[i], socket->zmq, ZMQ_DONTWAIT | more) < 0)
            error = -errno;
    }
    for (size_t i = 0; i < n && !error; i++) {
        int more = i + 1 < n ? ZMQ_SNDMORE : 0;

        if (zmq_send(socket->zmq, parts[i].bytes, parts[i].len, ZMQ_DONTWAIT | more) < 0)
            error = -errno;
    }
    bus_socket_kick(socket);
    return error;
}

int bus_send(struct bus_socket *socket, const struct bus_part *parts, size_t n)
{
    return bus_send_behind(socket, NULL, 0, parts, n);
}
