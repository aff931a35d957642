#include "exchange.h"

#include <errno.h>
#include <string.h>

#include "answer_tap.h"
#include "base/clock.h"
#include "client.h"
#include "counters.h"
#include "exchange_retry.h"
#include "exchange_transport.h"
#include "front.h"
#include "request_life.h"
#include "upstream_header.h"
#include "upstream_health.h"
#include "valve_outcome.h"

// An answer with a short body of stated length is sent in one piece with its head when the body
// comes within one tick of it; most servers write the two one after the other.
#define HOLD_MS FRONT_TICK_MS

static void link_exchange(struct exchange *x)
{
    x->next = x->front->exchanges;
    if (x->next != NULL) {
        x->next->previous = x;
    }
    x->front->exchanges = x;
}

static void unlink_exchange(struct exchange *x)
{
    *(x->previous != NULL ? &x->previous->next : &x->front->exchanges) = x->next;
    if (x->next != NULL) {
        x->next->previous = x->previous;
    }
    x->next = x->previous = NULL;
}

void exchange_on_body_piece(void *arg, const char *bytes, size_t len)
{
    struct exchange *x = arg;
    if (x->request->tap != NULL) {
        answer_tap_piece(x->request->tap, &x->answer, bytes, len);
    }
    // What is read is never more than the room there is.
    if (body_put(&x->in, bytes, len) < len) {
        x->broken = true; // no memory
    }
}

int exchange_build_head(struct request *request, char **ret_head, size_t *ret_len)
{
    const struct upstream_pool *pool =
        &request->model_ref->upstreams->pools[request->route->upstream];
    const struct config_route *route = request->route;
    char peer[ADDRESS_TEXT_MAX];
    address_format(&request->identity.peer, peer);
    bool has_query = request->query > request->raw_target && request->query[-1] == '?';
    bool states_length = request->has_body && !request->chunked;
    bool states_zero = !request->has_body && request->content_length == 0;
    struct upstream_header header = {
        .method = request->method,
        .base_path = pool->config->base_path != NULL ? pool->config->base_path : "",
        .path = request->path,
        .path_len = request->path_len,
        .rewrite = route->rewrite,
        .query = has_query ? request->query : NULL,
        .host =
            request->host_header[0] != '\0' ? request->host_header : pool->endpoints[0].host_header,
        .peer = peer,
        .peer_is_proxy = request->identity.peer_is_proxy,
        .peer_may_claim = request->identity.peer_may_claim,
        .tls = client_is_tls(request->client),
        .request_id = request->request_id,
        .headers = request->headers,
        .n_headers = request->n_headers,
        .has_body = request->has_body,
        .chunked = request->chunked,
        .content_length = states_length || states_zero ? request->content_length : UINT64_MAX,
    };
    size_t prefix = strlen(route->path);
    if (route->strip_path || route->rewrite != NULL) {
        // "/api/app/" takes "/api/app" too.
        header.strip = prefix < request->path_len ? prefix : request->path_len;
    }
    size_t cap = upstream_header_bound(&header);
    char *head = request_alloc(request, cap);
    if (head == NULL) {
        return -ENOMEM;
    }
    *ret_len = upstream_header_write(&header, head, cap);
    *ret_head = head;
    return 0;
}

static uint64_t or_none(uint64_t timeout_ms)
{
    return timeout_ms == 0 ? UINT64_MAX : timeout_ms;
}

static uint64_t deadline(uint64_t now_ms, uint64_t timeout_ms)
{
    return timeout_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + timeout_ms;
}

static void set_deadlines(struct exchange *x, uint64_t now_ms)
{
    const struct config_upstream *config = x->pool->config;
    uint64_t call_ns = x->request->call_timeout_ns;
    uint64_t call_ms = (call_ns + NS_PER_MS - 1) / NS_PER_MS;
    if (call_ns == UINT64_MAX) { // no breaker is asked; a deadline there is all the same
        const struct breakers_params *params = x->front->service->params[FRONT_GROUP_BREAKERS];
        call_ms = config->breaker.timeout_ms != 0 ? config->breaker.timeout_ms : params->timeout_ms;
    }
    uint64_t connect_ms = or_none(config->connect_timeout_ms);
    uint64_t first_byte_ms = or_none(config->first_byte_timeout_ms);
    // The upstream's own word counts, else the breaker's.
    x->first_byte_timeout_ms = first_byte_ms != UINT64_MAX ? first_byte_ms : call_ms;
    x->connect_timeout_ms = connect_ms;
    x->call_timeout_ms = call_ms;
    x->call_deadline_ms = deadline(now_ms, call_ms);
    x->first_byte_deadline_ms = UINT64_MAX; // set when the request is sent
    x->idle_timeout_ms = or_none(config->idle_timeout_ms);
    x->total_deadline_ms = deadline(now_ms, or_none(config->total_timeout_ms));
    x->progress_ms = now_ms;
}

// No address will do better. EADDRNOTAVAIL is not among these: it is a shortage of local ports, but
// also what an IPv6 address gives where there is no IPv6.
static bool is_shortage(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS;
}

// A failure of the upstream says more about it than a timeout, and both more than our own lack;
// -EPROTO (TLS) says most.
static void note_connect_error(struct exchange *x, int error)
{
    bool ours = error == -EADDRNOTAVAIL;
    bool known = x->connect_error != 0 && x->connect_error != -EADDRNOTAVAIL;
    if (x->connect_error == 0 || (!ours && (!known || error != -ETIMEDOUT))) {
        x->connect_error = x->connect_error == -EPROTO ? -EPROTO : error;
    }
}

static enum exchange_result result_of_connecting(const struct exchange *x, int error)
{
    switch (error) {
    case -EBUSY:
        return EXCHANGE_POOL_FULL;
    case -EADDRNOTAVAIL:
        return EXCHANGE_NO_ADDRESS;
    default: // all were tried
        return x->connect_error == -EADDRNOTAVAIL ? EXCHANGE_POOL_FULL
               : x->connect_error == -ETIMEDOUT   ? EXCHANGE_CONNECT_TIMEOUT
               : x->connect_error == -EPROTO      ? EXCHANGE_TLS_FAILED
                                                  : EXCHANGE_CONNECT_FAILED;
    }
}

// This address did not work; when it was the endpoint's last one, neither does the endpoint.
static void count_failed_address(struct exchange *x, int error)
{
    note_connect_error(x, error);
    x->addresses_tried++;
    if (x->addresses_tried >= x->endpoint->resolve.n_addresses) {
        x->tried |= 1ULL << (unsigned)(x->endpoint - x->pool->endpoints);
        upstream_health_report(
            x->endpoint, x->ticket,
            valve_classify(&x->pool->config->outcomes, result_of_connecting(x, 0), 0));
        x->endpoint = NULL;
        x->addresses_tried = 0;
    }
}

static void set_connect_deadline(struct exchange *x)
{
    uint64_t until_ms = deadline(front_now_ms(x->front), x->connect_timeout_ms);
    x->connect_deadline_ms = until_ms < x->call_deadline_ms ? until_ms : x->call_deadline_ms;
}

void exchange_connect(struct exchange *x)
{
    for (;;) {
        int r = x->endpoint != NULL ? 0
                                    : upstream_pool_pick(x->pool, x->tried, front_random(x->front),
                                                         &x->endpoint, &x->ticket);
        if (r < 0) {
            exchange_finish(x, result_of_connecting(x, r));
            return;
        }
        r = x->transport->open(x);
        if (r == 0) {
            set_connect_deadline(x);
            return;
        }
        if (is_shortage(r)) {
            exchange_finish(x, EXCHANGE_POOL_FULL);
            return;
        }
        count_failed_address(x, r);
    }
}

void exchange_start(struct request *request)
{
    struct exchange *x = request_alloc(request, sizeof(*x));
    if (x == NULL) {
        valve_leave(request, EXCHANGE_POOL_FULL, false);
        return;
    }
    memset(x, 0, sizeof(*x));
    x->request = request;
    x->front = request->front;
    x->pool = &request->model_ref->upstreams->pools[request->route->upstream];
    x->transport = x->pool->curl != NULL ? &exchange_curl : &exchange_plain;
    exchange_retry_init(x);
    body_init(&x->out, &x->front->bodies);
    body_init(&x->in, &x->front->bodies);
    if (x->repeatable) {
        body_keep(&x->out);
    }
    x->out.ended = !request->has_body;
    request->exchange = x;
    request->upstream_start_ns = clock_mono_ns();
    answer_tap_open(request);
    link_exchange(x);
    set_deadlines(x, front_now_ms(x->front));
    upstream_answer_init(&x->answer, client_arena(request), client_answer_head_max(request),
                         request->method_bit == HTTP_HEAD, exchange_on_body_piece, x);
    if (exchange_build_head(request, &x->head, &x->head_len) < 0) {
        exchange_finish(x, EXCHANGE_POOL_FULL);
        return;
    }
    exchange_connect(x);
    if (x->out.ended) {
        exchange_flush(x);
    }
}

void exchange_finish(struct exchange *x, enum exchange_result result)
{
    if (x->phase == EXCHANGE_ENDED) {
        return;
    }
    x->phase = EXCHANGE_ENDED;
    struct request *request = x->request;
    x->transport->close(x, result == EXCHANGE_ANSWERED && x->answer.reusable && x->sent_all);
    if (x->endpoint != NULL) {
        upstream_health_report(
            x->endpoint, x->ticket,
            valve_classify(&x->pool->config->outcomes, result, x->answer.status));
    }
    unlink_exchange(x);
    body_fini(&x->out);
    bool started = request->answered;
    x->broken = x->broken || result != EXCHANGE_ANSWERED;
    valve_leave(request, result, started);
    client_wake(request);
}

void exchange_cancel(struct exchange *x)
{
    exchange_finish(x, EXCHANGE_CLIENT_GONE);
}

void exchange_lost(struct exchange *x)
{
    bool untouched = x->head_sent == 0;
    bool stale = x->conn_was_kept && !x->answer_begun && !x->retried;
    if (!stale || !(untouched || (x->repeatable && body_rewind(&x->out)))) {
        if (!exchange_retry(x, EXCHANGE_RESET)) {
            exchange_finish(x, EXCHANGE_RESET);
        }
        return;
    }
    x->transport->close(x, false);
    x->retried = true;
    x->head_sent = 0;
    x->sent_all = false;
    x->send_stopped = false;
    x->write_failed = false;
    x->first_byte_deadline_ms = UINT64_MAX;
    x->call_deadline_ms = deadline(front_now_ms(x->front), x->call_timeout_ms);
    counters_add(x->request->valves, METRIC_INDEX_upstream_retries, 1);
    exchange_connect(x);
    exchange_flush(x);
}

void exchange_on_connected(struct exchange *x, int error)
{
    if (is_shortage(error)) {
        exchange_finish(x, EXCHANGE_POOL_FULL);
    } else if (error < 0) {
        x->transport->close(x, false);
        count_failed_address(x, error);
        exchange_connect(x);
    } else {
        x->phase = EXCHANGE_OPEN;
        x->progress_ms = front_now_ms(x->front);
    }
    exchange_flush(x);
}

// The upstream has all there is, or its answer finds no room: nothing moves before the client does.
static bool waits_for_client(const struct exchange *x)
{
    if (x->phase != EXCHANGE_OPEN) {
        return false;
    }
    bool owes_body = !x->out.ended && !x->end_pending && !x->send_stopped && !x->write_failed &&
                     x->head_sent == x->head_len && body_unread(&x->out) == 0;
    return owes_body || x->reading_paused;
}

static void end_late(struct exchange *x, enum exchange_result result)
{
    if (waits_for_client(x)) {
        counters_add(x->request->valves, METRIC_INDEX_slow_clients, 1);
        request_refuse_body(x->request, 408, "body_too_slow", "Request Timeout",
                            "The request was not complete in the time that the call may take.");
    } else {
        exchange_finish(x, result);
    }
}

static void end_connect(struct exchange *x, uint64_t now_ms)
{
    if (now_ms >= x->call_deadline_ms) {
        exchange_finish(x, EXCHANGE_CONNECT_TIMEOUT);
    } else {
        exchange_on_connected(x, -ETIMEDOUT); // the next address may do better
    }
}

void exchange_tick(struct exchange *x, uint64_t now_ms)
{
    bool waits_to_send = x->head_sent < x->head_len || body_unread(&x->out) > 0;
    bool idle = now_ms - x->progress_ms >= x->idle_timeout_ms;
    bool has_head = x->answer.head_complete; // of the final answer: interim ones win no time
    if (now_ms >= x->total_deadline_ms) {
        end_late(x, EXCHANGE_TOTAL_TIMEOUT);
    } else if (x->phase == EXCHANGE_WAITING) {
        exchange_retry_tick(x, now_ms);
    } else if (x->phase == EXCHANGE_CONNECTING && now_ms >= x->connect_deadline_ms) {
        end_connect(x, now_ms);
    } else if (x->phase == EXCHANGE_CONNECTING) {
        return;
    } else if (!has_head && now_ms >= x->first_byte_deadline_ms) {
        exchange_finish(x, EXCHANGE_FIRST_BYTE_TIMEOUT);
    } else if (idle && ((has_head && !x->reading_paused) || (waits_to_send && !x->send_stopped))) {
        end_late(x, EXCHANGE_IDLE_TIMEOUT);
    } else if (x->held_since_ms != 0 && now_ms - x->held_since_ms >= HOLD_MS) {
        exchange_release_held(x);
    } else if (x->head_sent == 0) {
        exchange_flush(x); // the body's first byte keeps us waiting: the head goes alone
    }
}
