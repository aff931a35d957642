// A load generator with a rate: wrk sends as fast as it can, this one sends on a schedule and
// measures from the moment a request was due, so that a stall is not hidden by requests that were
// not sent meanwhile.
//
//   paced_load PORT PATH RATE SECONDS CONNECTIONS
//       prints: requests N errors N p50_us N p90_us N p99_us N p999_us N max_us N
//   paced_load PORT PATH idle CONNECTIONS
//       one request on each connection, then holds them all open; prints "idle N" and waits for the
//       end of its standard input.
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX  65536
#define WAIT_MAX_NS 1000000U

struct connection {
    int fd;
    uint64_t due_ns; // of the request under way, 0: free
    size_t got;
    char buffer[ANSWER_MAX];
};

static struct sockaddr_in server;
static char request[1024];
static size_t request_len;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void open_connection(struct connection *connection)
{
    int one = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (struct sockaddr *)&server, sizeof(server)) < 0) {
        perror("paced_load: connect");
        exit(1);
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    connection->due_ns = 0;
    connection->got = 0;
}

static void send_request(struct connection *connection, uint64_t due_ns)
{
    connection->due_ns = due_ns;
    connection->got = 0;
    if (send(connection->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len) {
        perror("paced_load: send");
        exit(1);
    }
}

// 1: the answer is complete and 200, 0: more to come, -1: not 200 or cut.
static int read_answer(struct connection *connection)
{
    ssize_t n = recv(connection->fd, connection->buffer + connection->got,
                     ANSWER_MAX - 1 - connection->got, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return -1;
    connection->got += (size_t)n;
    connection->buffer[connection->got] = '\0';
    char *end = strstr(connection->buffer, "\r\n\r\n");
    if (end == NULL)
        return 0;
    const char *length = strcasestr(connection->buffer, "\r\ncontent-length:");
    if (length == NULL || length > end)
        return -1;
    size_t body = strtoul(length + 17, NULL, 10);
    size_t whole = (size_t)(end - connection->buffer) + 4 + body;
    if (connection->got < whole)
        return 0;
    return strncmp(connection->buffer + 9, "200", 3) == 0 ? 1 : -1;
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static int hold_idle(struct connection *connections, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        open_connection(&connections[i]);
        send_request(&connections[i], 1);
        int result;
        while ((result = read_answer(&connections[i])) == 0)
            usleep(100); // a poll of one socket; nothing is measured here
        if (result < 0) {
            fputs("paced_load: not answered with 200\n", stderr);
            return 1;
        }
    }
    printf("idle %zu\n", n);
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return 0;
}

struct run {
    struct connection *connections;
    size_t n;
    int epoll;
    uint64_t start_ns, interval_ns, total;
    uint64_t sent, done, errors;
    uint32_t *latency_us;
};

// Sends what is due on connections that are free.
static void send_due(struct run *run, uint64_t now)
{
    for (size_t i = 0; i < run->n && run->sent < run->total; i++) {
        uint64_t due = run->start_ns + run->sent * run->interval_ns;
        if (due > now)
            return;
        if (run->connections[i].due_ns == 0) {
            send_request(&run->connections[i], due);
            run->sent++;
        }
    }
}

static void take_answers(struct run *run, uint64_t timeout_ns)
{
    struct epoll_event events[64];
    struct timespec timeout = {.tv_nsec = (long)timeout_ns};
    int n = epoll_pwait2(run->epoll, events, 64, &timeout, NULL);
    for (int i = 0; i < n; i++) {
        struct connection *connection = events[i].data.ptr;
        int result = read_answer(connection);
        if (result == 0)
            continue;
        if (result < 0) {
            run->errors++;
            close(connection->fd);
            open_connection(connection);
            struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
            epoll_ctl(run->epoll, EPOLL_CTL_ADD, connection->fd, &event);
        } else {
            run->latency_us[run->done - run->errors] =
                (uint32_t)((now_ns() - connection->due_ns) / 1000);
        }
        connection->due_ns = 0;
        run->done++;
    }
}

static int run_paced(struct run *run)
{
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    run->latency_us = calloc(run->total, sizeof(*run->latency_us));
    if (run->epoll < 0 || run->latency_us == NULL)
        return 1;
    for (size_t i = 0; i < run->n; i++) {
        open_connection(&run->connections[i]);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &run->connections[i]};
        epoll_ctl(run->epoll, EPOLL_CTL_ADD, run->connections[i].fd, &event);
    }
    run->start_ns = now_ns();
    uint64_t deadline_ns = run->start_ns + run->total * run->interval_ns + 10000000000U;
    while (run->done < run->total && now_ns() < deadline_ns) {
        uint64_t now = now_ns();
        send_due(run, now);
        uint64_t next = run->start_ns + run->sent * run->interval_ns;
        // It sleeps until the next request is due, to the nanosecond: the upstream shares its core.
        uint64_t wait_ns = run->sent == run->total || next > now + WAIT_MAX_NS ? WAIT_MAX_NS
                           : next > now                                        ? next - now
                                                                               : 0;
        take_answers(run, wait_ns);
    }
    size_t good = (size_t)(run->done - run->errors);
    qsort(run->latency_us, good, sizeof(*run->latency_us), compare);
    static const struct {
        const char *name;
        double share;
    } shown[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
    printf("requests %" PRIu64 " errors %" PRIu64, run->done,
           run->errors + (run->total - run->done));
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]) && good > 0; i++)
        printf(" %s_us %u", shown[i].name,
               run->latency_us[(size_t)((double)(good - 1) * shown[i].share)]);
    puts("");
    return 0;
}

int main(int argc, char **argv)
{
    bool idle = argc == 5 && strcmp(argv[3], "idle") == 0;
    if (argc != 6 && !idle) {
        fputs("usage: paced_load PORT PATH RATE SECONDS CONNECTIONS | PORT PATH idle CONNECTIONS\n",
              stderr);
        return 2;
    }
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    request_len = (size_t)snprintf(request, sizeof(request),
                                   "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", argv[2]);
    size_t n = strtoul(argv[argc - 1], NULL, 10);
    struct connection *connections = calloc(n > 0 ? n : 1, sizeof(*connections));
    if (connections == NULL || n == 0)
        return 2;
    if (idle)
        return hold_idle(connections, n);
    uint64_t rate = strtoull(argv[3], NULL, 10);
    if (rate == 0)
        return 2;
    struct run run = {.connections = connections,
                      .n = n,
                      .interval_ns = 1000000000U / rate,
                      .total = rate * strtoull(argv[4], NULL, 10)};
    return run_paced(&run);
}
