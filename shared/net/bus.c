#include "net/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/bus_internal.h"

static void bus_ticked(uv_timer_t *timer)
{
    struct bus *bus = timer->data;

    bus_bound_tick(bus->pub);
    bus_bound_tick(bus->cmd);
    bus_subscriptions_tick(bus);
}

static void bus_free_texts(struct bus *bus)
{
    free(bus->socket_dir);
    free(bus->suite);
    free(bus->process);
    free(bus->instance);
    strbuf_fini(&bus->request);
    strbuf_fini(&bus->reply);
    strbuf_fini(&bus->json);
}

static struct bus *bus_create(uv_loop_t *loop, const struct bus_options *options)
{
    struct bus *bus = calloc(1, sizeof(*bus));

    if (!bus)
        return NULL;
    bus->loop = loop;
    bus->start_ns = clock_mono_ns();
    bus->socket_dir = strdup(options->socket_dir);
    bus->suite = strdup(options->suite);
    bus->process = strdup(options->process);
    bus->instance = strdup(options->instance);
    gethostname(bus->host, sizeof(bus->host) - 1);
    bus->context = zmq_ctx_new();
    if (bus->socket_dir && bus->suite && bus->process && bus->instance && bus->context)
        return bus;
    if (bus->context)
        zmq_ctx_term(bus->context);
    bus_free_texts(bus);
    free(bus);
    return NULL;
}

int bus_open(uv_loop_t *loop, const struct bus_options *options, struct bus **ret_bus)
{
    const struct bus_endpoint *pub = bus_endpoint_pub(options->process);
    struct bus *bus = bus_create(loop, options);
    int error;

    if (!bus)
        return -ENOMEM;
    uv_timer_init(loop, &bus->tick);
    uv_idle_init(loop, &bus->kick);
    bus->tick.data = bus->kick.data = bus;
    bus->open_handles = 2;
    uv_timer_start(&bus->tick, bus_ticked, BUS_TICK_MS, BUS_TICK_MS);
    if (pub) {
        error = bus_bound_open(bus, ZMQ_PUB, pub, NULL, &bus->pub);
        if (error < 0) {
            bus_close(&bus);
            return error;
        }
    }
    *ret_bus = bus;
    return 0;
}

static void bus_part_closed(uv_handle_t *handle)
{
    struct bus *bus = handle->data;

    if (--bus->open_handles == 0)
        free(bus);
}

void bus_close(struct bus **bus_pointer)
{
    struct bus *bus = *bus_pointer;

    if (!bus)
        return;
    *bus_pointer = NULL;
    bus_secure_close(&bus->secure);
    bus_peers_close(bus);
    bus_subscriptions_close(bus);
    bus_calls_forget(bus);
    if (bus->cmd)
        bus_bound_close(bus->cmd, 0);
    if (bus->pub)
        bus_bound_close(bus->pub, BUS_LINGER_MS);
    uv_close((uv_handle_t *)&bus->tick, bus_part_closed);
    uv_close((uv_handle_t *)&bus->kick, bus_part_closed);
    zmq_ctx_term(bus->context); // waits for the I/O thread, at most BUS_LINGER_MS
    bus_free_texts(bus);
}

const struct bus_counters *bus_counters(const struct bus *bus)
{
    return &bus->counters;
}

const char *bus_taken_path(const struct bus *bus)
{
    if (bus->pub && !bus_bound_is_up(bus->pub))
        return bus_bound_path(bus->pub);
    if (bus->cmd && !bus_bound_is_up(bus->cmd))
        return bus_bound_path(bus->cmd);
    return NULL;
}

void bus_origin(const struct bus *bus, Valvechain__V1__Origin *ret_origin)
{
    valvechain__v1__origin__init(ret_origin);
    ret_origin->suite = bus->suite;
    ret_origin->process = bus->process;
    ret_origin->instance = bus->instance;
    ret_origin->wall_ns = clock_wall_ns();
    // protobuf-c takes char * and does not write.
    ret_origin->host = (char *)(uintptr_t)bus->host;
}

int bus_message_encode(const char *topic, const ProtobufCMessageDescriptor *type,
                       const ProtobufCMessage *message, void **ret_bytes, size_t *ret_len)
{
    size_t len;
    void *bytes;

    if (strlen(topic) >= BUS_TOPIC_MAX || type != message->descriptor)
        return -EINVAL;
    len = protobuf_c_message_get_packed_size(message);
    if (len > BUS_MESSAGE_MAX)
        return -EMSGSIZE;
    bytes = malloc(len ? len : 1);
    if (!bytes)
        return -ENOMEM;
    *ret_len = protobuf_c_message_pack(message, bytes);
    *ret_bytes = bytes;
    return 0;
}

int bus_publish(struct bus *bus, const char *topic, const ProtobufCMessage *message)
{
    struct bus_part parts[2] = {{topic, strlen(topic)}};
    void *bytes;
    int error;

    if (!bus->pub)
        return -EOPNOTSUPP;
    if (!bus_bound_is_up(bus->pub) && !bus->secure) {
        bus->counters.dropped++;
        return -EAGAIN;
    }
    error = bus_message_encode(topic, bus_topic_type(topic), message, &bytes, &parts[1].len);
    if (error < 0)
        return error;
    parts[1].bytes = bytes;
    if (bus->secure)
        bus_secure_publish(bus->secure, parts, 2);
    error = bus_send((struct bus_socket *)bus->pub, parts, 2);
    free(bytes);
    if (error < 0)
        bus->counters.dropped++;
    else
        bus->counters.published++;
    return error;
}
