#include "bus_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

#include "net/http_server.h"

static struct world world;

static void setup(void)
{
    world_init(&world);
}

static void teardown(void)
{
    world_fini(&world);
}

TestSuite(http_server, .init = setup, .fini = teardown, .timeout = 4 * WORLD_DEADLINE_MS / 1000);

static void answer(void *arg, const struct http_question *question, struct http_answer *ret)
{
    const char *argument = http_question_argument(question, "a");
    char peer[ADDRESS_TEXT_MAX];

    ++*(int *)arg;
    address_format(&question->peer, peer);
    if (strcmp(question->path, "/large") == 0) {
        for (int i = 0; i < 20000; i++)
            strbuf_printf(&ret->body, "line %d of many that do not fit a socket's buffer\n", i);
        return;
    }
    if (strcmp(question->path, "/missing") == 0)
        ret->status = 404;
    ret->content_type = "text/x-test";
    strbuf_printf(&ret->body, "%s|%s|%s|%s", question->path, argument ? argument : "-",
                  question->accept, peer);
}

static unsigned free_port(int family)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr *address = family == AF_INET ? (void *)&v4 : (void *)&v6;
    socklen_t len = family == AF_INET ? sizeof(v4) : sizeof(v6);
    int fd = socket(family, SOCK_STREAM, 0);

    cr_assert_eq(bind(fd, address, len), 0);
    cr_assert_eq(getsockname(fd, address, &len), 0);
    close(fd);
    return ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
}

static int connect_to(int family, unsigned port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)port),
                              .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(family, SOCK_STREAM, 0);

    if (family == AF_INET)
        cr_assert_eq(connect(fd, (const struct sockaddr *)&v4, sizeof(v4)), 0);
    else
        cr_assert_eq(connect(fd, (const struct sockaddr *)&v6, sizeof(v6)), 0);
    return fd;
}

// Sends the text, turns the loop, returns everything until the server closes.
static char *ask(int family, unsigned port, const char *request)
{
    static char reply[2 * 1024 * 1024];
    size_t len = 0;
    int fd = connect_to(family, port);
    uint64_t end_ns = clock_mono_ns() + WORLD_DEADLINE_MS * NS_PER_MS;

    cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    while (clock_mono_ns() < end_ns) {
        ssize_t n;

        uv_run(&world.loop, UV_RUN_NOWAIT);
        n = recv(fd, reply + len, sizeof(reply) - 1 - len, MSG_DONTWAIT);
        if (n == 0)
            break;
        if (n > 0)
            len += (size_t)n;
    }
    close(fd);
    reply[len] = '\0';
    return reply;
}

static struct http_server *open_server(unsigned port, bool v6, int *n)
{
    struct http_server *server = NULL;
    char address[64];

    snprintf(address, sizeof(address), v6 ? "[::1]:%u" : "127.0.0.1:%u", port);
    cr_assert_eq(http_server_open(&world.loop, address, answer, n, &server), 0);
    cr_assert_not_null(server);
    return server;
}

Test(http_server, answers_get_with_argument_accept_and_peer)
{
    int n = 0;
    unsigned port = free_port(AF_INET);
    struct http_server *server = open_server(port, false, &n);
    char *reply = ask(AF_INET, port,
                      "GET /x%20y?a=1%262 HTTP/1.1\r\nHost: h\r\nAccept: text/plain\r\n"
                      "Connection: close\r\n\r\n");

    cr_assert(strstr(reply, "HTTP/1.1 200 ") == reply, "%s", reply);
    cr_assert(strstr(reply, "Content-Type: text/x-test\r\n"), "%s", reply);
    cr_assert(strstr(reply, "\r\n\r\n/x y|1&2|text/plain|127.0.0.1"), "%s", reply);
    cr_assert_eq(n, 1);
    cr_assert_eq(http_server_requests(server), 1);
    http_server_close(&server);
    cr_assert_null(server);
}

Test(http_server, head_has_no_body_and_others_are_not_allowed)
{
    int n = 0;
    unsigned port = free_port(AF_INET);
    struct http_server *server = open_server(port, false, &n);
    char *reply =
        ask(AF_INET, port, "HEAD /missing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");

    cr_assert(strstr(reply, "HTTP/1.1 404 ") == reply, "%s", reply);
    cr_assert(strstr(reply, "\r\n\r\n")[4] == '\0', "%s", reply);
    reply = ask(AF_INET, port,
                "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
    cr_assert(strstr(reply, "HTTP/1.1 405 ") == reply, "%s", reply);
    cr_assert(strstr(reply, "Allow: GET, HEAD\r\n"), "%s", reply);
    cr_assert_eq(n, 1);
    http_server_close(&server);
}

Test(http_server, large_answers_arrive_whole)
{
    int n = 0;
    unsigned port = free_port(AF_INET);
    struct http_server *server = open_server(port, false, &n);
    char *reply = ask(AF_INET, port, "GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");

    cr_assert(strstr(reply, "line 19999 of many"), "%zu bytes", strlen(reply));
    http_server_close(&server);
}

Test(http_server, listens_on_ipv6)
{
    int n = 0;
    unsigned port = free_port(AF_INET6);
    struct http_server *server = open_server(port, true, &n);
    char *reply = ask(AF_INET6, port, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");

    cr_assert(strstr(reply, "|::1"), "%s", reply);
    http_server_close(&server);
}

Test(http_server, a_taken_port_is_an_error_and_port_0_opens_nothing)
{
    int n = 0;
    unsigned port = free_port(AF_INET);
    struct http_server *server = open_server(port, false, &n), *second = NULL;
    char address[64];

    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    cr_assert_eq(http_server_open(&world.loop, address, answer, &n, &second), -EADDRINUSE);
    cr_assert_null(second);
    second = server;
    cr_assert_eq(http_server_open(&world.loop, "127.0.0.1:0", answer, &n, &second), 0);
    cr_assert_null(second);
    cr_assert_eq(http_server_requests(second), 0);
    http_server_close(&second);
    http_server_close(&server);
}

// Turns the loop until the server has closed the connection. False: not within the deadline.
static bool is_closed(int fd)
{
    uint64_t end_ns = clock_mono_ns() + WORLD_DEADLINE_MS * NS_PER_MS;
    char bytes[4096];
    ssize_t n = -1;

    while (n != 0 && clock_mono_ns() < end_ns) {
        uv_run(&world.loop, UV_RUN_ONCE);
        n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    }
    return n == 0;
}

Test(http_server, a_head_that_drips_in_is_not_waited_for_longer_than_said)
{
    static const char drip[] = "GET / HTTP/1.1\r\nHost: h\r\nX-";
    int n = 0;
    unsigned port = free_port(AF_INET);
    struct http_server *server = open_server(port, false, &n);
    int fd = connect_to(AF_INET, port);
    uint64_t opened_ms;

    world_for(&world, 50);
    opened_ms = uv_now(&world.loop);
    for (size_t i = 0; i < sizeof(drip) - 1; i++) { // each byte renews the idle timeout
        cr_assert_eq(write(fd, drip + i, 1), 1);
        uv_run(&world.loop, UV_RUN_ONCE);
    }
    http_server_expire(server, opened_ms + HTTP_SERVER_PATIENCE_MS - 1000);
    cr_assert_eq(write(fd, "a", 1), 1);
    world_for(&world, 50);
    cr_assert(recv(fd, &(char){0}, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "there is time left");
    http_server_expire(server, opened_ms + HTTP_SERVER_PATIENCE_MS + 1000);
    cr_assert(is_closed(fd));
    cr_assert_eq(n, 0);
    close(fd);
    http_server_close(&server);
}

Test(http_server, addresses)
{
    static const char *const good[] = {"127.0.0.1:9464", "0.0.0.0:1", "[::1]:65535", "[::]:0"};
    static const char *const bad[] = {"",
                                      "9464",
                                      ":9464",
                                      "localhost:9464",
                                      "127.0.0.1",
                                      "1.2.3.4:65536",
                                      "1.2.3.4:",
                                      "1.2.3.4:-1",
                                      "::1:9464",
                                      "[1.2.3.4]:80",
                                      "[::1]",
                                      "1.2.3.4: 80",
                                      "1.2.3.4:80x",
                                      "[::1:80",
                                      "1.2.3.4:5:80"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_assert(http_address_is_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(http_address_is_valid(bad[i]), "%s", bad[i]);
}
