// Asks a limiter's commands socket as fast as it answers: one check at a time, pipelined, or in
// batches of 100; protobuf's own bytes. Prints one line: the mode, how many checks were answered in
// how many seconds, and the median and the 99th percentile of what one took when alone (else 0).
//
//   bench_check SOCKET single|pipelined|batch SECONDS [KEYS]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/parse.h"

#define WINDOW_SINGLE_MAX 500 // requests on their way when pipelined
#define WINDOW_BATCH_MAX  16
#define BATCH             100
#define WAIT_MS           2000
#define LATENCY_MAX_US    100000

static unsigned n_keys = 10000, next_key;
static uint64_t latencies[LATENCY_MAX_US + 1]; // how many took so many microseconds; the last: more

// LimitCheck{client: "10.a.b.c"}, as field 1 of a batch when asked for.
static size_t put_check(unsigned char *out, bool in_batch)
{
    char client[16];
    unsigned key = next_key++ % n_keys;
    size_t len = (size_t)snprintf(client, sizeof(client), "10.%u.%u.%u", key >> 16 & 255,
                                  key >> 8 & 255, key & 255);
    size_t n = 0;
    if (in_batch) {
        out[n++] = 1 << 3 | 2;
        out[n++] = (unsigned char)(len + 2);
    }
    out[n++] = 1 << 3 | 2;
    out[n++] = (unsigned char)len;
    memcpy(out + n, client, len);
    return n + len;
}

static int ask(void *socket, const char *topic, unsigned checks)
{
    unsigned char message[BATCH * 20];
    size_t len = 0;
    for (unsigned i = 0; i < checks; i++)
        len += put_check(message + len, checks > 1);
    if (zmq_send(socket, "", 0, ZMQ_SNDMORE) < 0 ||
        zmq_send(socket, topic, strlen(topic), ZMQ_SNDMORE) < 0 ||
        zmq_send(socket, message, len, 0) < 0)
        return -1;
    return 0;
}

// Returns 0 for an answer of this topic.
static int take(void *socket, const char *topic)
{
    char answered[64] = "", body[BATCH * 200];
    if (zmq_recv(socket, body, sizeof(body), 0) < 0 ||
        zmq_recv(socket, answered, sizeof(answered) - 1, 0) < 0 ||
        zmq_recv(socket, body, sizeof(body), 0) < 0)
        return -1;
    return strcmp(answered, topic) == 0 ? 0 : -1;
}

static unsigned long percentile_us(uint64_t n, unsigned percent)
{
    unsigned long us = 0;
    for (uint64_t seen = latencies[0]; seen * 100 < n * percent && us < LATENCY_MAX_US;)
        seen += latencies[++us];
    return us;
}

static int run(void *socket, const char *mode, uint64_t seconds)
{
    bool is_batch = strcmp(mode, "batch") == 0;
    const char *topic = is_batch ? "limit.check.batch" : "limit.check";
    unsigned checks = is_batch ? BATCH : 1;
    unsigned window = is_batch                      ? WINDOW_BATCH_MAX
                      : strcmp(mode, "single") == 0 ? 1
                                                    : WINDOW_SINGLE_MAX;
    uint64_t begin_ns = clock_mono_ns(), end_ns = begin_ns + seconds * NS_PER_S, answers = 0;
    for (unsigned i = 0; i < window; i++)
        if (ask(socket, topic, checks) < 0)
            return -1;
    for (uint64_t asked_ns = begin_ns, now_ns = begin_ns; now_ns < end_ns; asked_ns = now_ns) {
        // As many again as have been answered: half a window at a time when pipelined.
        unsigned turn = window > 1 ? window / 2 : 1;
        for (unsigned i = 0; i < turn; i++, answers++)
            if (take(socket, topic) < 0)
                return -1;
        now_ns = clock_mono_ns();
        uint64_t took_us = (now_ns - asked_ns) / NS_PER_US;
        latencies[took_us < LATENCY_MAX_US ? took_us : LATENCY_MAX_US] += window == 1;
        for (unsigned i = 0; i < turn; i++)
            if (ask(socket, topic, checks) < 0)
                return -1;
    }
    double taken_s = (double)(clock_mono_ns() - begin_ns) / NS_PER_S;
    uint64_t n = window == 1 ? answers : 0;
    printf("%s checks %lu seconds %.3f p50_us %lu p99_us %lu\n", mode,
           (unsigned long)(answers * checks), taken_s, percentile_us(n, 50), percentile_us(n, 99));
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t seconds = 0, keys = n_keys;
    int wait_ms = WAIT_MS, linger_ms = 0;
    char address[160];
    if (argc < 4 || parse_u64(argv[3], 1, 3600, &seconds) != 0 ||
        (argc > 4 && parse_u64(argv[4], 1, 1 << 24, &keys) != 0)) {
        fputs("usage: bench_check SOCKET single|pipelined|batch SECONDS [KEYS]\n", stderr);
        return 2;
    }
    n_keys = (unsigned)keys;
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_DEALER);
    snprintf(address, sizeof(address), "ipc://%s", argv[1]);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms));
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &wait_ms, sizeof(wait_ms));
    zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
    int error = zmq_connect(socket, address) < 0 ? -1 : run(socket, argv[2], seconds);
    if (error < 0)
        fprintf(stderr, "bench_check: %s\n", zmq_strerror(zmq_errno()));
    zmq_close(socket);
    zmq_ctx_term(context);
    return error < 0 ? 1 : 0;
}
