// The transport of plain HTTP: one connection of the endpoint's, read and written as it can be.
#include <errno.h>
#include <sys/socket.h>

#include "exchange_transport.h"
#include "front.h"
#include "upstream_conn.h"

// Is a kept connection still good? Closed: a request that cannot be repeated would be lost on it.
// Bytes that nobody asked for, come in the same turn of the loop as the request: they would be its
// answer.
static bool is_quiet(const struct upstream_conn *conn)
{
    char byte;
    return recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static struct upstream_conn *take_kept(struct exchange *x)
{
    struct upstream_conn *conn;
    while (!x->retried && (conn = upstream_endpoint_take_idle(x->endpoint)) != NULL) {
        if (is_quiet(conn)) {
            return conn;
        }
        upstream_conn_close(conn);
    }
    return NULL;
}

static int open_plain(struct exchange *x)
{
    struct upstream_conn *conn = take_kept(x);
    x->conn_was_kept = conn != NULL;
    int r = conn != NULL ? 0 : upstream_conn_open(x->endpoint, &conn);
    if (r < 0) {
        return r;
    }
    x->conn = conn;
    conn->exchange = x;
    x->phase = conn->connecting ? EXCHANGE_CONNECTING : EXCHANGE_OPEN;
    return 0;
}

static void close_plain(struct exchange *x, bool keep)
{
    struct upstream_conn *conn = x->conn;
    if (conn == NULL) {
        return;
    }
    x->conn = NULL;
    conn->exchange = NULL;
    if (keep && !conn->broken) {
        upstream_conn_want(conn, true, false);
        upstream_endpoint_keep(x->endpoint, conn);
    } else {
        upstream_conn_close(conn);
    }
}

static void advance_sent(struct exchange *x, size_t n)
{
    size_t head = x->head_len - x->head_sent;
    size_t of_head = n < head ? n : head;
    x->head_sent += of_head;
    body_take(&x->out, n - of_head);
    x->progress_ms = front_now_ms(x->front);
}

// One write of all that is pending. True when all of it went.
static bool write_pending(struct exchange *x)
{
    struct iovec pieces[3];
    int n = 0;
    if (x->head_sent < x->head_len) {
        pieces[n++] = (struct iovec){.iov_base = x->head + x->head_sent,
                                     .iov_len = x->head_len - x->head_sent};
    }
    n += body_peek(&x->out, pieces + n);
    size_t pending = x->head_len - x->head_sent + body_unread(&x->out);
    if (pending == 0) {
        return true;
    }
    ssize_t written = upstream_conn_write(x->conn, pieces, n);
    if (written < 0 && written != -EAGAIN) {
        // It may have answered before it closed: the reading side tells. Nothing is dropped, since
        // the request may have to be sent again.
        x->write_failed = true;
        exchange_expect_answer(x);
        return true;
    }
    if (written > 0) {
        advance_sent(x, (size_t)written);
    }
    return (size_t)(written > 0 ? written : 0) == pending;
}

static void flush_plain(struct exchange *x)
{
    bool all = write_pending(x);
    if (x->write_failed) {
        if (x->request->answered) {
            exchange_stop_sending(x); // the client waits to be rid of its body
        }
        upstream_conn_want(x->conn, !x->reading_paused, false);
        return;
    }
    upstream_conn_want(x->conn, !x->reading_paused, !all);
    exchange_sent(x, all);
}

static void pause_plain(struct exchange *x, bool paused)
{
    upstream_conn_want(x->conn, !paused, (x->conn->events & UV_WRITABLE) != 0);
}

void exchange_plain_readable(struct exchange *x)
{
    size_t cap = body_room(&x->in);
    cap = cap < FRONT_SCRATCH_BYTES ? cap : FRONT_SCRATCH_BYTES;
    if (cap == 0) {
        return;
    }
    ssize_t n = upstream_conn_read(x->conn, x->front->scratch, cap);
    if (n == -EAGAIN) {
        return;
    }
    if (n <= 0) {
        if (n == 0 && upstream_answer_eof(&x->answer) == 0) {
            exchange_deliver(x);
        } else {
            exchange_lost(x);
        }
        return;
    }
    if (x->head_sent == 0) {
        exchange_lost(x); // it answers what nobody has asked
        return;
    }
    exchange_answer_begins(x);
    x->progress_ms = front_now_ms(x->front);
    int r = upstream_answer_feed(&x->answer, (const char *)x->front->scratch, (size_t)n);
    if (r < 0) {
        exchange_refuse_answer(x, r);
        return;
    }
    if (x->broken) {
        exchange_finish(x, EXCHANGE_POOL_FULL); // no memory: also a complete answer lacks a part
        return;
    }
    exchange_deliver(x);
}

const struct exchange_transport exchange_plain = {
    .open = open_plain,
    .close = close_plain,
    .flush = flush_plain,
    .pause = pause_plain,
    .frames_chunks = true,
};
