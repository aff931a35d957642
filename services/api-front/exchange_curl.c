// The transport of HTTPS and HTTP/2: libcurl. Its callbacks move bytes between it and the two
// buffers and note what is new; on_moved() and on_done() tell the exchange, when libcurl has
// returned. Deadlines are the exchange's: libcurl has none of its own here.
//
// libcurl would send a request again by itself when a kept connection breaks before an answer.
// Whether that may be is the exchange's to say (exchange_lost), so the second time is refused.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "base/log.h"
#include "exchange_transport.h"
#include "front.h"
#include "net/curl_loop.h"
#include "net/curl_upstream.h"

#define PIECE_MAX          16384
#define CONNECT_TIMEOUT_MS 86400000L // libcurl's own would be five minutes; ours ends it before
#define LOG_EACH_MS        10000

struct curl_exchange {
    struct curl_call call; // the first member: what the loop calls back with is this
    struct exchange *x;
    struct curl_slist *headers, *connect_to;
    bool connected;      // libcurl begins to send
    bool told_connected; // and the exchange knows
    bool send_paused, receive_paused;
    int fd;           // of a new connection
    int refusal;      // of the answer
    int socket_error; // why there is no socket
    char error[CURL_ERROR_SIZE];
};

// ---- what libcurl calls ---------------------------------------------------------------------

static void note_progress(struct curl_exchange *c)
{
    c->x->progress_ms = front_now_ms(c->x->front);
    curl_call_mark(&c->call);
}

// A connection is there, kept or new, and nothing is sent yet.
static int on_ready(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    struct curl_exchange *c = arg;
    struct curl_sockets *sockets = &c->x->pool->sockets;
    uint64_t name = curl_socket_name(ip, port, local_ip, local_port);
    long connects = 0;
    if (c->connected) {
        return CURL_PREREQFUNC_ABORT; // it would send once more
    }
    curl_easy_getinfo(c->call.easy, CURLINFO_NUM_CONNECTS, &connects);
    c->connected = true;
    c->x->conn_was_kept = connects == 0;
    c->x->head_sent = c->x->head_len;
    note_progress(c);
    struct curl_socket *at =
        connects == 0 ? curl_sockets_named(sockets, name) : curl_sockets_find(sockets, c->fd);
    if (connects > 0 && at != NULL && port > 0) {
        at->name = name;
    }
    // What stands there already would be taken for the answer; libcurl does not look.
    bool quiet = connects > 0 || at == NULL || curl_socket_is_quiet(at);
    return quiet ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
    struct curl_exchange *c = arg;
    struct exchange *x = c->x;
    size_t taken = body_read(&x->out, to, size * n);
    note_progress(c);
    if (taken > 0 || x->out.ended) {
        return taken;
    }
    c->send_paused = true;
    return CURL_READFUNC_PAUSE;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct curl_exchange *c = arg;
    int r = upstream_answer_line(&c->x->answer, line, size * n);
    struct curl_socket *fresh = c->x->answer_begun || c->x->conn_was_kept
                                    ? NULL
                                    : curl_sockets_find(&c->x->pool->sockets, c->fd);
    if (fresh != NULL) {
        fresh->is_http2 = size * n > 6 && memcmp(line, "HTTP/2", 6) == 0;
    }
    exchange_answer_begins(c->x);
    note_progress(c);
    if (r < 0) {
        c->refusal = r;
        return 0;
    }
    return size * n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct curl_exchange *c = arg;
    struct exchange *x = c->x;
    note_progress(c);
    if (body_room(&x->in) < size * n) {
        c->receive_paused = x->reading_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    upstream_answer_body(&x->answer, bytes, size * n);
    return size * n;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct curl_exchange *c = arg;
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0) {
        c->socket_error = -errno;
        return CURL_SOCKET_BAD;
    }
    if (curl_sockets_add(&c->x->pool->sockets, fd) < 0) {
        c->socket_error = -ENOMEM;
        close(fd);
        return CURL_SOCKET_BAD;
    }
    c->x->pool->n_open++;
    c->fd = fd;
    return fd;
}

static int close_socket(void *arg, curl_socket_t fd)
{
    struct upstream_pool *pool = arg;
    pool->n_open--;
    curl_sockets_remove(&pool->sockets, fd);
    return close(fd);
}

// ---- what the exchange is told ----------------------------------------------------------------

// One line a pool and a while: what is wrong stays so until somebody changes it.
static void log_tls_failure(struct curl_exchange *c)
{
    struct upstream_pool *pool = c->x->pool;
    uint64_t now_ms = front_now_ms(c->x->front);
    if (pool->tls_logged_ms != 0 && now_ms - pool->tls_logged_ms < LOG_EACH_MS) {
        return;
    }
    pool->tls_logged_ms = now_ms;
    log_warn("upstream.tls", "An upstream and the gateway did not agree on TLS",
             LSTR("upstream", pool->config->name), LSTR("host", c->x->endpoint->config->host),
             LSTR("reason", c->error));
}

static int error_of_connecting(struct curl_exchange *c, CURLcode code)
{
    long os_error = 0;
    if (curl_upstream_is_tls_failure(code, c->error)) {
        log_tls_failure(c);
        return -EPROTO;
    }
    if (c->socket_error < 0) {
        return c->socket_error;
    }
    curl_easy_getinfo(c->call.easy, CURLINFO_OS_ERRNO, &os_error);
    return code == CURLE_OUT_OF_MEMORY        ? -ENOMEM
           : code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT
           : os_error > 0                     ? -(int)os_error
                                              : -ECONNABORTED;
}

// The connection is no more, and the answer not complete.
static void tell_lost(struct curl_exchange *c, CURLcode code)
{
    struct exchange *x = c->x;
    long sent_bytes = 0;
    if (!c->told_connected) {
        exchange_on_connected(x, error_of_connecting(c, code));
    } else if (curl_upstream_is_tls_failure(code, c->error)) {
        log_tls_failure(c);
        exchange_finish(x, EXCHANGE_TLS_FAILED);
    } else if (code == CURLE_OUT_OF_MEMORY && x->answer_begun && !x->answer.head_complete) {
        exchange_refuse_answer(x, -EMSGSIZE); // libcurl's word for a line beyond its own bound
    } else if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY) {
        exchange_refuse_answer(x, -EBADMSG);
    } else {
        curl_easy_getinfo(c->call.easy, CURLINFO_REQUEST_SIZE, &sent_bytes);
        x->head_sent = sent_bytes == 0 ? 0 : x->head_sent;
        exchange_lost(x);
    }
}

static void tell_connected(struct curl_exchange *c)
{
    struct exchange *x = c->x;
    if (!c->connected || c->told_connected) {
        return;
    }
    c->told_connected = true;
    exchange_on_connected(x, 0);
    if (x->send_stopped) {
        exchange_expect_answer(x);
    }
}

// True when the call is over: `c` is gone then.
static bool tell_moved(struct curl_exchange *c)
{
    struct exchange *x = c->x;
    tell_connected(c);
    if (c->refusal < 0) {
        exchange_refuse_answer(x, c->refusal);
        return true;
    }
    if (x->broken) {
        exchange_finish(x, EXCHANGE_POOL_FULL); // no memory
        return true;
    }
    if (c->told_connected && !x->send_stopped) {
        exchange_sent(x, x->out.ended && body_unread(&x->out) == 0);
    }
    return false;
}

static void on_moved(struct curl_call *call)
{
    struct curl_exchange *c = (struct curl_exchange *)call;
    struct exchange *x = c->x;
    if (tell_moved(c)) {
        return;
    }
    // The rest of the request is not wanted any more, but libcurl would wait for it.
    if (!x->sent_all && upstream_answer_is_whole(&x->answer)) {
        upstream_answer_end(&x->answer);
    }
    exchange_deliver(x);
}

static void on_done(struct curl_call *call, CURLcode code)
{
    struct curl_exchange *c = (struct curl_exchange *)call;
    struct exchange *x = c->x;
    if (tell_moved(c)) {
        return;
    }
    // An end within the head is none of libcurl's errors: nothing says yet how long the answer is.
    bool ended_well = code == CURLE_OK && x->answer.head_complete;
    if (ended_well || upstream_answer_is_whole(&x->answer)) {
        upstream_answer_end(&x->answer);
        exchange_deliver(x);
    } else {
        tell_lost(c, code);
    }
}

// ---- one call ---------------------------------------------------------------------------------

static bool add_header(struct curl_exchange *c, const char *line)
{
    struct curl_slist *longer = curl_slist_append(c->headers, line);
    if (longer != NULL) {
        c->headers = longer;
    }
    return longer != NULL;
}

static bool is_named(const char *line, const char *name)
{
    size_t len = strlen(name);
    return strncasecmp(line, name, len) == 0 && line[len] == ':';
}

// The lines of the head but those of framing, which libcurl writes; and none of libcurl's own.
static bool add_headers(struct curl_exchange *c, char *lines)
{
    bool accepts = false;
    char *save = NULL;
    for (char *at = strtok_r(lines, "\r\n", &save); at != NULL;
         at = strtok_r(NULL, "\r\n", &save)) {
        if (is_named(at, "Content-Length") || is_named(at, "Transfer-Encoding")) {
            continue;
        }
        accepts = accepts || is_named(at, "Accept");
        char *value = strchr(at, ':') + 1;
        if (value[strspn(value, " \t")] == '\0') {
            value[-1] = ';'; // libcurl's way to say: with an empty value
            value[0] = '\0';
        }
        if (!add_header(c, at)) {
            return false;
        }
    }
    return (accepts || add_header(c, "Accept:")) && add_header(c, "Expect:");
}

// "POST /x?y HTTP/1.1" and the headers; the text is cut up.
static int set_head(struct curl_exchange *c, char *head)
{
    char *target = strchr(head, ' ') + 1;
    char *end = strchr(target, ' ');
    char *lines = strchr(end, '\n') + 1;
    target[-1] = *end = '\0';
    CURL *easy = c->call.easy;
    bool ok = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, head) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, target) == CURLE_OK &&
              add_headers(c, lines);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, c->headers);
    return ok ? 0 : -ENOMEM;
}

static void set_body(struct curl_exchange *c)
{
    const struct request *request = c->x->request;
    CURL *easy = c->call.easy;
    if (request->method_bit == HTTP_HEAD) {
        // libcurl sends no body with it, which has no meaning there (RFC 9110 9.3.2).
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        c->x->send_stopped = request->has_body;
    } else if (request->has_body || request->content_length == 0) {
        curl_off_t size =
            request->has_body && request->chunked ? -1 : (curl_off_t)request->content_length;
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, size);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(easy, CURLOPT_READDATA, c);
    }
}

static void set_callbacks(struct curl_exchange *c)
{
    CURL *easy = c->call.easy;
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_ready);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, c);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, c);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, c->x->pool); // outlives the call
}

static void set_limits(struct curl_exchange *c)
{
    const struct config_upstream *config = c->x->pool->config;
    CURL *easy = c->call.easy;
    size_t half = c->x->front->bodies.buffer_bytes / 2; // the room with which it is resumed
    bool kept = config->keepalive_connections > 0;
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)(half < PIECE_MAX ? half : PIECE_MAX));
    // Allocated for each call, also for one without a body: the default of 64 KiB would have the
    // heap grow and shrink all the time.
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)PIECE_MAX);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)(config->keepalive_idle_ms / 1000 + 1));
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)(c->x->retried || !kept));
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, (long)!kept);
}

// The text of the endpoint's next address; NULL: a Unix socket.
static const char *next_address(struct upstream_endpoint *endpoint, char text[ADDRESS_TEXT_MAX])
{
    struct upstream_resolve *resolve = &endpoint->resolve;
    const struct upstream_address *next =
        &resolve->addresses[resolve->next++ % resolve->n_addresses];
    struct address address;
    if (next->sa.ss_family == AF_UNIX) {
        return NULL;
    }
    address_from_sockaddr((const struct sockaddr *)&next->sa, &address);
    address_format(&address, text);
    return text;
}

static int set_up(struct curl_exchange *c)
{
    struct exchange *x = c->x;
    char text[ADDRESS_TEXT_MAX];
    char *head = strndup(x->head, x->head_len);
    int r = head == NULL ? -ENOMEM : set_head(c, head);
    free(head);
    if (r == 0) {
        r = curl_upstream_set(c->call.easy, x->pool->config, x->endpoint->config,
                              next_address(x->endpoint, text), &c->connect_to);
    }
    if (r == 0) {
        set_body(c);
        set_callbacks(c);
        set_limits(c);
    }
    return r;
}

static void free_call(struct curl_exchange *c)
{
    curl_loop_put_easy(c->x->pool->curl, c->call.easy);
    curl_slist_free_all(c->headers);
    curl_slist_free_all(c->connect_to);
    free(c);
}

// As many connections may be kept as the endpoints have, beside those in use. libcurl looks at it
// when a call ends that is still counted here.
static void bound_kept(struct upstream_pool *pool)
{
    uint64_t kept = (uint64_t)pool->config->keepalive_connections * pool->n_endpoints;
    uint64_t others = pool->n_calls > 0 ? pool->n_calls - 1 : 0;
    curl_loop_keep(pool->curl, (unsigned)(kept + others));
}

static int open_curl(struct exchange *x)
{
    struct curl_exchange *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return -ENOMEM;
    }
    c->x = x;
    c->call = (struct curl_call){.on_done = on_done, .on_moved = on_moved};
    c->call.easy = curl_loop_get_easy(x->pool->curl);
    int r = c->call.easy == NULL ? -ENOMEM : set_up(c);
    r = r < 0 ? r : curl_loop_add(x->pool->curl, &c->call);
    if (r < 0) {
        free_call(c);
        return r;
    }
    x->curl = c;
    x->phase = EXCHANGE_CONNECTING;
    x->conn_was_kept = false;
    x->endpoint->n_open++;
    x->pool->n_calls++;
    bound_kept(x->pool);
    return 0;
}

// Whether the connection is kept, libcurl knows: not, when the call is not over.
static void close_curl(struct exchange *x, bool keep)
{
    struct curl_exchange *c = x->curl;
    (void)keep;
    if (c == NULL) {
        return;
    }
    x->curl = NULL;
    curl_loop_remove(&c->call);
    free_call(c);
    x->endpoint->n_open--;
    x->pool->n_calls--;
    x->pool->called_ms = front_now_ms(x->front);
    bound_kept(x->pool);
}

static void resume(struct curl_exchange *c)
{
    curl_call_pause(&c->call, (c->send_paused ? CURLPAUSE_SEND : 0) |
                                  (c->receive_paused ? CURLPAUSE_RECV : 0));
}

static void flush_curl(struct exchange *x)
{
    struct curl_exchange *c = x->curl;
    if (c->send_paused && (body_unread(&x->out) > 0 || x->out.ended)) {
        c->send_paused = false;
        resume(c);
    }
}

static void pause_curl(struct exchange *x, bool paused)
{
    struct curl_exchange *c = x->curl;
    if (!paused && c->receive_paused) { // else the next piece that finds no room pauses it
        c->receive_paused = false;
        resume(c);
    }
}

const struct exchange_transport exchange_curl = {
    .open = open_curl,
    .close = close_curl,
    .flush = flush_curl,
    .pause = pause_curl,
    .frames_chunks = false,
};
