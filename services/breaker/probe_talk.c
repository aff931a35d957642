#include "probe_talk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "net/pool.h"
#include "probe_threads.h"

#define LINE_MAX_BYTES 512 // RFC 5321 4.5.3.1.5; a longer one is cut

struct probe_talk {
    uv_loop_t *loop;
    struct probe_place place;
    struct probe_script script;
    probe_talk_fn *on_end; // NULL: nobody waits any more
    void *arg;
    uv_getaddrinfo_t lookup;
    bool looking_up;
    struct addrinfo *addresses, *address; // found, and the one that is tried; NULL: `literal`
    struct sockaddr_storage literal;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } socket;
    bool has_socket;
    uv_connect_t connect;
    struct strbuf out;
    char line[LINE_MAX_BYTES + 1];
    size_t line_len;
    char chunk[1024];
};

static void connect_next(struct probe_talk *talk);

static void release(struct probe_talk *talk)
{
    if (talk->looking_up || talk->has_socket)
        return;
    if (talk->addresses != NULL)
        uv_freeaddrinfo(talk->addresses);
    strbuf_fini(&talk->out);
    free(talk);
}

static void on_closed(uv_handle_t *handle)
{
    struct probe_talk *talk = handle->data;
    talk->has_socket = false;
    if (talk->on_end != NULL)
        connect_next(talk);
    else
        release(talk);
}

static void close_socket(struct probe_talk *talk)
{
    if (talk->has_socket && !uv_is_closing(&talk->socket.handle))
        uv_close(&talk->socket.handle, on_closed);
}

static void end(struct probe_talk *talk, const char *why)
{
    probe_talk_fn *on_end = talk->on_end;
    if (on_end == NULL)
        return;
    talk->on_end = NULL;
    on_end(talk->arg, why);
    if (talk->has_socket)
        close_socket(talk);
    else
        release(talk);
}

// What is said is short and the socket's buffer empty: it goes at once or there is something wrong.
static bool send_out(struct probe_talk *talk)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)strbuf_text(&talk->out), (unsigned)talk->out.len);
    bool sent = strbuf_ok(&talk->out) &&
                (buf.len == 0 || uv_try_write(&talk->socket.stream, &buf, 1) == (int)buf.len);
    strbuf_clear(&talk->out);
    return sent;
}

// True: it goes on. False: that was the end.
static bool take_step(struct probe_talk *talk, enum probe_step step)
{
    char why[LINE_MAX_BYTES + 16];
    snprintf(why, sizeof(why), "it said: %s", talk->line);
    bool sent = step == PROBE_BAD || send_out(talk);
    if (step == PROBE_READ && sent)
        return true;
    end(talk, step == PROBE_BAD ? why : sent ? NULL : "it took nothing");
    return false;
}

// A byte of what it says; false as take_step().
static bool take_byte(struct probe_talk *talk, char byte)
{
    if (byte != '\n') {
        if (talk->line_len < LINE_MAX_BYTES)
            talk->line[talk->line_len++] = byte >= 0x20 && byte < 0x7f ? byte : ' ';
        return true;
    }
    while (talk->line_len > 0 && talk->line[talk->line_len - 1] == ' ')
        talk->line_len--; // the CR, and what is blank before it
    talk->line[talk->line_len] = '\0';
    talk->line_len = 0;
    return take_step(talk, probe_script_line(&talk->script, talk->line, &talk->out));
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *ret_buf)
{
    struct probe_talk *talk = handle->data;
    (void)wanted;
    *ret_buf = uv_buf_init(talk->chunk, sizeof(talk->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct probe_talk *talk = stream->data;
    bool goes_on = talk->on_end != NULL;
    if (n < 0)
        end(talk, n == UV_EOF ? "it closed the connection" : uv_strerror((int)n));
    for (ssize_t i = 0; i < n && goes_on; i++)
        goes_on = take_byte(talk, buf->base[i]);
}

// The next address, if there is one, may do better.
static void address_failed(struct probe_talk *talk, int status)
{
    if (talk->address == NULL || talk->address->ai_next == NULL) {
        end(talk, uv_strerror(status));
        return;
    }
    talk->address = talk->address->ai_next;
    close_socket(talk); // on_closed() goes on
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct probe_talk *talk = connect->data;
    if (talk->on_end == NULL)
        return;
    int r = status < 0 ? 0 : uv_read_start(&talk->socket.stream, on_alloc, on_read);
    if (status < 0)
        address_failed(talk, status);
    else if (r < 0)
        end(talk, uv_strerror(r));
    else
        (void)take_step(talk, probe_script_begin(&talk->script, &talk->out));
}

static int connect_tcp(struct probe_talk *talk)
{
    int r = uv_tcp_init(talk->loop, &talk->socket.tcp);
    if (r < 0)
        return r;
    talk->has_socket = true;
    talk->socket.handle.data = talk;
    talk->connect.data = talk;
    const struct sockaddr *to =
        talk->address != NULL ? talk->address->ai_addr : (const struct sockaddr *)&talk->literal;
    return uv_tcp_connect(&talk->connect, &talk->socket.tcp, to, on_connected);
}

static int connect_unix(struct probe_talk *talk)
{
    int r = uv_pipe_init(talk->loop, &talk->socket.pipe, 0);
    if (r < 0)
        return r;
    talk->has_socket = true;
    talk->socket.handle.data = talk;
    talk->connect.data = talk;
    uv_pipe_connect(&talk->connect, &talk->socket.pipe, talk->place.unix_path, on_connected);
    return 0;
}

static void connect_next(struct probe_talk *talk)
{
    int r = talk->place.unix_path != NULL ? connect_unix(talk) : connect_tcp(talk);
    if (r < 0 && talk->has_socket)
        address_failed(talk, r);
    else if (r < 0)
        end(talk, uv_strerror(r));
}

static void on_found(uv_getaddrinfo_t *lookup, int status, struct addrinfo *addresses)
{
    struct probe_talk *talk = lookup->data;
    talk->looking_up = false;
    probe_thread_give(PROBE_THREAD_LOOKUP);
    talk->addresses = talk->address = addresses;
    if (talk->on_end == NULL)
        release(talk);
    else if (status < 0 || addresses == NULL)
        end(talk, status < 0 ? uv_strerror(status) : "its name has no address");
    else
        connect_next(talk);
}

static int look_up(struct probe_talk *talk)
{
    char port[8];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (!probe_thread_take(PROBE_THREAD_LOOKUP))
        return -EAGAIN;
    snprintf(port, sizeof(port), "%u", (unsigned)talk->place.port);
    talk->lookup.data = talk;
    int r = name_lookup(talk->loop, &talk->lookup, on_found, talk->place.host, port, &hints);
    talk->looking_up = r == 0;
    if (r < 0)
        probe_thread_give(PROBE_THREAD_LOOKUP);
    return r;
}

static int begin(struct probe_talk *talk)
{
    const struct probe_place *place = &talk->place;
    if (place->unix_path != NULL)
        return connect_unix(talk);
    if (uv_ip4_addr(place->host, place->port, (struct sockaddr_in *)&talk->literal) == 0 ||
        uv_ip6_addr(place->host, place->port, (struct sockaddr_in6 *)&talk->literal) == 0)
        return connect_tcp(talk);
    return look_up(talk);
}

int probe_talk_start(uv_loop_t *loop, const struct probe_place *place,
                     const struct probe_script *script, probe_talk_fn *on_end, void *arg,
                     struct probe_talk **ret_talk)
{
    struct probe_talk *talk = calloc(1, sizeof(*talk));
    if (talk == NULL)
        return -ENOMEM;
    *talk = (struct probe_talk){.loop = loop,
                                .place = *place,
                                .script = *script,
                                .on_end = on_end,
                                .arg = arg,
                                .out = STRBUF_INIT};
    int r = begin(talk);
    if (r < 0)
        probe_talk_cancel(&talk);
    else
        *ret_talk = talk;
    return r;
}

void probe_talk_cancel(struct probe_talk **talk_p)
{
    struct probe_talk *talk = *talk_p;
    *talk_p = NULL;
    if (talk == NULL)
        return;
    talk->on_end = NULL;
    if (talk->looking_up)
        uv_cancel((uv_req_t *)&talk->lookup); // on_found() releases it either way
    else if (talk->has_socket)
        close_socket(talk);
    else
        release(talk);
}
