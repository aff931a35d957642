// Subscriptions: one SUB socket each, connected to one path, or to all paths of the socket folder
// that are sockets of the wanted kind (looked for once a second).
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/bus_internal.h"

struct connection {
    char file[BUS_PATH_MAX];
    bool seen; // in the last scan
    struct connection *next;
};
struct bus_subscription {
    struct bus_socket socket;
    char process[BUS_PROCESS_MAX]; // "" for any
    bool scans;                    // connections follow the folder; else one fixed path
    struct connection *connections;
    bus_message_fn *on_message;
    void *arg;
    struct bus_subscription *next;
};

static void subscription_message(struct bus_socket *socket, struct bus_frames *frames)
{
    struct bus_subscription *subscription = (struct bus_subscription *)socket;
    struct bus_counters *counters = &socket->bus->counters;
    zmq_msg_t *frame = frames->frames;
    char topic[BUS_TOPIC_MAX];
    ProtobufCMessage *message;

    if (frames->n != 2 || frames->too_many ||
        bus_topic_decode(zmq_msg_data(&frame[0]), frames->sizes[0], topic) < 0 ||
        bus_message_decode(topic, zmq_msg_data(&frame[1]), frames->sizes[1], &message) < 0) {
        counters->malformed++;
        return;
    }
    counters->received++;
    subscription->on_message(subscription->arg, topic, message);
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
}

static bool is_wanted(const struct bus_subscription *subscription, const char *file)
{
    const struct bus_endpoint *endpoint;

    for (size_t i = 0; (endpoint = bus_endpoint_at(i)); i++) {
        if (endpoint->kind == BUS_CMD || !bus_endpoint_is_file(endpoint, file))
            continue;
        if (!*subscription->process || strcmp(subscription->process, endpoint->process) == 0)
            return true;
    }
    return false;
}

static int address_of(const struct bus *bus, const char *file, char ret_address[BUS_PATH_MAX + 8])
{
    int len = snprintf(ret_address, BUS_PATH_MAX + 8, "ipc://%s/%s", bus->socket_dir, file);

    return len > 0 && (size_t)len < BUS_PATH_MAX + 6 ? 0 : -ENAMETOOLONG;
}

static void connection_add(struct bus_subscription *subscription, const char *file)
{
    char address[BUS_PATH_MAX + 8];
    struct connection *connection;

    if (strlen(file) >= sizeof(connection->file) ||
        address_of(subscription->socket.bus, file, address) < 0)
        return;
    connection = calloc(1, sizeof(*connection));
    if (!connection)
        return; // the next scan tries again
    if (zmq_connect(subscription->socket.zmq, address) < 0) {
        free(connection);
        return;
    }
    memcpy(connection->file, file, strlen(file) + 1);
    connection->seen = true;
    connection->next = subscription->connections;
    subscription->connections = connection;
    bus_socket_kick(&subscription->socket);
}

// Disconnects what is no longer there: ZeroMQ would knock at it for ever.
static void connections_prune(struct bus_subscription *subscription)
{
    struct connection **link = &subscription->connections;

    while (*link) {
        struct connection *connection = *link;
        char address[BUS_PATH_MAX + 8];

        if (connection->seen) {
            link = &connection->next;
            continue;
        }
        if (address_of(subscription->socket.bus, connection->file, address) == 0)
            zmq_disconnect(subscription->socket.zmq, address);
        *link = connection->next;
        free(connection);
    }
    bus_socket_kick(&subscription->socket);
}

static void subscription_scan(struct bus_subscription *subscription)
{
    DIR *dir = opendir(subscription->socket.bus->socket_dir);
    struct dirent *entry;
    struct connection *connection;

    if (!dir)
        return;
    for (connection = subscription->connections; connection; connection = connection->next)
        connection->seen = false;
    while ((entry = readdir(dir))) {
        if (!is_wanted(subscription, entry->d_name))
            continue;
        connection = subscription->connections;
        while (connection && strcmp(connection->file, entry->d_name) != 0)
            connection = connection->next;
        if (connection)
            connection->seen = true;
        else
            connection_add(subscription, entry->d_name);
    }
    closedir(dir);
    connections_prune(subscription);
}

void bus_subscriptions_tick(struct bus *bus)
{
    for (struct bus_subscription *s = bus->subscriptions; s; s = s->next)
        if (s->scans)
            subscription_scan(s);
}

static void subscription_close(struct bus_subscription *subscription)
{
    while (subscription->connections) {
        struct connection *connection = subscription->connections;

        subscription->connections = connection->next;
        free(connection);
    }
    bus_socket_close(&subscription->socket, 0);
}

void bus_subscriptions_close(struct bus *bus)
{
    while (bus->subscriptions) {
        struct bus_subscription *subscription = bus->subscriptions;

        bus->subscriptions = subscription->next;
        subscription_close(subscription);
    }
}

// Connects to the one path of a process that has one.
static int connect_fixed(struct bus_subscription *subscription, const struct bus_endpoint *endpoint)
{
    char path[BUS_PATH_MAX], address[BUS_PATH_MAX + 8];
    int error = bus_endpoint_path(endpoint, subscription->socket.bus->socket_dir, NULL, path);

    if (error < 0)
        return error;
    snprintf(address, sizeof(address), "ipc://%s", path);
    return zmq_connect(subscription->socket.zmq, address) == 0 ? 0 : -errno;
}

static int subscription_open(struct bus *bus, const char *topic_prefix, bus_message_fn *on_message,
                             void *arg, struct bus_subscription **ret_subscription)
{
    struct bus_subscription *subscription;
    void *socket;
    int error = bus_socket_open(bus, ZMQ_SUB, sizeof(*subscription), subscription_message, &socket);

    if (error < 0)
        return error;
    subscription = socket;
    subscription->on_message = on_message;
    subscription->arg = arg;
    if (zmq_setsockopt(subscription->socket.zmq, ZMQ_SUBSCRIBE, topic_prefix,
                       strlen(topic_prefix)) < 0) {
        error = -errno;
        subscription_close(subscription);
        return error;
    }
    *ret_subscription = subscription;
    return 0;
}

static void subscription_keep(struct bus *bus, struct bus_subscription *subscription)
{
    subscription->next = bus->subscriptions;
    bus->subscriptions = subscription;
}

static int subscribe(struct bus *bus, const struct bus_endpoint *endpoint, const char *topic_prefix,
                     bus_message_fn *on_message, void *arg)
{
    struct bus_subscription *subscription = NULL;
    int error = subscription_open(bus, topic_prefix, on_message, arg, &subscription);

    if (!subscription)
        return error;
    subscription->scans = !endpoint || endpoint->kind == BUS_PUB_EACH;
    if (endpoint)
        snprintf(subscription->process, sizeof(subscription->process), "%s", endpoint->process);
    if (!subscription->scans)
        error = connect_fixed(subscription, endpoint);
    if (error < 0) {
        subscription_close(subscription);
        return error;
    }
    if (subscription->scans)
        subscription_scan(subscription);
    subscription_keep(bus, subscription);
    return 0;
}

int bus_subscribe_remote(struct bus *bus, const struct bus_keys *keys, const char *topic_prefix,
                         bus_message_fn *on_message, void *arg,
                         struct bus_subscription **ret_subscription)
{
    struct bus_subscription *subscription;
    int error = subscription_open(bus, topic_prefix, on_message, arg, &subscription);

    if (error < 0)
        return error;
    error = bus_secure_client(&subscription->socket, keys);
    if (error < 0) {
        subscription_close(subscription);
        return error;
    }
    subscription_keep(bus, subscription);
    *ret_subscription = subscription;
    return 0;
}

int bus_remote_connect(struct bus_subscription *subscription, const char *address)
{
    int error = zmq_connect(subscription->socket.zmq, address) == 0 ? 0 : -errno;

    bus_socket_kick(&subscription->socket);
    return error;
}

void bus_remote_disconnect(struct bus_subscription *subscription, const char *address)
{
    zmq_disconnect(subscription->socket.zmq, address);
    bus_socket_kick(&subscription->socket);
}

int bus_subscribe(struct bus *bus, const char *process, const char *topic_prefix,
                  bus_message_fn *on_message, void *arg)
{
    const struct bus_endpoint *endpoint = bus_endpoint_pub(process);

    if (!endpoint)
        return -EOPNOTSUPP;
    return subscribe(bus, endpoint, topic_prefix, on_message, arg);
}

int bus_subscribe_all(struct bus *bus, const char *topic_prefix, bus_message_fn *on_message,
                      void *arg)
{
    return subscribe(bus, NULL, topic_prefix, on_message, arg);
}
