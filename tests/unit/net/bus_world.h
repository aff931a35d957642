// A socket folder and a loop for tests of the bus, and what runs the loop until something happened.
#ifndef VALVECHAIN_TESTS_BUS_WORLD_H
#define VALVECHAIN_TESTS_BUS_WORLD_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/bus.h"
#include "net/bus_topics.h"

#define WORLD_DEADLINE_MS 60000 // of an event: a ceiling for a busy machine, nobody waits it out

struct world {
    uv_loop_t loop;
    uv_timer_t tick; // so that the loop never sleeps past the deadline
    char dir[64];
};

static inline void world_ticked(uv_timer_t *timer)
{
    (void)timer;
}

static inline void world_init(struct world *world)
{
    strcpy(world->dir, "/tmp/vct-XXXXXX");
    cr_assert(mkdtemp(world->dir));
    cr_assert_eq(uv_loop_init(&world->loop), 0);
    uv_timer_init(&world->loop, &world->tick);
    uv_timer_start(&world->tick, world_ticked, 10, 10);
}

// Everything is closed, and the loop has nothing left: no handle leaks.
static inline void world_fini(struct world *world)
{
    DIR *dir;
    struct dirent *entry;

    uv_close((uv_handle_t *)&world->tick, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&world->loop), 0);
    dir = opendir(world->dir);
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(world->dir);
}

static inline struct bus *world_bus(struct world *world, const char *process, const char *instance)
{
    struct bus_options options = {world->dir, "test", process, instance};
    struct bus *bus = NULL;

    cr_assert_eq(bus_open(&world->loop, &options, &bus), 0);
    return bus;
}

// Turns the loop until `*value` reaches `wanted`. False: not within the deadline.
static inline bool world_until(struct world *world, const int *value, int wanted)
{
    uint64_t end_ns = clock_mono_ns() + WORLD_DEADLINE_MS * NS_PER_MS;

    while (*value < wanted && clock_mono_ns() < end_ns)
        uv_run(&world->loop, UV_RUN_ONCE);
    return *value >= wanted;
}

// Turns the loop for a time in which something must not happen.
static inline void world_for(struct world *world, uint64_t ms)
{
    uint64_t end_ns = clock_mono_ns() + ms * NS_PER_MS;

    while (clock_mono_ns() < end_ns)
        uv_run(&world->loop, UV_RUN_ONCE);
}

static inline void world_path(const struct world *world, const char *process, bool commands,
                              char ret_path[BUS_PATH_MAX])
{
    const struct bus_endpoint *endpoint =
        commands ? bus_endpoint_cmd(process) : bus_endpoint_pub(process);

    cr_assert_eq(bus_endpoint_path(endpoint, world->dir, "1", ret_path), 0);
}

static inline int publish_event(struct bus *bus, const char *topic, const char *detail)
{
    Valvechain__V1__ProcessEvent event = VALVECHAIN__V1__PROCESS_EVENT__INIT;
    Valvechain__V1__Origin origin;
    char text[64];

    snprintf(text, sizeof(text), "%s", detail);
    bus_origin(bus, &origin);
    event.origin = &origin;
    event.detail = text;
    return bus_publish(bus, topic, &event.base);
}

struct heard {
    int n;
    char topic[BUS_TOPIC_MAX], detail[64], process[BUS_PROCESS_MAX], instance[32];
};

static inline void hear_event(void *arg, const char *topic, const ProtobufCMessage *message)
{
    struct heard *heard = arg;
    const Valvechain__V1__ProcessEvent *event = (const void *)message;

    cr_assert_eq(message->descriptor, &valvechain__v1__process_event__descriptor);
    snprintf(heard->topic, sizeof(heard->topic), "%s", topic);
    snprintf(heard->detail, sizeof(heard->detail), "%s", event->detail);
    snprintf(heard->process, sizeof(heard->process), "%s", event->origin->process);
    snprintf(heard->instance, sizeof(heard->instance), "%s", event->origin->instance);
    heard->n++;
}

// Publishes until the subscriber has heard `wanted`: a subscription takes effect some time later.
static inline bool publish_until_heard(struct world *world, struct bus *bus, const char *detail,
                                       const struct heard *heard, int wanted)
{
    for (int i = 0; i < WORLD_DEADLINE_MS / 20 && heard->n < wanted; i++) {
        publish_event(bus, "process.started", detail);
        world_for(world, 20);
    }
    return heard->n >= wanted;
}

struct answer {
    int n, error;
    char version[32], process[BUS_PROCESS_MAX], reason[128];
};

static inline void take_answer(void *arg, int error, const ProtobufCMessage *reply)
{
    struct answer *answer = arg;

    answer->n++;
    answer->error = error;
    if (reply && reply->descriptor == &valvechain__v1__ping__descriptor) {
        const Valvechain__V1__Ping *ping = (const void *)reply;

        snprintf(answer->version, sizeof(answer->version), "%s", ping->version);
        snprintf(answer->process, sizeof(answer->process), "%s", ping->origin->process);
    }
    if (reply && reply->descriptor == &valvechain__v1__refusal__descriptor)
        snprintf(answer->reason, sizeof(answer->reason), "%s",
                 ((const Valvechain__V1__Refusal *)(const void *)reply)->reason);
}

static inline int ask_ping(struct bus *bus, const char *process, uint64_t timeout_ms,
                           struct answer *answer)
{
    Valvechain__V1__Ping ping = VALVECHAIN__V1__PING__INIT;

    return bus_request(bus, process, "ping", &ping.base, timeout_ms, take_answer, answer);
}

#endif
