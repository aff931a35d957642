#include "net/http_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/parse.h"

#define CONNECTIONS_MAX  64
#define IDLE_SECONDS     10
#define CONNECTION_BYTES (16 * 1024)
#define BACKLOG          128

struct visitor { // a connection
    struct visitor *next, *previous;
    int fd;
    uint64_t since_ms; // accepted, head complete, or answer complete
};

struct http_server {
    struct MHD_Daemon *daemon;
    uv_loop_t *loop;
    struct visitor *visitors;
    uv_poll_t poll;   // of the daemon's epoll descriptor
    uv_timer_t timer; // the daemon's next timeout
    unsigned open_handles;
    http_answer_fn *answer;
    void *arg;
    uint64_t requests;
};

// ADDRESS:PORT with the address in brackets when it is IPv6.
static int address_parse_listen(const char *text, struct sockaddr_storage *ret_sockaddr,
                                socklen_t *ret_len)
{
    const char *colon = strrchr(text, ':');
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct address address;
    uint64_t port;

    if (!colon || colon == text || parse_u64(colon + 1, 0, 65535, &port) < 0 ||
        address_parse(text, (size_t)(colon - text), &address) < 0)
        return -EINVAL;
    // The address alone, without what address_parse also takes: a port, brackets around IPv4.
    if (address.family == 6 ? text[0] != '[' || colon[-1] != ']'
                            : text[0] == '[' || memchr(text, ':', (size_t)(colon - text)) != NULL)
        return -EINVAL;
    memset(ret_sockaddr, 0, sizeof(*ret_sockaddr));
    if (address.family == 4) {
        v4.sin_port = htons((uint16_t)port);
        memcpy(&v4.sin_addr, address.bytes, 4);
        memcpy(ret_sockaddr, &v4, sizeof(v4));
        *ret_len = sizeof(v4);
    } else {
        v6.sin6_port = htons((uint16_t)port);
        memcpy(&v6.sin6_addr, address.bytes, 16);
        memcpy(ret_sockaddr, &v6, sizeof(v6));
        *ret_len = sizeof(v6);
    }
    return port ? 1 : 0;
}

bool http_address_is_valid(const char *text)
{
    struct sockaddr_storage address;
    socklen_t len;

    return address_parse_listen(text, &address, &len) >= 0;
}

static int socket_listen(const struct sockaddr_storage *address, socklen_t len)
{
    const int on = 1;
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = 0;

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (address->ss_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
        bind(fd, (const struct sockaddr *)address, len) < 0 || listen(fd, BACKLOG) < 0)
        error = -errno;
    if (!error)
        return fd;
    close(fd);
    return error;
}

// libmicrohttpd's timeout counts from the last byte either way, which a dripping client renews for
// ever; 64 of them were all there is.
void http_server_expire(struct http_server *server, uint64_t now_ms)
{
    for (struct visitor *visitor = server->visitors; visitor; visitor = visitor->next)
        if (now_ms >= visitor->since_ms + HTTP_SERVER_PATIENCE_MS)
            shutdown(visitor->fd, SHUT_RDWR); // a hang-up, as the daemon sees it
}

static void connection_changed(void *arg, struct MHD_Connection *connection, void **context,
                               enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = arg;
    struct visitor *visitor = *context;
    const union MHD_ConnectionInfo *info;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        visitor = info ? calloc(1, sizeof(*visitor)) : NULL;
        if (!visitor)
            return; // libmicrohttpd's own timeout is what is left
        visitor->fd = info->connect_fd;
        visitor->since_ms = uv_now(server->loop);
        visitor->next = server->visitors;
        if (visitor->next)
            visitor->next->previous = visitor;
        server->visitors = visitor;
        *context = visitor;
    } else if (visitor) {
        *context = NULL;
        *(visitor->previous ? &visitor->previous->next : &server->visitors) = visitor->next;
        if (visitor->next)
            visitor->next->previous = visitor->previous;
        free(visitor);
    }
}

static void patience_anew(struct http_server *server, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct visitor *visitor = info ? info->socket_context : NULL;

    if (visitor)
        visitor->since_ms = uv_now(server->loop);
}

static void request_completed(void *arg, struct MHD_Connection *connection, void **context,
                              enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)code;
    patience_anew(arg, connection);
}

// Lets the daemon work and asks when it wants to be called again at the latest.
static void server_turn(struct http_server *server);

static void server_timer_due(uv_timer_t *timer)
{
    server_turn(timer->data);
}

static void server_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    server_turn(poll->data);
}

static void server_turn(struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;

    http_server_expire(server, uv_now(server->loop)); // a dripping client makes turns
    MHD_run(server->daemon);
    if (MHD_get_timeout(server->daemon, &timeout_ms) == MHD_YES)
        uv_timer_start(&server->timer, server_timer_due, timeout_ms, 0);
    else
        uv_timer_stop(&server->timer);
}

const char *http_question_argument(const struct http_question *question, const char *name)
{
    const char *value = NULL;
    size_t len = 0;
    // libmicrohttpd takes the connection without const, and does not change it here.
    struct MHD_Connection *connection = (struct MHD_Connection *)(uintptr_t)question->connection;

    if (MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value,
                                      &len) != MHD_YES)
        return NULL;
    return value ? value : "";
}

static enum MHD_Result answer_queue(struct MHD_Connection *connection, struct http_answer *answer,
                                    const char *allow)
{
    bool is_whole = strbuf_ok(&answer->body);
    size_t len = is_whole ? answer->body.len : 0;
    char *text = strbuf_take(&answer->body);
    struct MHD_Response *response;
    enum MHD_Result result;

    if (!is_whole)
        answer->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    response = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type);
    for (size_t i = 0; i < HTTP_ANSWER_FIELDS && answer->fields[i].name; i++)
        MHD_add_response_header(response, answer->fields[i].name, answer->fields[i].value);
    if (!MHD_get_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL))
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (allow)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    result = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static void question_peer(struct MHD_Connection *connection, struct address *ret_peer)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    *ret_peer = (struct address){0};
    if (info && info->client_addr)
        address_from_sockaddr(info->client_addr, ret_peer);
}

static enum MHD_Result request_came(void *arg, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version,
                                    const char *upload_data, size_t *upload_data_size,
                                    void **context)
{
    struct http_server *server = arg;
    struct http_question question = {.path = url, .connection = connection};
    struct http_answer answer = {.status = MHD_HTTP_OK,
                                 .content_type = "text/plain; charset=utf-8"};

    (void)version;
    (void)upload_data;
    (void)upload_data_size;
    (void)context;
    server->requests++;
    patience_anew(server, connection);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        answer.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        strbuf_puts(&answer.body, "only GET and HEAD are served here\n");
        return answer_queue(connection, &answer, "GET, HEAD");
    }
    question.accept =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    if (!question.accept)
        question.accept = "";
    question.if_none_match =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH);
    if (!question.if_none_match)
        question.if_none_match = "";
    question_peer(connection, &question.peer);
    server->answer(server->arg, &question, &answer);
    return answer_queue(connection, &answer, NULL);
}

static int daemon_start(struct http_server *server, int listener)
{
    const union MHD_DaemonInfo *info;

    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, request_came, server, MHD_OPTION_LISTEN_SOCKET, listener,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_CONNECTION, connection_changed, server,
        MHD_OPTION_NOTIFY_COMPLETED, request_completed, server, MHD_OPTION_END);
    if (!server->daemon) {
        close(listener);
        return -EIO;
    }
    info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return info ? info->epoll_fd : -EIO;
}

static int server_watch(struct http_server *server, uv_loop_t *loop, int fd)
{
    int error = uv_poll_init(loop, &server->poll, fd);

    if (error < 0)
        return error;
    uv_timer_init(loop, &server->timer);
    server->poll.data = server->timer.data = server;
    server->open_handles = 2;
    return uv_poll_start(&server->poll, UV_READABLE, server_readable);
}

int http_server_open(uv_loop_t *loop, const char *address, http_answer_fn *answer, void *arg,
                     struct http_server **ret_server)
{
    struct sockaddr_storage sockaddr;
    socklen_t len;
    struct http_server *server;
    int listener, error = address_parse_listen(address, &sockaddr, &len);

    if (error <= 0) {
        if (!error)
            *ret_server = NULL;
        return error;
    }
    listener = socket_listen(&sockaddr, len);
    if (listener < 0)
        return listener;
    server = calloc(1, sizeof(*server));
    if (!server) {
        close(listener);
        return -ENOMEM;
    }
    server->answer = answer;
    server->arg = arg;
    server->loop = loop;
    error = daemon_start(server, listener);
    if (error >= 0)
        error = server_watch(server, loop, error);
    if (error < 0) {
        if (server->daemon)
            MHD_stop_daemon(server->daemon);
        free(server);
        return error;
    }
    *ret_server = server;
    return 0;
}

static void server_closed(uv_handle_t *handle)
{
    struct http_server *server = handle->data;

    if (--server->open_handles == 0)
        free(server);
}

void http_server_close(struct http_server **server_pointer)
{
    struct http_server *server = *server_pointer;

    if (!server)
        return;
    *server_pointer = NULL;
    uv_close((uv_handle_t *)&server->poll, server_closed); // leaves our epoll before its fd goes
    uv_close((uv_handle_t *)&server->timer, server_closed);
    MHD_stop_daemon(server->daemon);
}

uint64_t http_server_requests(const struct http_server *server)
{
    return server ? server->requests : 0;
}
