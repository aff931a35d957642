#include "upstream_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exchange_transport.h"
#include "front.h"

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void upstream_conn_close(struct upstream_conn *conn)
{
    upstream_endpoint_forget(conn->endpoint, conn);
    conn->endpoint = NULL;
    conn->exchange = NULL;
    uv_close((uv_handle_t *)&conn->poll, on_closed);
    close(conn->fd);
    conn->fd = -1;
}

static int finish_connect(struct upstream_conn *conn)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) {
        return -errno;
    }
    return -error;
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct upstream_conn *conn = poll->data;
    if (conn->endpoint == NULL) {
        return;
    }
    if (conn->exchange == NULL) {
        // Kept and yet readable: the upstream closed it, or says what nobody asked for.
        upstream_conn_close(conn);
        return;
    }
    if (conn->connecting) {
        int error = status < 0 ? status : finish_connect(conn);
        conn->connecting = false;
        if (error == 0) {
            upstream_conn_want(conn, true, false);
        }
        exchange_on_connected(conn->exchange, error);
        return;
    }
    if (status < 0) {
        // libuv has stopped the handle; the reads tell what there is, up to the error.
        conn->events = 0;
        conn->broken = true;
        events = UV_READABLE;
    }
    if ((events & UV_WRITABLE) != 0) {
        exchange_flush(conn->exchange);
    }
    // The call may be over by now, and the connection closed or kept.
    if ((events & UV_READABLE) != 0 && conn->exchange != NULL) {
        exchange_plain_readable(conn->exchange);
    }
    if (conn->broken && conn->exchange != NULL && !conn->exchange->reading_paused) {
        upstream_conn_want(conn, true, false);
    }
}

void upstream_conn_want(struct upstream_conn *conn, bool readable, bool writable)
{
    int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    if (events != conn->events) {
        conn->events = events;
        uv_poll_start(&conn->poll, events, on_event);
    }
}

int upstream_conn_open(struct upstream_endpoint *endpoint, struct upstream_conn **ret_conn)
{
    struct upstream_resolve *resolve = &endpoint->resolve;
    const struct upstream_address *address =
        &resolve->addresses[resolve->next++ % resolve->n_addresses];
    struct upstream_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        return -ENOMEM;
    }
    conn->fd = socket(address->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        int r = -errno;
        free(conn);
        return r;
    }
    if (address->sa.ss_family != AF_UNIX) {
        setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    }
    int r = connect(conn->fd, (const struct sockaddr *)&address->sa, address->len);
    conn->connecting = r < 0 && errno == EINPROGRESS;
    r = r < 0 && !conn->connecting ? -errno : 0;
    if (r == 0) {
        r = uv_poll_init(endpoint->pool->front->service->loop, &conn->poll, conn->fd);
    }
    if (r < 0) {
        close(conn->fd);
        free(conn);
        return r;
    }
    conn->poll.data = conn;
    conn->endpoint = endpoint;
    conn->address = *address;
    endpoint->n_open++;
    endpoint->pool->n_open++;
    upstream_conn_want(conn, !conn->connecting, conn->connecting);
    *ret_conn = conn;
    return 0;
}

ssize_t upstream_conn_read(struct upstream_conn *conn, void *to, size_t cap)
{
    ssize_t n;
    do {
        n = recv(conn->fd, to, cap, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t upstream_conn_write(struct upstream_conn *conn, const struct iovec *pieces, int n)
{
    struct msghdr message = {0};
    struct iovec copy[4];
    memcpy(copy, pieces, (size_t)n * sizeof(*pieces));
    message.msg_iov = copy;
    message.msg_iovlen = (size_t)n;
    ssize_t written;
    do {
        written = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    } while (written < 0 && errno == EINTR);
    return written < 0 ? -errno : written;
}
