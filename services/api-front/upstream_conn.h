// One connection to an upstream endpoint: a non-blocking socket that stands in epoll once, for its
// life. It is asked for writability only while connecting or after a write that did not go through,
// so an ordinary call costs one write and one read.
// Ownership: an exchange's while it is in use, the endpoint's while it is kept. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_UPSTREAM_CONN_H
#define VALVECHAIN_API_FRONT_UPSTREAM_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <uv.h>

#include "upstream_pool.h"

struct exchange;

struct upstream_conn {
    struct upstream_endpoint *endpoint; // NULL once closed
    struct exchange *exchange;          // NULL: kept
    struct upstream_address address;    // it leads to
    uv_poll_t poll;
    int fd;
    int events; // what is asked of epoll
    bool connecting;
    bool broken; // the socket has an error; what it still holds may be read, no more
    bool is_idle;
    struct upstream_conn *newer, *older; // among the kept ones
    uint64_t idle_since_ms;
};

// Begins to connect to the endpoint's next address. -errno when that fails at once.
int upstream_conn_open(struct upstream_endpoint *endpoint, struct upstream_conn **ret_conn);
void upstream_conn_close(struct upstream_conn *conn);
// What the exchange waits for besides errors.
void upstream_conn_want(struct upstream_conn *conn, bool readable, bool writable);
// Bytes, 0 at the end of the stream, -EAGAIN, or -errno.
ssize_t upstream_conn_read(struct upstream_conn *conn, void *to, size_t cap);
ssize_t upstream_conn_write(struct upstream_conn *conn, const struct iovec *pieces, int n);

#endif
