// The bus between peers of one loop: any start order, requests, deadlines, paths.
#include "bus_world.h"

#include <errno.h>
#include <sys/stat.h>

static struct world world;

static void setup(void)
{
    world_init(&world);
}

static void teardown(void)
{
    world_fini(&world);
}

TestSuite(bus, .init = setup, .fini = teardown, .timeout = 4 * WORLD_DEADLINE_MS / 1000);

Test(bus, subscriber_before_publisher)
{
    struct bus *ear = world_bus(&world, "scaler-advisor", "1"), *mouth;
    struct heard heard = {0};

    cr_assert_eq(bus_subscribe(ear, "limiter", "process.", hear_event, &heard), 0);
    world_for(&world, 150);
    mouth = world_bus(&world, "limiter", "1");
    cr_assert(publish_until_heard(&world, mouth, "hello", &heard, 1));
    cr_assert_str_eq(heard.topic, "process.started");
    cr_assert_str_eq(heard.detail, "hello");
    cr_assert_str_eq(heard.process, "limiter");
    bus_close(&ear);
    bus_close(&mouth);
    cr_assert_null(mouth);
}

Test(bus, publisher_before_subscriber)
{
    struct bus *mouth = world_bus(&world, "limiter", "1"), *ear;
    struct heard heard = {0};

    cr_assert_eq(publish_event(mouth, "process.started", "nobody listens"), 0);
    ear = world_bus(&world, "breaker", "1");
    cr_assert_eq(bus_subscribe(ear, "limiter", "process.started", hear_event, &heard), 0);
    cr_assert(publish_until_heard(&world, mouth, "second", &heard, 1));
    cr_assert_str_eq(heard.detail, "second");
    bus_close(&mouth);
    bus_close(&ear);
}

Test(bus, topics_outside_the_prefix_do_not_arrive)
{
    struct bus *mouth = world_bus(&world, "limiter", "1"), *ear = world_bus(&world, "breaker", "1");
    struct heard all = {0}, stopping = {0};

    bus_subscribe(ear, "limiter", "", hear_event, &all);
    bus_subscribe(ear, "limiter", "process.stopping", hear_event, &stopping);
    cr_assert(publish_until_heard(&world, mouth, "x", &all, 5));
    cr_assert_eq(stopping.n, 0);
    bus_close(&mouth);
    bus_close(&ear);
}

Test(bus, a_burst_arrives_whole_and_in_order)
{
    struct bus *mouth = world_bus(&world, "limiter", "1"), *ear = world_bus(&world, "breaker", "1");
    struct heard heard = {0};
    int before;
    char text[32];

    bus_subscribe(ear, "limiter", "process.", hear_event, &heard);
    cr_assert(publish_until_heard(&world, mouth, "warm", &heard, 1));
    world_for(&world, 50);
    before = heard.n;
    for (int i = 1; i <= 5000; i++) {
        snprintf(text, sizeof(text), "%d", i);
        cr_assert_eq(publish_event(mouth, "process.started", text), 0);
    }
    cr_assert(world_until(&world, &heard.n, before + 5000), "%d of 5000", heard.n - before);
    cr_assert_str_eq(heard.detail, "5000");
    cr_assert_eq(bus_counters(ear)->received, (uint64_t)heard.n);
    cr_assert_geq(bus_counters(mouth)->published, 5001);
    bus_close(&mouth);
    bus_close(&ear);
}

Test(bus, subscribe_all_finds_instances_that_come_later)
{
    struct bus *ear = world_bus(&world, "metrics-agent", "1");
    struct bus *first = world_bus(&world, "api-front", "1"), *second, *limiter;
    struct heard heard = {0};

    cr_assert_eq(bus_subscribe_all(ear, "process.", hear_event, &heard), 0);
    cr_assert(publish_until_heard(&world, first, "one", &heard, 1));
    cr_assert_str_eq(heard.instance, "1");
    second = world_bus(&world, "api-front", "2");
    world_for(&world, 50);
    heard.n = 0;
    cr_assert(publish_until_heard(&world, second, "two", &heard, 1));
    cr_assert_str_eq(heard.instance, "2");
    limiter = world_bus(&world, "limiter", "1");
    world_for(&world, 50);
    heard.n = 0;
    cr_assert(publish_until_heard(&world, limiter, "three", &heard, 1));
    cr_assert_str_eq(heard.process, "limiter");
    bus_close(&ear);
    bus_close(&first);
    bus_close(&second);
    bus_close(&limiter);
}

Test(bus, a_subscription_of_api_front_hears_each_instance_and_nobody_else)
{
    struct bus *ear = world_bus(&world, "metrics-agent", "1");
    struct bus *front = world_bus(&world, "api-front", "b"), *limiter;
    struct heard heard = {0};

    limiter = world_bus(&world, "limiter", "1");
    cr_assert_eq(bus_subscribe(ear, "api-front", "process.", hear_event, &heard), 0);
    for (int i = 0; i < 20; i++) {
        publish_event(limiter, "process.started", "not for you");
        world_for(&world, 10);
    }
    cr_assert_eq(heard.n, 0);
    cr_assert(publish_until_heard(&world, front, "for you", &heard, 1));
    cr_assert_str_eq(heard.detail, "for you");
    bus_close(&ear);
    bus_close(&front);
    bus_close(&limiter);
}

Test(bus, ping_is_answered_by_the_bus)
{
    struct bus *asker = world_bus(&world, "valvectl", "1");
    struct bus *server = world_bus(&world, "limiter", "1");
    struct answer answer = {0};

    cr_assert_eq(bus_serve(server, NULL, NULL), 0);
    cr_assert_eq(ask_ping(asker, "limiter", 5000, &answer), 0);
    cr_assert(world_until(&world, &answer.n, 1));
    cr_assert_eq(answer.error, 0);
    cr_assert_str_eq(answer.version, VALVECHAIN_VERSION);
    cr_assert_str_eq(answer.process, "limiter");
    cr_assert_eq(bus_counters(server)->requests_served, 1);
    bus_close(&asker);
    bus_close(&server);
}

Test(bus, a_request_waits_for_a_peer_that_comes_in_time)
{
    struct bus *asker = world_bus(&world, "valvectl", "1"), *server;
    struct answer answer = {0};

    cr_assert_eq(ask_ping(asker, "limiter", 8000, &answer), 0);
    world_for(&world, 200);
    cr_assert_eq(answer.n, 0);
    server = world_bus(&world, "limiter", "1");
    cr_assert_eq(bus_serve(server, NULL, NULL), 0);
    cr_assert(world_until(&world, &answer.n, 1));
    cr_assert_eq(answer.error, 0);
    bus_close(&asker);
    bus_close(&server);
}

Test(bus, a_thousand_requests_at_once_are_all_answered)
{
    struct bus *asker = world_bus(&world, "valvectl", "1");
    struct bus *server = world_bus(&world, "limiter", "1");
    struct answer answer = {0};

    bus_serve(server, NULL, NULL);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(ask_ping(asker, "limiter", 8000, &answer), 0);
    cr_assert(world_until(&world, &answer.n, 1000), "%d of 1000", answer.n);
    cr_assert_eq(answer.error, 0);
    bus_close(&asker);
    bus_close(&server);
}

static ProtobufCMessage *count_request(void *arg, const char *topic,
                                       const ProtobufCMessage *message)
{
    (void)topic;
    (void)message;
    ++*(int *)arg;
    return NULL;
}

Test(bus, what_the_handler_does_not_serve_is_refused_with_the_reason)
{
    struct bus *asker = world_bus(&world, "valvectl", "1");
    struct bus *server = world_bus(&world, "limiter", "1");
    Valvechain__V1__Advice advice = VALVECHAIN__V1__ADVICE__INIT;
    struct answer answer = {0};
    int seen = 0;

    bus_serve(server, count_request, &seen);
    cr_assert_eq(
        bus_request(asker, "limiter", "advice.update", &advice.base, 5000, take_answer, &answer),
        0);
    cr_assert(world_until(&world, &answer.n, 1));
    cr_assert_eq(answer.error, -EOPNOTSUPP);
    cr_assert_eq(seen, 1);
    cr_assert(strstr(answer.reason, "does not serve"), "%s", answer.reason);
    bus_close(&asker);
    bus_close(&server);
}

struct keeper {
    struct bus *bus;
    struct bus_call *calls[3];
    int n;
};

static ProtobufCMessage *keep_request(void *arg, const char *topic, const ProtobufCMessage *message)
{
    struct keeper *keeper = arg;

    (void)topic;
    (void)message;
    keeper->calls[keeper->n++] = bus_call_keep(keeper->bus);
    return NULL;
}

Test(bus, a_call_that_is_kept_is_answered_when_its_answer_is_there)
{
    struct bus *asker = world_bus(&world, "valvectl", "1");
    struct bus *server = world_bus(&world, "limiter", "1");
    struct keeper keeper = {.bus = server};
    Valvechain__V1__Advice advice = VALVECHAIN__V1__ADVICE__INIT;
    struct answer answers[3] = {{0}};

    cr_assert_null(bus_call_keep(server), "only inside of a handler");
    bus_serve(server, keep_request, &keeper);
    for (int i = 0; i < 3; i++)
        bus_request(asker, "limiter", "advice.update", &advice.base, 8000, take_answer,
                    &answers[i]);
    cr_assert(world_until(&world, &keeper.n, 3));
    bus_call_answer(&keeper.calls[2], &advice.base);
    cr_assert_null(keeper.calls[2]);
    cr_assert(world_until(&world, &answers[2].n, 1), "the others do not keep it back");
    cr_assert_eq(answers[2].error, 0);
    bus_call_answer(&keeper.calls[0], NULL);
    cr_assert(world_until(&world, &answers[0].n, 1));
    cr_assert_eq(answers[0].error, -EOPNOTSUPP);
    cr_assert_eq(answers[1].n, 0);
    bus_close(&server);
    bus_call_answer(&keeper.calls[1], &advice.base); // the bus is gone: only its memory goes
    bus_close(&asker);
    cr_assert_eq(answers[1].error, -ECANCELED);
}

Test(bus, a_request_times_out_and_is_never_carried_out_later)
{
    struct bus *asker = world_bus(&world, "valvectl", "1"), *server;
    Valvechain__V1__Advice advice = VALVECHAIN__V1__ADVICE__INIT;
    struct answer answer = {0};
    uint64_t start_ns = clock_mono_ns();
    int seen = 0;

    cr_assert_eq(
        bus_request(asker, "limiter", "advice.update", &advice.base, 150, take_answer, &answer), 0);
    cr_assert(world_until(&world, &answer.n, 1));
    cr_assert_eq(answer.error, -ETIMEDOUT);
    cr_assert_geq(clock_mono_ns() - start_ns, 140 * NS_PER_MS);
    server = world_bus(&world, "limiter", "1");
    bus_serve(server, count_request, &seen);
    answer.n = 0;
    cr_assert_eq(ask_ping(asker, "limiter", 5000, &answer), 0);
    cr_assert(
        world_until(&world, &answer.n, 1)); // the peer is connected now, and has got only this
    cr_assert_eq(seen, 0);
    bus_close(&asker);
    bus_close(&server);
}

Test(bus, closing_ends_open_requests)
{
    struct bus *asker = world_bus(&world, "valvectl", "1");
    struct answer answer = {0};

    ask_ping(asker, "limiter", 60000, &answer);
    bus_close(&asker);
    cr_assert_eq(answer.n, 1);
    cr_assert_eq(answer.error, -ECANCELED);
}

Test(bus, wrong_uses_are_errors)
{
    struct bus *tool = world_bus(&world, "valvectl", "1"), *front = NULL;
    struct bus_options options = {world.dir, "test", "api-front", "a/b"};
    Valvechain__V1__Ping ping = VALVECHAIN__V1__PING__INIT;
    struct answer answer = {0};
    struct heard heard = {0};

    cr_assert_eq(publish_event(tool, "process.started", "x"), -EOPNOTSUPP);
    cr_assert_eq(bus_serve(tool, NULL, NULL), -EOPNOTSUPP);
    cr_assert_eq(bus_subscribe(tool, "valvectl", "", hear_event, &heard), -EOPNOTSUPP);
    cr_assert_eq(ask_ping(tool, "api-front", 100, &answer), -EOPNOTSUPP);
    cr_assert_eq(
        bus_request(tool, "limiter", "advice.update", &ping.base, 100, take_answer, &answer),
        -EINVAL);
    cr_assert_eq(bus_open(&world.loop, &options, &front), -EINVAL);
    cr_assert_null(front);
    cr_assert_eq(answer.n, 0);
    bus_close(&tool);
}

Test(bus, sockets_are_for_owner_and_group_only)
{
    struct bus *server = world_bus(&world, "limiter", "1");
    char path[BUS_PATH_MAX];
    struct stat status;

    bus_serve(server, NULL, NULL);
    world_path(&world, "limiter", false, path);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0660);
    world_path(&world, "limiter", true, path);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0660);
    bus_close(&server);
    cr_assert_lt(stat(path, &status), 0, "the path is left behind");
}

Test(bus, a_folder_too_long_for_a_socket_is_refused)
{
    char dir[200];
    struct bus_options options = {dir, "test", "limiter", "1"};
    struct bus *bus = NULL;

    memset(dir, 'x', sizeof(dir) - 1);
    dir[0] = '/';
    dir[sizeof(dir) - 1] = '\0';
    cr_assert_eq(bus_open(&world.loop, &options, &bus), -ENAMETOOLONG);
}
