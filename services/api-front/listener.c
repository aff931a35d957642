#include "listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "client.h"
#include "counters.h"
#include "front.h"
#include "listen_socket.h"
#include "valves.h"

// While connections wait in libmicrohttpd's list it always asks to be run again at once. What it
// might really have to do then (a header larger than one read) is looked after this often.
#define LATER_MS 1

static const char *parameter_of(const struct listener *listener)
{
    return listener->admin ? "ADMIN_PORT" : "PORT";
}

void listener_run_soon(struct listener *listener)
{
    listener->run_wanted = true;
}

void listener_add_ready(struct listener *listener, struct request *request)
{
    request->ready = true;
    request->ready_next = NULL;
    if (listener->ready_last != NULL) {
        listener->ready_last->ready_next = request;
    } else {
        listener->ready_first = request;
    }
    listener->ready_last = request;
    listener->run_wanted = true;
}

void listener_remove_ready(struct listener *listener, struct request *request)
{
    if (!request->ready) {
        return;
    }
    struct request *before = NULL;
    struct request *at = listener->ready_first;
    while (at != request) {
        before = at;
        at = at->ready_next;
    }
    *(before != NULL ? &before->ready_next : &listener->ready_first) = request->ready_next;
    if (listener->ready_last == request) {
        listener->ready_last = before;
    }
    request->ready = false;
}

static void queue_ready(struct listener *listener)
{
    while (listener->ready_first != NULL) {
        struct request *request = listener->ready_first;
        listener_remove_ready(listener, request);
        client_queue_answer(request); // may end the request
    }
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; // its being active is all: the loop does not sleep
}

static void on_later(uv_timer_t *timer)
{
    listener_run_soon(timer->data);
}

// Decides when libmicrohttpd is to be run next, if nothing else happens.
static void plan_next_run(struct listener *listener)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;
    bool at_once = MHD_get_timeout(listener->daemon, &timeout_ms) == MHD_YES && timeout_ms == 0;
    bool unclear = at_once && listener->n_waiting > 0 && !listener->moved;
    if (unclear && !uv_is_active((uv_handle_t *)&listener->later)) {
        uv_timer_start(&listener->later, on_later, LATER_MS, 0);
    }
    if (at_once && !unclear) {
        listener->run_wanted = true;
        uv_idle_start(&listener->idle, on_idle);
    } else {
        uv_idle_stop(&listener->idle);
    }
}

static void run(struct listener *listener)
{
    if (!listener->run_wanted || listener->daemon == NULL) {
        return;
    }
    listener->run_wanted = false;
    listener->moved = false;
    queue_ready(listener);
    MHD_run(listener->daemon);
    plan_next_run(listener);
    if (listener->run_wanted) {
        uv_idle_start(&listener->idle, on_idle);
    }
}

static void on_prepare(uv_prepare_t *prepare)
{
    run(prepare->data);
}

static void on_check(uv_check_t *check)
{
    struct listener *listener = check->data;
    run(listener);
}

static void on_epoll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    listener_run_soon(poll->data);
}

// ---- limits of connections --------------------------------------------------------------------

static void key_of_peer(const struct listener *listener, const struct address *peer,
                        struct address *ret_key)
{
    *ret_key = *peer;
    if (peer->family == 6) {
        address_mask(ret_key,
                     (unsigned)valves_limits_params(listener->front->valves)->ipv6_prefix_bits);
    }
}

// Trusted proxies carry the connections of many clients; a Unix socket has no address.
static bool is_bound(const struct listener *listener, const struct address *peer)
{
    return peer->family != 0 && !cidr_list_has(&listener->front->valves->trusted_proxies, peer);
}

struct address_count *listener_count_peer(struct listener *listener, const struct address *peer)
{
    if (!is_bound(listener, peer)) {
        return NULL;
    }
    struct address key;
    key_of_peer(listener, peer, &key);
    return address_counts_add(&listener->per_address, &key);
}

static enum MHD_Result on_accept(void *cls, const struct sockaddr *sa, socklen_t len)
{
    struct listener *listener = cls;
    (void)len;
    struct front *front = listener->front;
    listener->moved = true;
    if (listener->n_clients >= front->max_connections) {
        counters_add(front->valves, METRIC_INDEX_refused_total, 1);
        return MHD_NO;
    }
    struct address peer;
    struct address key;
    address_from_sockaddr(sa, &peer);
    if (!is_bound(listener, &peer)) {
        return MHD_YES;
    }
    key_of_peer(listener, &peer, &key);
    if (address_counts_of(&listener->per_address, &key) >=
        front->params->max_connections_per_address) {
        counters_add(front->valves, METRIC_INDEX_refused_address, 1);
        return MHD_NO;
    }
    return MHD_YES;
}

// ---- life -------------------------------------------------------------------------------------

// The target stays as it came: target.c normalizes it, once.
static size_t leave_escaped(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls;
    (void)connection;
    return strlen(text);
}

static void start_daemon(struct listener *listener, int fd)
{
    const struct front_params *params = listener->front->params;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, 0, NULL},
        // One more than we let in, so that the refusal is ours and counted.
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)params->max_connections + 1, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)params->client_memory_bytes, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)&client_on_completed, listener},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)&client_on_connection, listener},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)&client_on_request_line, listener},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)&leave_escaped, NULL},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    if (listener->tls != NULL) {
        flags |= MHD_USE_TLS;
        options[sizeof(options) / sizeof(options[0]) - 2] = (struct MHD_OptionItem){
            MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(intptr_t)&listener_tls_retrieve};
        listener_tls_use(listener->tls);
    }
    listener->daemon = MHD_start_daemon(flags, 0, on_accept, listener, client_on_access, listener,
                                        MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

static int start_handles(struct listener *listener)
{
    uv_loop_t *loop = listener->front->service->loop;
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL) {
        return -ENOTSUP;
    }
    int r = uv_poll_init(loop, &listener->poll, info->epoll_fd);
    if (r < 0) {
        return r;
    }
    uv_prepare_init(loop, &listener->prepare);
    uv_check_init(loop, &listener->check);
    uv_idle_init(loop, &listener->idle);
    uv_timer_init(loop, &listener->later);
    listener->handles_open = 5;
    listener->poll.data = listener->prepare.data = listener->check.data = listener;
    listener->idle.data = listener->later.data = listener;
    uv_poll_start(&listener->poll, UV_READABLE, on_epoll);
    uv_prepare_start(&listener->prepare, on_prepare);
    uv_check_start(&listener->check, on_check);
    listener->run_wanted = true; // the first run puts the listening socket into its epoll
    return 0;
}

static int get_socket(struct listener *listener, uint16_t port, int *ret_fd)
{
    int r = listen_socket_inherit(listener->admin, ret_fd);
    if (r == -ENOENT) {
        r = listen_socket_open(listener->front->params->listen_address, port, ret_fd);
    }
    if (r < 0) {
        log_error("listener.failed", "Cannot listen for clients",
                  LSTR("parameter", parameter_of(listener)), LUINT("port", port),
                  LSTR("address", listener->front->params->listen_address),
                  LSTR("reason", strerror(-r)));
    }
    return r;
}

static int load_tls(struct listener *listener)
{
    const struct front_params *params = listener->front->params;
    if (listener->admin || params->tls_cert[0] == '\0') {
        return 0;
    }
    struct problems problems = PROBLEMS_INIT;
    const struct tls_files files = listener_tls_files(params);
    int r = listener_tls_create(&files, &problems, &listener->tls);
    for (size_t i = 0; i < problems.n; i++) {
        log_error("listener.tls", problems.items[i]);
    }
    problems_fini(&problems);
    return r;
}

int listener_create(struct front *front, bool admin, uint16_t port, struct listener **ret_listener)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        return -ENOMEM;
    }
    listener->front = front;
    listener->admin = admin;
    int fd = -1;
    int r = load_tls(listener);
    r = r < 0 ? r : get_socket(listener, port, &fd);
    if (r == 0) {
        start_daemon(listener, fd);
        r = listener->daemon == NULL ? -EIO : start_handles(listener);
        if (r < 0) {
            log_error("listener.failed", "The HTTP library does not start",
                      LSTR("reason", strerror(-r)));
        }
    }
    if (r < 0) {
        if (listener->daemon != NULL) {
            MHD_stop_daemon(listener->daemon); // closes the socket
        } else if (fd >= 0) {
            close(fd);
        }
        listener_tls_destroy(&listener->tls);
        free(listener);
        return r;
    }
    log_info("listener.open", "Listening for clients", LSTR("parameter", parameter_of(listener)),
             LUINT("port", port), LBOOL("tls", listener->tls != NULL));
    *ret_listener = listener;
    return 0;
}

void listener_quiesce(struct listener *listener)
{
    if (listener->quiesced) {
        return;
    }
    listener->quiesced = true;
    int fd = MHD_quiesce_daemon(listener->daemon);
    if (fd >= 0) {
        close(fd);
    }
}

void listener_tick(struct listener *listener, uint64_t now_ms)
{
    for (struct client *client = listener->clients; client != NULL;) {
        struct client *next = client->next;
        client_tick(client, now_ms);
        client = next;
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    if (--listener->handles_open == 0) {
        free(listener);
    }
}

void listener_destroy(struct listener **listener_p)
{
    struct listener *listener = *listener_p;
    if (listener == NULL) {
        return;
    }
    *listener_p = NULL;
    for (struct client *client = listener->clients; client != NULL; client = client->next) {
        client_resume_for_stop(client);
    }
    uv_close((uv_handle_t *)&listener->poll, on_handle_closed);
    uv_close((uv_handle_t *)&listener->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&listener->check, on_handle_closed);
    uv_close((uv_handle_t *)&listener->idle, on_handle_closed);
    uv_close((uv_handle_t *)&listener->later, on_handle_closed);
    struct MHD_Daemon *daemon = listener->daemon;
    listener->daemon = NULL;
    MHD_stop_daemon(daemon);
    listener_tls_destroy(&listener->tls);
}
