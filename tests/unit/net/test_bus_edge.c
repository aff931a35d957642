// The descriptor of a ZeroMQ socket is edge-triggered, and any call on the socket may take the
// edge: here a peer connects exactly while a receive looks for messages, so that this receive takes
// the news, and nothing announces it again.
#include "bus_world.h"

#include <dlfcn.h>
#include <poll.h>
#include <zmq.h>

static struct world world;
static void *context, *server; // the peer that comes late
static bool armed;

static void connect_now(void *socket)
{
    char path[BUS_PATH_MAX], address[BUS_PATH_MAX + 8];
    struct pollfd ready = {.events = POLLIN};
    size_t len = sizeof(ready.fd);

    world_path(&world, "limiter", true, path);
    snprintf(address, sizeof(address), "ipc://%s", path);
    cr_assert_eq(zmq_bind(server, address), 0);
    cr_assert_eq(zmq_getsockopt(socket, ZMQ_FD, &ready.fd, &len), 0);
    cr_assert_eq(poll(&ready, 1, WORLD_DEADLINE_MS), 1);
}

// In the place of libzmq's, for the bus that is linked into this program.
int zmq_msg_recv(zmq_msg_t *message, void *socket, int flags)
{
    static int (*libzmq)(zmq_msg_t *, void *, int);

    if (!libzmq)
        *(void **)&libzmq = dlsym(RTLD_NEXT, "zmq_msg_recv");
    if (armed) {
        armed = false;
        connect_now(socket);
    }
    return libzmq(message, socket, flags);
}

Test(bus_edge, a_peer_that_connects_during_a_receive_is_written_to,
     .timeout = 4 * WORLD_DEADLINE_MS / 1000)
{
    struct answer answer = {0};
    struct bus *bus;
    char bytes[256];
    int n = 0;
    uint64_t end_ns = clock_mono_ns() + WORLD_DEADLINE_MS * NS_PER_MS;

    world_init(&world);
    context = zmq_ctx_new();
    server = zmq_socket(context, ZMQ_ROUTER);
    bus = world_bus(&world, "valvectl", "1");
    cr_assert_eq(ask_ping(bus, "limiter", 2 * (uint64_t)WORLD_DEADLINE_MS, &answer), 0);
    armed = true;
    while (n <= 0 && clock_mono_ns() < end_ns) {
        uv_run(&world.loop, UV_RUN_ONCE);
        n = zmq_recv(server, bytes, sizeof(bytes), ZMQ_DONTWAIT);
    }
    cr_assert(!armed && n > 0, "the request did not leave");
    bus_close(&bus);
    zmq_setsockopt(server, ZMQ_LINGER, &(int){0}, sizeof(int));
    zmq_close(server);
    zmq_ctx_term(context);
    world_fini(&world);
}
