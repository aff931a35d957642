// The bus between hosts: a PUB socket over TCP with CURVE (ZMTP 3.1, RFC 26), and the answers to
// libzmq's questions who may connect (ZAP, RFC 27): those whose key is in the list, nobody else.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/bus_internal.h"

#define ZAP_ADDRESS   "inproc://zeromq.zap.01"
#define ZAP_FRAMES    7 // version, request, domain, address, identity, mechanism, key
#define KEY_BYTES     32
#define HEARTBEAT_MS  2000
#define HEARTBEAT_TTL 6000
#define CLIENTS_MAX   64

struct bus_secure { // of the PUB
    struct bus_socket socket;
    struct bus_socket *zap;
    size_t n_clients;
    uint8_t clients[CLIENTS_MAX][KEY_BYTES];
    uint64_t refused;
};
struct zap {
    struct bus_socket socket;
    struct bus_secure *secure;
};

bool bus_key_is_valid(const char *text)
{
    uint8_t key[KEY_BYTES];
    return strlen(text) == BUS_KEY_CHARS - 1 && zmq_z85_decode(key, text) != NULL;
}

int bus_key_pair(char ret_public[BUS_KEY_CHARS], char ret_secret[BUS_KEY_CHARS])
{
    return zmq_curve_keypair(ret_public, ret_secret) == 0 ? 0 : -errno;
}

static int set_key(struct bus_socket *socket, int option, const char *key)
{
    // With its NUL: the text form.
    return zmq_setsockopt(socket->zmq, option, key, BUS_KEY_CHARS) == 0 ? 0 : -errno;
}

// What both ends have: keep-alives of ZeroMQ's own, and IPv6 beside IPv4.
static int configure(struct bus_socket *socket)
{
    int error = bus_socket_option(socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
    if (error == 0)
        error = bus_socket_option(socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TTL);
    return error < 0 ? error : bus_socket_option(socket, ZMQ_IPV6, 1);
}

int bus_secure_client(struct bus_socket *socket, const struct bus_keys *keys)
{
    char public[BUS_KEY_CHARS];
    if (!bus_key_is_valid(keys->secret) || !bus_key_is_valid(keys->server))
        return -EINVAL;
    int error = zmq_curve_public(public, keys->secret) == 0 ? configure(socket) : -errno;
    if (error == 0)
        error = set_key(socket, ZMQ_CURVE_SERVERKEY, keys->server);
    if (error == 0)
        error = set_key(socket, ZMQ_CURVE_PUBLICKEY, public);
    return error < 0 ? error : set_key(socket, ZMQ_CURVE_SECRETKEY, keys->secret);
}

static bool is_client(const struct bus_secure *secure, struct bus_frames *frames)
{
    if (frames->n != ZAP_FRAMES || frames->too_many || frames->sizes[5] != 5 ||
        memcmp(zmq_msg_data(&frames->frames[5]), "CURVE", 5) != 0 || frames->sizes[6] != KEY_BYTES)
        return false;
    for (size_t i = 0; i < secure->n_clients; i++)
        if (memcmp(secure->clients[i], zmq_msg_data(&frames->frames[6]), KEY_BYTES) == 0)
            return true;
    return false;
}

static void zap_message(struct bus_socket *socket, struct bus_frames *frames)
{
    struct bus_secure *secure = ((struct zap *)socket)->secure;
    bool ok = is_client(secure, frames);
    if (frames->n < 2) // libzmq asks by the RFC; a REP that is not answered is stuck
        return;
    const struct bus_part reply[] = {
        {zmq_msg_data(&frames->frames[0]), frames->sizes[0]},
        {zmq_msg_data(&frames->frames[1]), frames->sizes[1]},
        {ok ? "200" : "400", 3},
        {ok ? "OK" : "No access", ok ? 2 : 9},
        {"", 0},
        {"", 0},
    };
    secure->refused += !ok;
    bus_send(socket, reply, sizeof(reply) / sizeof(reply[0]));
}

static int open_zap(struct bus *bus, struct bus_secure *secure)
{
    void *socket;
    int error = bus_socket_open(bus, ZMQ_REP, sizeof(struct zap), zap_message, &socket);
    if (error < 0)
        return error;
    struct zap *zap = socket;
    zap->secure = secure;
    secure->zap = &zap->socket;
    return zmq_bind(zap->socket.zmq, ZAP_ADDRESS) == 0 ? 0 : -errno;
}

static int bind_server(struct bus_secure *secure, const char *address, const char *secret)
{
    int error = configure(&secure->socket);
    if (error == 0)
        error = bus_socket_option(&secure->socket, ZMQ_CURVE_SERVER, 1);
    if (error == 0)
        error = set_key(&secure->socket, ZMQ_CURVE_SECRETKEY, secret);
    if (error == 0)
        error =
            zmq_setsockopt(secure->socket.zmq, ZMQ_ZAP_DOMAIN, "valvechain", 10) == 0 ? 0 : -errno;
    if (error == 0)
        error = zmq_bind(secure->socket.zmq, address) == 0 ? 0 : -errno;
    return error;
}

int bus_listen(struct bus *bus, const char *address, const struct bus_keys *keys,
               const char *const *clients, size_t n_clients)
{
    void *socket;
    if (bus->secure != NULL || n_clients > CLIENTS_MAX || !bus_key_is_valid(keys->secret))
        return -EINVAL;
    for (size_t i = 0; i < n_clients; i++)
        if (!bus_key_is_valid(clients[i]))
            return -EINVAL;
    int error = bus_socket_open(bus, ZMQ_PUB, sizeof(struct bus_secure), NULL, &socket);
    if (error < 0)
        return error;
    struct bus_secure *secure = socket;
    for (size_t i = 0; i < n_clients; i++)
        zmq_z85_decode(secure->clients[secure->n_clients++], clients[i]);
    error = open_zap(bus, secure);
    if (error == 0)
        error = bind_server(secure, address, keys->secret);
    if (error < 0)
        bus_secure_close(&secure);
    bus->secure = secure;
    return error;
}

uint64_t bus_refused_clients(const struct bus *bus)
{
    return bus->secure != NULL ? bus->secure->refused : 0;
}

// A drop is the subscriber's own: ZeroMQ's PUB never waits.
void bus_secure_publish(struct bus_secure *secure, const struct bus_part *parts, size_t n)
{
    bus_send(&secure->socket, parts, n);
}

void bus_secure_close(struct bus_secure **secure_p)
{
    struct bus_secure *secure = *secure_p;
    *secure_p = NULL;
    if (secure == NULL)
        return;
    if (secure->zap != NULL)
        bus_socket_close(secure->zap, 0);
    bus_socket_close(&secure->socket, BUS_LINGER_MS);
}
