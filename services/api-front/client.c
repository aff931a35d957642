#include "client.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer.h"
#include "base/assert.h"
#include "client_memory.h"
#include "counters.h"
#include "exchange.h"
#include "front.h"
#include "listener.h"
#include "request_life.h"
#include "upstream_pool.h"
#include "valves.h"

// So many turns may a connection stay among libmicrohttpd's ready ones with nothing to do; a turn
// costs about 0.1 us, suspending and resuming two epoll_ctl and a recv. With nothing else going on
// there is a turn each millisecond (listener.c).
#define WAIT_TURNS  20
#define WAITING_MAX 64
// After a last answer so long, and so much, of what the client still sends is read and dropped, and
// no longer than this in silence: closing over unread bytes is a reset, which takes an answer away
// that the client has not read yet (RFC 9112 9.6). The times are nginx's lingering_time and,
// shorter, lingering_timeout.
#define FAREWELL_MS       30000
#define FAREWELL_QUIET_MS 2000
#define FAREWELL_BYTES    (256u << 20)
#define PEEK_FROM_MS      100 // requests younger than this are not looked after
#define PEEK_EACH_MS      500
#define IDLE_FROM_MS      2000 // without a request: its memory is given back
// When calls are short an upload is judged by this part of BODY_RATE_PERIOD, in steps of an eighth.
#define CROWDED_STEPS 2

static struct client *client_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static struct front *front_of(const struct client *client)
{
    return client->listener->front;
}

bool client_is_tls(const struct client *client)
{
    return client->listener->tls != NULL;
}

struct arena *client_arena(struct request *request)
{
    return &request->arena;
}

// ---- waiting --------------------------------------------------------------------------------

static void end_wait(struct client *client)
{
    if (client->waiting) {
        client->waiting = false;
        client->listener->n_waiting--;
    }
    client->wait_turns = 0;
}

// Called by the handler or the content reader when there is nothing for libmicrohttpd to do.
static void wait_for_more(struct client *client)
{
    struct listener *listener = client->listener;
    client->wait_turns++;
    if (client->wait_turns <= WAIT_TURNS &&
        (client->waiting || listener->n_waiting < WAITING_MAX)) {
        listener->n_waiting += client->waiting ? 0 : 1;
        client->waiting = true;
        return;
    }
    end_wait(client);
    client->suspended = true;
    MHD_suspend_connection(client->connection);
}

static void suspend(struct client *client)
{
    end_wait(client);
    client->suspended = true;
    MHD_suspend_connection(client->connection);
}

static void resume(struct client *client)
{
    if (client->suspended) {
        client->suspended = false;
        MHD_resume_connection(client->connection);
    }
    listener_run_soon(client->listener);
}

void client_wake(struct request *request)
{
    if (request->client != NULL && !request->client->cut) {
        resume(request->client);
    }
}

void client_resume_for_stop(struct client *client)
{
    client->cut = true;
    if (client->suspended) {
        client->suspended = false;
        MHD_resume_connection(client->connection);
    }
}

// ---- ends -----------------------------------------------------------------------------------

// Ends the connection whatever state it is in; libmicrohttpd sees a hang-up.
static void cut(struct client *client)
{
    client->cut = true;
    shutdown(client->fd, SHUT_RDWR);
    resume(client);
}

static void cut_slow(struct client *client)
{
    counters_add(front_of(client)->valves, METRIC_INDEX_slow_clients, 1);
    cut(client);
}

// Bytes that libmicrohttpd has not read yet.
static bool has_unread(const struct client *client)
{
    char byte;
    return recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void client_close_when_idle(struct client *client)
{
    if (client->request != NULL || client->cut || client->read_shut || has_unread(client)) {
        return; // a request, or the beginning of one: it is answered first
    }
    // What arrived since that look is still read, then the end is seen: no request is lost.
    client->read_shut = true;
    shutdown(client->fd, SHUT_RD);
}

// libmicrohttpd takes no answer while the request's body is coming. A complete answer is written
// past it, as far as the socket takes it, and the rest of the body dropped for a moment, so that
// the client can read the answer before the connection ends.
static bool say_farewell(struct client *client)
{
    struct request *request = client->request;
    struct front *front = front_of(client);
    size_t len = answer_raw(request, (char *)front->scratch, FRONT_SCRATCH_BYTES);
    if (len == 0) {
        return false;
    }
    ssize_t sent = client_is_tls(client)
                       ? listener_tls_send(client->connection, front->scratch, len)
                       : send(client->fd, front->scratch, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 || (size_t)sent < len) {
        return false;
    }
    if (!client_is_tls(client)) {
        shutdown(client->fd, SHUT_WR);
    }
    request->queued = true;
    client->farewell = true;
    client->farewell_since_ms = client->heard_ms = front_now_ms(front);
    client->farewell_bytes = 0;
    resume(client);
    return true;
}

// ---- answers --------------------------------------------------------------------------------

void client_answer_ready(struct request *request)
{
    if (!request->ready && request->client != NULL) {
        listener_add_ready(request->client->listener, request);
    }
}

static uint64_t body_left(const struct request *request)
{
    if (request->stage == REQUEST_COMPLETE) {
        return 0;
    }
    return request->chunked ? 0 : request->content_length - request->bytes_in;
}

static bool queue_now(struct client *client, bool closing)
{
    struct request *request = client->request;
    closing = closing || client->read_shut || front_of(client)->drain != NULL;
    struct MHD_Response *response = answer_response(request, closing);
    bool queued = response != NULL &&
                  MHD_queue_response(client->connection, request->status, response) == MHD_YES;
    if (response != NULL) {
        MHD_destroy_response(response);
    }
    request->queued = true; // or never will be
    client->taken_ms = front_now_ms(front_of(client));
    client->taking_since_ms = 0;
    if (!queued) {
        cut(client);
    }
    return queued;
}

void client_queue_answer(struct request *request)
{
    struct client *client = request->client;
    if (request->queued || client->cut) {
        return;
    }
    if (request->stage == REQUEST_COMPLETE) {
        end_wait(client);
        queue_now(client, false);
        resume(client);
        return;
    }
    // The body goes on, and the upstream may want it although its answer has begun. Otherwise what
    // is left of it is dropped, or the connection ends with the answer.
    if (request_drops_body(request) &&
        body_left(request) > front_of(client)->params->body_discard_bytes &&
        !say_farewell(client)) {
        cut(client);
        return;
    }
    resume(client);
}

ssize_t client_read_answer(struct request *request, char *to, size_t cap)
{
    struct client *client = request->client;
    request_pump(request); // a body that was kept may still be on its way
    ssize_t n = client->cut ? -ECONNRESET : exchange_read(request->exchange, to, cap);
    client->taken_ms = front_now_ms(front_of(client));
    if (n > 0) {
        request->bytes_out += (uint64_t)n;
        client->listener->moved = true;
        end_wait(client);
        return n;
    }
    if (n == -ENODATA) {
        end_wait(client);
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (n < 0) {
        end_wait(client);
        if (request->http10 && request->exchange->answer.framing == ANSWER_OPEN) {
            // Only the end of the connection ends such an answer: this end must not look like it.
            struct linger reset = {.l_onoff = 1, .l_linger = 0};
            setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        }
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    wait_for_more(client);
    return 0;
}

size_t client_answer_head_max(const struct request *request)
{
    // Both heads lie in one pool. A header of the request takes its text and a record of 64 bytes;
    // arguments and cookies are taken apart into such records too.
    size_t used = strlen(request->method) + strlen(request->raw_target) + 64;
    for (const char *c = request->query; *c != '\0'; c++) {
        used += *c == '&' ? 64 : 0;
    }
    for (size_t i = 0; i < request->n_headers; i++) {
        const struct http_header *h = &request->headers[i];
        used += h->name_len + h->value_len + 4 + 64;
        if (http_name_is(h->name, h->name_len, "cookie")) {
            used += h->value_len + 64; // taken apart in a copy
            for (size_t k = 0; k < h->value_len; k++) {
                used += h->value[k] == ';' ? 64 : 0;
            }
        }
    }
    size_t own = 2048 + 2 * UPSTREAM_ANSWER_HEADERS_MAX; // our headers, and ": \r\n" for NULs
    size_t memory = request->front->params->client_memory_bytes;
    return memory > used + own ? memory - used - own : 0;
}

// ---- libmicrohttpd's calls ------------------------------------------------------------------

void *client_on_request_line(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct listener *listener = cls;
    struct client *client = client_of(connection);
    listener->moved = true;
    if (client == NULL || uri == NULL) {
        return NULL;
    }
    ASSERT(client->request == NULL);
    client->request = request_create(client, uri);
    client->n_requests++;
    return client->request;
}

// The first call for a request: its header is complete.
static enum MHD_Result on_header(struct client *client, const char *url, const char *method,
                                 const char *version)
{
    struct request *request = client->request;
    client->memory = client_memory_of(method);
    client->taken_ms = front_now_ms(front_of(client));
    rate_window_begin(&client->rate, client->taken_ms);
    client->rate_of_call = client->held = false;
    bool framed = request_begin(request, url, method, version);
    if (!framed) {
        // Where the next request begins is not sure: this is the connection's last answer.
        return queue_now(client, true) ? MHD_YES : MHD_NO;
    }
    if (request->has_body && request->answered && request->expects_continue) {
        return queue_now(client, true) ? MHD_YES : MHD_NO; // instead of 100, and no body comes
    }
    if (request->has_body && request->answered &&
        body_left(request) > front_of(client)->params->body_discard_bytes) {
        return say_farewell(client) ? MHD_YES : MHD_NO;
    }
    return MHD_YES; // without a body, the call for the complete request follows at once
}

static enum MHD_Result on_body(struct client *client, const char *data, size_t *size)
{
    struct request *request = client->request;
    rate_window_add(&client->rate, *size);
    if (client->farewell) {
        client->heard_ms = front_now_ms(front_of(client));
        client->farewell_bytes += *size;
    }
    if (client->farewell || request->queued) {
        *size = 0;
        return MHD_YES;
    }
    size_t taken = request_body(request, data, *size);
    *size -= taken;
    if (request->answered && !request->queued && request_drops_body(request) &&
        request->discarded > front_of(client)->params->body_discard_bytes &&
        !say_farewell(client)) {
        return MHD_NO;
    }
    if (*size > 0) {
        suspend(client); // until the exchange has room
        client->held = true;
    }
    return MHD_YES;
}

enum MHD_Result client_on_access(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload_data,
                                 size_t *upload_size, void **con_cls)
{
    (void)cls;
    (void)connection;
    struct request *request = *con_cls;
    if (request == NULL || request->client->cut) {
        return MHD_NO;
    }
    struct client *client = request->client;
    if (request->stage == REQUEST_HEADER) {
        client->listener->moved = true;
        return on_header(client, url, method, version);
    }
    if (*upload_size > 0) {
        client->listener->moved = true;
        return on_body(client, upload_data, upload_size);
    }
    if (client->farewell) {
        return MHD_NO; // all is said and read
    }
    if (request->stage == REQUEST_BODY) {
        request_complete(request);
    }
    if (request->queued) {
        return MHD_YES;
    }
    request_pump(request);
    if (request->answered) {
        end_wait(client);
        return queue_now(client, false) ? MHD_YES : MHD_NO;
    }
    wait_for_more(client);
    return MHD_YES;
}

void client_on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection;
    struct listener *listener = cls;
    struct request *request = *con_cls;
    listener->moved = true;
    *con_cls = NULL;
    if (request == NULL) {
        return;
    }
    struct client *client = request->client;
    end_wait(client);
    client->suspended = false;
    client->request = NULL;
    client->quiet_since_ms = front_now_ms(front_of(client));
    client->looked_after = false;
    request_end(request, code == MHD_REQUEST_TERMINATED_COMPLETED_OK || client->farewell);
}

// libmicrohttpd does not report the end of a request whose header it could not take whole (no
// memory for its cookies) nor refuse (no memory for that either): the end of the connection is its
// end.
static void end_unreported_request(struct client *client)
{
    struct request *request = client->request;
    if (request != NULL) {
        end_wait(client);
        client->request = NULL;
        request_end(request, false);
    }
}

static void fill_peer(struct client *client)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info != NULL && info->client_addr != NULL) {
        address_from_sockaddr(info->client_addr, &client->peer);
    }
    info = MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    client->fd = info != NULL ? info->connect_fd : -1;
}

static void client_open(struct listener *listener, struct MHD_Connection *connection,
                        void **socket_context)
{
    struct client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return; // its requests will be refused
    }
    client->listener = listener;
    client->connection = connection;
    client->quiet_since_ms = front_now_ms(listener->front);
    fill_peer(client);
    client->counted = listener_count_peer(listener, &client->peer);
    client->next = listener->clients;
    if (client->next != NULL) {
        client->next->previous = client;
    }
    listener->clients = client;
    listener->n_clients++;
    *socket_context = client;
    counters_add(listener->front->valves, METRIC_INDEX_accepted, 1);
}

void client_on_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct listener *listener = cls;
    listener->moved = true;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        client_open(listener, connection, socket_context);
        return;
    }
    struct client *client = *socket_context;
    if (client == NULL) {
        return;
    }
    *socket_context = NULL;
    end_unreported_request(client);
    if (client->counted != NULL) {
        address_counts_remove(&listener->per_address, client->counted);
    }
    *(client->previous != NULL ? &client->previous->next : &listener->clients) = client->next;
    if (client->next != NULL) {
        client->next->previous = client->previous;
    }
    listener->n_clients--;
    free(client);
}

// ---- deadlines ------------------------------------------------------------------------------

// Once reading is shut the socket says "end" by our own doing; then only a reset tells.
static bool has_left(const struct client *client)
{
    char byte;
    if (client->read_shut) {
        struct pollfd poll_fd = {.fd = client->fd};
        return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLERR | POLLHUP)) != 0;
    }
    ssize_t n = recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void tick_without_request(struct client *client, uint64_t now_ms)
{
    const struct front_params *params = front_of(client)->params;
    uint64_t quiet_ms = now_ms - client->quiet_since_ms;
    // An end that came together with the last request made no event of its own: libmicrohttpd
    // reads what is there and does not look again (edge-triggered epoll).
    if (client->n_requests > 0 && !client->looked_after && quiet_ms >= PEEK_FROM_MS) {
        client->looked_after = true;
        if (has_left(client)) {
            cut(client);
            return;
        }
    }
    if (client->memory != NULL && quiet_ms >= IDLE_FROM_MS) {
        client_memory_release(client->memory, params->client_memory_bytes);
        client->memory = NULL;
    }
    if (client->n_requests == 0 && quiet_ms >= params->header_timeout_ms) {
        cut_slow(client);
    } else if (client->n_requests > 0 && quiet_ms >= params->keepalive_idle_ms) {
        client_close_when_idle(client);
        if (client->read_shut) {
            client->n_requests = 0; // half a request line is no request: not waited for again
        }
    }
}

// docs/decisions/008: an upload that holds a call gives way when calls are short.
static bool is_too_slow(const struct client *client)
{
    const struct front_params *params = front_of(client)->params;
    const struct request *request = client->request;
    uint64_t period_ms = params->body_rate_period_ms;
    if (rate_window_is_below(&client->rate, period_ms, RATE_STEPS, params->body_min_rate)) {
        return true;
    }
    return client->rate_of_call && exchange_wants_body(request->exchange) &&
           rate_window_is_below(&client->rate, period_ms, CROWDED_STEPS, params->upload_min_rate) &&
           (valve_is_crowded(request) || upstream_pool_is_crowded(request->exchange->pool));
}

static void tick_body(struct client *client, uint64_t now_ms)
{
    const struct front_params *params = front_of(client)->params;
    struct request *request = client->request;
    if (request->exchange != NULL && !client->rate_of_call) {
        client->rate_of_call = true; // what was read ahead says nothing about the rest
        rate_window_begin(&client->rate, now_ms);
    }
    bool held = client->suspended || client->held;
    rate_window_look(&client->rate, now_ms, params->body_rate_period_ms, held);
    client->held = false;
    if (held) {
        return;
    }
    valve_upload_waits(request);
    if (!is_too_slow(client)) {
        return;
    }
    counters_add(front_of(client)->valves, METRIC_INDEX_slow_clients, 1);
    request_refuse_body(request, 408, "body_too_slow", "Request Timeout",
                        "The request body came too slowly.");
    if (!say_farewell(client)) {
        cut(client);
    }
}

static void tick_waiting(struct client *client, uint64_t now_ms)
{
    if (now_ms - client->request->line_ms < PEEK_FROM_MS ||
        now_ms - client->peeked_ms < PEEK_EACH_MS) {
        return;
    }
    client->peeked_ms = now_ms;
    if (has_left(client)) {
        if (client->request->exchange != NULL) {
            exchange_cancel(client->request->exchange);
        }
        cut(client);
    }
}

// A cut connection that is not in libmicrohttpd's epoll set at this moment makes no event there;
// its own timeout, a second, does not need one.
static void expire(struct client *client)
{
    if (!client->expiring && !client->suspended) {
        client->expiring = true;
        MHD_set_connection_option(client->connection, MHD_CONNECTION_OPTION_TIMEOUT, 1u);
    }
    listener_run_soon(client->listener);
}

// What the socket's buffer holds is not taken: it may be megabytes, and is refilled in large
// pieces.
static int64_t bytes_taken(const struct client *client)
{
    int unsent = 0;
    (void)ioctl(client->fd, SIOCOUTQ, &unsent);
    return (int64_t)client->request->bytes_out - unsent;
}

// The answer is on its way and the client's turn: it keeps up a rate, lest it hold a call for ever.
static void tick_answer(struct client *client, uint64_t now_ms)
{
    const struct front_params *params = front_of(client)->params;
    if (now_ms - client->taken_ms >= params->client_send_timeout_ms) {
        cut_slow(client);
        return;
    }
    uint64_t period_ms = now_ms - client->taking_since_ms;
    if (client->taking_since_ms != 0 && period_ms < params->client_send_timeout_ms) {
        return;
    }
    int64_t taken = bytes_taken(client);
    int64_t wanted = (int64_t)(params->answer_min_rate * period_ms / 1000);
    bool slow = client->taking_since_ms != 0 && taken - client->taking_bytes < wanted;
    client->taking_since_ms = now_ms;
    client->taking_bytes = taken;
    if (slow) {
        cut_slow(client);
    }
}

static void tick_farewell(struct client *client, uint64_t now_ms)
{
    bool leaving = front_of(client)->drain != NULL; // of the process: there is no time for more
    uint64_t bound_ms = leaving ? FAREWELL_QUIET_MS : FAREWELL_MS;
    if (now_ms - client->heard_ms >= FAREWELL_QUIET_MS ||
        now_ms - client->farewell_since_ms >= bound_ms ||
        client->farewell_bytes >= FAREWELL_BYTES) {
        cut(client);
    }
}

void client_tick(struct client *client, uint64_t now_ms)
{
    const struct front_params *params = front_of(client)->params;
    struct request *request = client->request;
    if (client->cut) {
        expire(client);
        return;
    }
    if (client->farewell) {
        tick_farewell(client, now_ms);
    } else if (request == NULL) {
        tick_without_request(client, now_ms);
    } else if (request->stage == REQUEST_HEADER) {
        if (now_ms - request->line_ms >= params->header_timeout_ms) {
            cut_slow(client);
        }
    } else if (request->stage == REQUEST_BODY && !request->queued) {
        tick_body(client, now_ms);
    } else if (!request->queued) {
        tick_waiting(client, now_ms);
    } else if (client->suspended || client->waiting) {
        client->taken_ms = now_ms; // the upstream's turn
        client->taking_since_ms = 0;
        tick_waiting(client, now_ms);
    } else {
        tick_answer(client, now_ms);
    }
}
