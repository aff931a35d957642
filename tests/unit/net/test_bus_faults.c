// What goes wrong between processes: kills, leftovers, twins, foreign and broken frames.
#include "bus_world.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <zmq.h>

static struct world world;

static void setup(void)
{
    world_init(&world);
}

static void teardown(void)
{
    world_fini(&world);
}

TestSuite(bus_faults, .init = setup, .fini = teardown, .timeout = 4 * WORLD_DEADLINE_MS / 1000);

// A limiter in a process of its own that publishes every 5 ms and serves, until it is killed. It is
// this program anew, by exec: a fork of us alone would inherit whatever lock ZeroMQ's threads hold
// at that moment, the allocator's among them (that of AddressSanitizer does not let go of it in a
// fork).
#define LIMITER_DIR "VALVECHAIN_TEST_LIMITER_DIR"

static void publish_again(uv_timer_t *timer)
{
    publish_event(timer->data, "process.started", "alive");
}

__attribute__((constructor)) static void be_limiter(void)
{
    const char *dir = getenv(LIMITER_DIR);
    uv_loop_t loop;
    uv_timer_t timer;
    struct bus *bus;

    if (dir == NULL)
        return;
    struct bus_options options = {dir, "test", "limiter", "1"};
    uv_loop_init(&loop);
    if (bus_open(&loop, &options, &bus) < 0 || bus_serve(bus, NULL, NULL) < 0)
        _exit(3);
    uv_timer_init(&loop, &timer);
    timer.data = bus;
    uv_timer_start(&timer, publish_again, 5, 5);
    uv_run(&loop, UV_RUN_DEFAULT);
    _exit(0);
}

static pid_t start_limiter(void)
{
    char program[] = "limiter", variable[sizeof(LIMITER_DIR) + sizeof(world.dir) + 1];
    char leaks[] = "ASAN_OPTIONS=detect_leaks=0"; // it ends by a kill
    char *argv[] = {program, NULL}, *env[] = {variable, leaks, NULL};

    snprintf(variable, sizeof(variable), LIMITER_DIR "=%s", world.dir);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); // a test that fails leaves nobody behind
        execve("/proc/self/exe", argv, env);
        _exit(4);
    }
    return pid;
}

static void kill_and_reap(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

Test(bus_faults, a_killed_peer_is_heard_and_answers_again_after_its_restart)
{
    struct bus *ear = world_bus(&world, "breaker", "1");
    struct heard heard = {0};

    bus_subscribe(ear, "limiter", "process.", hear_event, &heard);
    for (int round = 0; round < 5; round++) {
        pid_t pid = start_limiter();
        struct answer answer = {0};

        heard.n = 0;
        cr_assert(world_until(&world, &heard.n, 3), "round %d: nothing heard", round);
        cr_assert_eq(ask_ping(ear, "limiter", WORLD_DEADLINE_MS / 2, &answer), 0);
        cr_assert(world_until(&world, &answer.n, 1));
        cr_assert_eq(answer.error, 0, "round %d: %d", round, answer.error);
        kill_and_reap(pid);
    }
    bus_close(&ear);
}

Test(bus_faults, a_stopped_peer_costs_its_request_and_nothing_else)
{
    struct bus *asker = world_bus(&world, "breaker", "1");
    struct answer answer = {0};
    pid_t pid = start_limiter();

    ask_ping(asker, "limiter", WORLD_DEADLINE_MS / 2, &answer);
    cr_assert(world_until(&world, &answer.n, 1));
    kill(pid, SIGSTOP);
    answer = (struct answer){0};
    ask_ping(asker, "limiter", 200, &answer);
    cr_assert(world_until(&world, &answer.n, 1));
    cr_assert_eq(answer.error, -ETIMEDOUT);
    kill(pid, SIGCONT);
    answer = (struct answer){0};
    ask_ping(asker, "limiter", WORLD_DEADLINE_MS / 2, &answer);
    cr_assert(world_until(&world, &answer.n, 1));
    cr_assert_eq(answer.error, 0);
    world_for(&world, 50); // the late reply to the second comes and is for nobody
    cr_assert_eq(answer.n, 1);
    kill_and_reap(pid);
    bus_close(&asker);
}

static void bind_unix(int fd, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, strlen(path) + 1);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
}

Test(bus_faults, what_a_dead_process_left_is_replaced)
{
    char path[BUS_PATH_MAX];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct bus *bus;

    world_path(&world, "limiter", false, path);
    bind_unix(fd, path);
    close(fd); // the file stays
    bus = world_bus(&world, "limiter", "1");
    cr_assert_null(bus_taken_path(bus));
    bus_close(&bus);
}

Test(bus_faults, a_file_that_is_no_socket_is_left_alone)
{
    char path[BUS_PATH_MAX];
    struct bus_options options = {world.dir, "test", "limiter", "1"};
    struct bus *bus = NULL;
    FILE *file;

    world_path(&world, "limiter", false, path);
    file = fopen(path, "w");
    fputs("precious", file);
    fclose(file);
    cr_assert_eq(bus_open(&world.loop, &options, &bus), -EEXIST);
    cr_assert_eq(access(path, F_OK), 0);
}

Test(bus_faults, a_live_twin_keeps_its_socket_until_it_goes)
{
    struct bus *first = world_bus(&world, "limiter", "1"), *second;
    struct bus *ear = world_bus(&world, "breaker", "1");
    struct heard heard = {0};

    second = world_bus(&world, "limiter", "1");
    cr_assert_not_null(bus_taken_path(second));
    cr_assert_eq(publish_event(second, "process.started", "twin"), -EAGAIN);
    cr_assert_eq(bus_counters(second)->dropped, 1);
    bus_subscribe(ear, "limiter", "process.", hear_event, &heard);
    cr_assert(publish_until_heard(&world, first, "first", &heard, 1));
    bus_close(&first);
    heard.n = 0;
    cr_assert(publish_until_heard(&world, second, "second", &heard, 1));
    cr_assert_str_eq(heard.detail, "second");
    cr_assert_null(bus_taken_path(second));
    bus_close(&second);
    bus_close(&ear);
}

Test(bus_faults, a_socket_file_that_vanishes_is_made_again)
{
    struct bus *mouth = world_bus(&world, "limiter", "1"), *ear;
    struct heard heard = {0};
    char path[BUS_PATH_MAX];

    world_path(&world, "limiter", false, path);
    cr_assert_eq(unlink(path), 0);
    for (int i = 0; i < WORLD_DEADLINE_MS / 20 && access(path, F_OK) < 0; i++)
        world_for(&world, 20);
    cr_assert_eq(access(path, F_OK), 0);
    ear = world_bus(&world, "breaker", "1");
    bus_subscribe(ear, "limiter", "process.", hear_event, &heard);
    cr_assert(publish_until_heard(&world, mouth, "again", &heard, 1));
    bus_close(&mouth);
    bus_close(&ear);
}

static void send_frames(void *socket, const char *const *frames, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cr_assert_geq(zmq_send(socket, frames[i], strlen(frames[i]), i + 1 < n ? ZMQ_SNDMORE : 0),
                      0);
}

static void hear_anything(void *arg, const char *topic, const ProtobufCMessage *message)
{
    int *unknown = arg;

    if (strcmp(topic, "process.started") != 0) {
        cr_assert_null(message);
        ++*unknown;
    }
}

Test(bus_faults, broken_messages_are_counted_and_dropped)
{
    static const char *const one[] = {"process.started"};
    static const char *const three[] = {"process.started", "", ""};
    static const char *const ten[] = {"process.started", "", "", "", "", "", "", "", "", "x"};
    static const char *const blank_topic[] = {"process. started", ""};
    static const char *const bad_bytes[] = {"process.started", "\xff\xff\xff"};
    static const char *const unknown[] = {"process.unheard_of", "whatever"};
    void *context = zmq_ctx_new(), *pub = zmq_socket(context, ZMQ_PUB);
    struct bus *ear = world_bus(&world, "breaker", "1");
    char path[BUS_PATH_MAX], address[BUS_PATH_MAX + 8];
    int n_unknown = 0;

    world_path(&world, "limiter", false, path);
    snprintf(address, sizeof(address), "ipc://%s", path);
    cr_assert_eq(zmq_bind(pub, address), 0);
    bus_subscribe(ear, "limiter", "", hear_anything, &n_unknown);
    for (int i = 0; i < WORLD_DEADLINE_MS / 20 && !n_unknown; i++) {
        send_frames(pub, unknown, 2);
        world_for(&world, 20);
    }
    cr_assert_gt(n_unknown, 0);
    cr_assert_eq(bus_counters(ear)->malformed, 0);
    send_frames(pub, one, 1);
    send_frames(pub, three, 3);
    send_frames(pub, ten, 10);
    send_frames(pub, blank_topic, 2);
    send_frames(pub, bad_bytes, 2);
    n_unknown = 0;
    send_frames(pub, unknown, 2);
    cr_assert(world_until(&world, &n_unknown, 1));
    cr_assert_eq(bus_counters(ear)->malformed, 5);
    bus_close(&ear);
    zmq_setsockopt(pub, ZMQ_LINGER, &(int){0}, sizeof(int));
    zmq_close(pub);
    zmq_ctx_term(context);
}

static size_t recv_frame(void *socket, char *buffer, size_t cap)
{
    int len = -1;

    for (int i = 0; i < WORLD_DEADLINE_MS / 5 && len < 0; i++) {
        len = zmq_recv(socket, buffer, cap - 1, ZMQ_DONTWAIT);
        if (len < 0)
            world_for(&world, 5);
    }
    cr_assert_geq(len, 0, "no reply");
    buffer[len] = '\0';
    return (size_t)len;
}

static void *connect_raw(void *context, int type, const char *process)
{
    void *socket = zmq_socket(context, type);
    char path[BUS_PATH_MAX], address[BUS_PATH_MAX + 8];

    world_path(&world, process, true, path);
    snprintf(address, sizeof(address), "ipc://%s", path);
    cr_assert_eq(zmq_connect(socket, address), 0);
    zmq_setsockopt(socket, ZMQ_LINGER, &(int){0}, sizeof(int));
    return socket;
}

Test(bus_faults, a_plain_req_socket_is_served)
{
    static const char *const ping[] = {"ping", ""};
    struct bus *server = world_bus(&world, "limiter", "1");
    void *context = zmq_ctx_new(), *req;
    char topic[64], bytes[512];
    Valvechain__V1__Ping *reply;
    size_t len;

    bus_serve(server, NULL, NULL);
    req = connect_raw(context, ZMQ_REQ, "limiter");
    send_frames(req, ping, 2);
    recv_frame(req, topic, sizeof(topic));
    cr_assert_str_eq(topic, "ping");
    len = recv_frame(req, bytes, sizeof(bytes));
    reply = valvechain__v1__ping__unpack(NULL, len, (const uint8_t *)bytes);
    cr_assert_not_null(reply);
    cr_assert_str_eq(reply->origin->process, "limiter");
    valvechain__v1__ping__free_unpacked(reply, NULL);
    zmq_close(req);
    zmq_ctx_term(context);
    bus_close(&server);
}

Test(bus_faults, broken_requests_are_refused_where_they_can_be_answered)
{
    static const char *const no_envelope[] = {"ping"};
    static const char *const too_long[] = {"", "ping", "", "more"};
    static const char *const bad_topic[] = {"", "a b", ""};
    static const char *const bad_bytes[] = {"", "ping", "\xff\xff"};
    static const char *const unknown[] = {"", "limit.frobnicate", ""};
    struct bus *server = world_bus(&world, "limiter", "1");
    void *context = zmq_ctx_new(), *dealer;
    char frame[512];

    bus_serve(server, NULL, NULL);
    dealer = connect_raw(context, ZMQ_DEALER, "limiter");
    send_frames(dealer, no_envelope, 1);
    send_frames(dealer, too_long, 4);
    send_frames(dealer, bad_topic, 3);
    send_frames(dealer, bad_bytes, 3);
    send_frames(dealer, unknown, 3);
    for (int i = 0; i < 3; i++) {
        recv_frame(dealer, frame, sizeof(frame));
        cr_assert_str_eq(frame, "");
        recv_frame(dealer, frame, sizeof(frame));
        cr_assert_str_eq(frame, "refused");
        recv_frame(dealer, frame, sizeof(frame));
    }
    cr_assert_eq(bus_counters(server)->malformed, 4);
    zmq_close(dealer);
    zmq_ctx_term(context);
    bus_close(&server);
}
