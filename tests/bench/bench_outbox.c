// What the outbox accepts: operations handed over by so many writers at a time, each of whom waits
// until his is acknowledged; and the limit, groups of as many bytes appended to a file and synced.
// Prints one line: operations a second, then the median, the 99th percentile and the longest
// latency in ms.
//
//   bench_outbox disk FILE WRITERS SECONDS BYTES           (a group is one operation of each
//   writer) bench_outbox bus SOCKET UPSTREAM WRITERS SECONDS BYTES (the breaker process's commands
//   socket) bench_outbox http PORT PATH WRITERS SECONDS BYTES      (POST with Idempotency-Key)
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/parse.h"
#include "valvechain/v1/valvechain.pb-c.h"

#define WRITERS_MAX 256
#define WAIT_MS     10000

static unsigned char *body;
static size_t body_bytes;
static unsigned n_writers;
static uint64_t run_ns, run_id, n_keys;

static struct samples {
    uint64_t *ns;
    size_t n, cap;
} samples;

static void require(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "bench_outbox: %s\n", what);
        exit(1);
    }
}

static void sample(uint64_t begin_ns)
{
    if (samples.n == samples.cap) {
        samples.cap = samples.cap == 0 ? 65536 : samples.cap * 2;
        samples.ns = realloc(samples.ns, samples.cap * sizeof(*samples.ns));
        require(samples.ns != NULL, "no memory");
    }
    samples.ns[samples.n++] = clock_mono_ns() - begin_ns;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

// `per_sample`: operations that one sample stands for.
static void print(uint64_t begin_ns, unsigned per_sample)
{
    double seconds = (double)(clock_mono_ns() - begin_ns) / (double)NS_PER_S;
    require(samples.n > 0, "nothing was accepted");
    qsort(samples.ns, samples.n, sizeof(*samples.ns), by_size);
    size_t middle = samples.n / 2, last = samples.n - 1,
           last_but_hundredth = last - samples.n / 100;
    printf("%.0f %.3f %.3f %.3f\n", (double)samples.n * per_sample / seconds,
           (double)samples.ns[middle] / (double)NS_PER_MS,
           (double)samples.ns[last_but_hundredth] / (double)NS_PER_MS,
           (double)samples.ns[last] / (double)NS_PER_MS);
    free(samples.ns);
}

// ---- the limit ------------------------------------------------------------------------------

static void run_disk(const char *file)
{
    size_t group = n_writers * body_bytes;
    unsigned char *bytes = malloc(group);
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(bytes != NULL && fd >= 0, "no file");
    randombytes_buf(bytes, group);
    uint64_t begin_ns = clock_mono_ns();
    while (clock_mono_ns() - begin_ns < run_ns) {
        uint64_t start_ns = clock_mono_ns();
        for (size_t done = 0; done < group;) {
            ssize_t n = write(fd, bytes + done, group - done);
            require(n > 0, "the file does not take it");
            done += (size_t)n;
        }
        require(fdatasync(fd) == 0, "fdatasync");
        sample(start_ns);
    }
    print(begin_ns, n_writers);
    free(bytes);
    close(fd);
    unlink(file);
}

// ---- over the bus ---------------------------------------------------------------------------

static void submit(void *socket, const char *upstream)
{
    static const char head[] = "POST /outbox HTTP/1.1\r\nHost: bench\r\n"
                               "Content-Type: application/octet-stream\r\n";
    Valvechain__V1__OutboxSubmit ask = VALVECHAIN__V1__OUTBOX_SUBMIT__INIT;
    unsigned char key[16];
    uint64_t number[2] = {run_id, ++n_keys};
    crypto_generichash(key, sizeof(key), (const unsigned char *)number, sizeof(number), NULL, 0);
    memcpy(&ask.upstream, &upstream, sizeof(upstream)); // is only read
    ask.key = (ProtobufCBinaryData){sizeof(key), key};
    ask.head = (ProtobufCBinaryData){sizeof(head) - 1, (uint8_t *)(uintptr_t)head};
    ask.body = (ProtobufCBinaryData){body_bytes, body};
    ask.resend = true;
    zmq_msg_t message;
    size_t len = valvechain__v1__outbox_submit__get_packed_size(&ask);
    require(zmq_msg_init_size(&message, len) == 0, "no memory");
    valvechain__v1__outbox_submit__pack(&ask, zmq_msg_data(&message));
    require(zmq_send(socket, "", 0, ZMQ_SNDMORE) >= 0 &&
                zmq_send(socket, "outbox.submit", 13, ZMQ_SNDMORE) >= 0 &&
                zmq_msg_send(&message, socket, 0) >= 0,
            "the socket does not take it");
}

static void take_receipt(void *socket)
{
    unsigned char bytes[1024];
    char topic[64] = "";
    int n;
    require(zmq_recv(socket, bytes, sizeof(bytes), 0) == 0 &&
                zmq_recv(socket, topic, sizeof(topic) - 1, 0) > 0 &&
                (n = zmq_recv(socket, bytes, sizeof(bytes), 0)) > 0 &&
                strcmp(topic, "outbox.submit") == 0,
            "no receipt");
    Valvechain__V1__OutboxReceipt *receipt =
        valvechain__v1__outbox_receipt__unpack(NULL, (size_t)n, bytes);
    require(receipt != NULL, "no receipt");
    require(receipt->status == 202, receipt->code);
    valvechain__v1__outbox_receipt__free_unpacked(receipt, NULL);
}

static void run_bus(const char *path, const char *upstream)
{
    zmq_pollitem_t items[WRITERS_MAX] = {0};
    uint64_t since_ns[WRITERS_MAX];
    char address[256];
    void *context = zmq_ctx_new();
    snprintf(address, sizeof(address), "ipc://%s", path);
    for (unsigned i = 0; i < n_writers; i++) {
        int no_linger = 0;
        items[i] =
            (zmq_pollitem_t){.socket = zmq_socket(context, ZMQ_DEALER), .events = ZMQ_POLLIN};
        require(items[i].socket != NULL && zmq_connect(items[i].socket, address) == 0, address);
        zmq_setsockopt(items[i].socket, ZMQ_LINGER, &no_linger, sizeof(no_linger));
    }
    uint64_t begin_ns = clock_mono_ns();
    for (unsigned i = 0; i < n_writers; i++) {
        since_ns[i] = clock_mono_ns();
        submit(items[i].socket, upstream);
    }
    while (clock_mono_ns() - begin_ns < run_ns) {
        require(zmq_poll(items, (int)n_writers, WAIT_MS) > 0, "no receipts");
        for (unsigned i = 0; i < n_writers; i++) {
            if ((items[i].revents & ZMQ_POLLIN) == 0)
                continue;
            take_receipt(items[i].socket);
            sample(since_ns[i]);
            since_ns[i] = clock_mono_ns();
            submit(items[i].socket, upstream);
        }
    }
    print(begin_ns, 1);
    for (unsigned i = 0; i < n_writers; i++)
        zmq_close(items[i].socket);
    zmq_ctx_term(context);
}

// ---- over HTTP ------------------------------------------------------------------------------

struct client {
    uint64_t since_ns;
    size_t n;
    char answer[4096];
};

static int connect_to(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0, "cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

// At most some KiB, which a socket takes whole.
static void post(int fd, struct client *client, const char *path)
{
    static char *request;
    if (request == NULL)
        request = malloc(body_bytes + 1024);
    require(request != NULL, "no memory");
    int head = snprintf(request, 1024,
                        "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %zu\r\n"
                        "Idempotency-Key: \"%016llx-%llu\"\r\n\r\n",
                        path, body_bytes, (unsigned long long)run_id, (unsigned long long)++n_keys);
    memcpy(request + head, body, body_bytes);
    client->since_ns = clock_mono_ns();
    client->n = 0;
    size_t len = (size_t)head + body_bytes;
    require(write(fd, request, len) == (ssize_t)len, "the connection does not take it");
}

// True when the answer is whole.
static bool take_answer(int fd, struct client *client)
{
    ssize_t n = read(fd, client->answer + client->n, sizeof(client->answer) - 1 - client->n);
    require(n > 0, "the connection was closed");
    client->n += (size_t)n;
    client->answer[client->n] = '\0';
    const char *end = strstr(client->answer, "\r\n\r\n");
    const char *field = end != NULL ? strcasestr(client->answer, "\r\ncontent-length:") : NULL;
    if (field == NULL)
        return false;
    size_t length = strtoul(field + 17, NULL, 10);
    if (client->n < (size_t)(end - client->answer) + 4 + length)
        return false;
    require(strncmp(client->answer, "HTTP/1.1 202 ", 13) == 0, client->answer);
    return true;
}

static void run_http(unsigned port, const char *path)
{
    static struct client clients[WRITERS_MAX];
    struct pollfd polls[WRITERS_MAX];
    for (unsigned i = 0; i < n_writers; i++)
        polls[i] = (struct pollfd){.fd = connect_to(port), .events = POLLIN};
    uint64_t begin_ns = clock_mono_ns();
    for (unsigned i = 0; i < n_writers; i++)
        post(polls[i].fd, &clients[i], path);
    while (clock_mono_ns() - begin_ns < run_ns) {
        require(poll(polls, n_writers, WAIT_MS) > 0, "no answers");
        for (unsigned i = 0; i < n_writers; i++) {
            if (polls[i].revents == 0 || !take_answer(polls[i].fd, &clients[i]))
                continue;
            sample(clients[i].since_ns);
            post(polls[i].fd, &clients[i], path);
        }
    }
    print(begin_ns, 1);
    for (unsigned i = 0; i < n_writers; i++)
        close(polls[i].fd);
}

// ---- arguments ------------------------------------------------------------------------------

static unsigned number_of(const char *text, unsigned max)
{
    uint64_t number = 0;
    require(parse_u64(text, 1, max, &number) == 0, "a number is out of its range");
    return (unsigned)number;
}

int main(int argc, char **argv)
{
    bool is_disk = argc == 6 && strcmp(argv[1], "disk") == 0;
    bool is_bus = argc == 7 && strcmp(argv[1], "bus") == 0;
    bool is_http = argc == 7 && strcmp(argv[1], "http") == 0;
    require(is_disk || is_bus || is_http, "disk FILE | bus SOCKET UPSTREAM | http PORT PATH, then "
                                          "WRITERS SECONDS BYTES");
    n_writers = number_of(argv[argc - 3], WRITERS_MAX);
    run_ns = number_of(argv[argc - 2], 3600) * NS_PER_S;
    body_bytes = number_of(argv[argc - 1], 65536);
    body = malloc(body_bytes);
    require(body != NULL && sodium_init() >= 0, "no memory");
    randombytes_buf(body, body_bytes);
    randombytes_buf(&run_id, sizeof(run_id));
    if (is_disk)
        run_disk(argv[2]);
    else if (is_bus)
        run_bus(argv[2], argv[3]);
    else
        run_http(number_of(argv[2], 65535), argv[3]);
    free(body);
    return 0;
}
