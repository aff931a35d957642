#include "upstream_pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "counters.h"
#include "front.h"
#include "net/curl_loop.h"
#include "upstream_conn.h"
#include "upstream_health.h"

// Host of RFC 9110 7.2: the port is left out when it is the scheme's own.
static void write_host_header(struct upstream_endpoint *endpoint)
{
    const struct config_endpoint *config = endpoint->config;
    if (config->unix_path != NULL) {
        snprintf(endpoint->host_header, sizeof(endpoint->host_header), "localhost");
        return;
    }
    bool v6 = strchr(config->host, ':') != NULL;
    char port[8] = "";
    if (config->port != (config->tls ? 443 : 80)) {
        snprintf(port, sizeof(port), ":%u", (unsigned)config->port);
    }
    snprintf(endpoint->host_header, sizeof(endpoint->host_header), "%s%.255s%s%s", v6 ? "[" : "",
             config->host, v6 ? "]" : "", port);
}

// HTTPS and HTTP/2; all endpoints of an upstream have one scheme. A mail server's calls are
// mail.c's.
static bool is_for_curl(const struct config_upstream *config)
{
    return config->n_endpoints > 0 && !config->endpoints[0].smtp &&
           (config->endpoints[0].tls || config->http2 == HTTP2_PRIOR_KNOWLEDGE);
}

static int pool_init(struct upstream_pool *pool, struct front *front,
                     const struct config_upstream *config)
{
    pool->front = front;
    pool->config = config;
    pool->endpoints =
        calloc(config->n_endpoints > 0 ? config->n_endpoints : 1, sizeof(*pool->endpoints));
    if (pool->endpoints == NULL) {
        return -ENOMEM;
    }
    if (is_for_curl(config)) {
        int r = curl_loop_create(front->service->loop, &pool->curl);
        if (r < 0) {
            return r;
        }
    }
    size_t n =
        config->n_endpoints < UPSTREAM_ENDPOINTS_MAX ? config->n_endpoints : UPSTREAM_ENDPOINTS_MAX;
    for (size_t i = 0; i < n; i++) {
        struct upstream_endpoint *endpoint = &pool->endpoints[i];
        endpoint->pool = pool;
        endpoint->config = &config->endpoints[i];
        write_host_header(endpoint);
        pool->n_endpoints++;
        int r = upstream_resolve_init(&endpoint->resolve, front->service->loop, endpoint->config,
                                      config->resolve_interval_ms, uv_now(front->service->loop));
        if (r < 0) {
            log_error("upstream.address", "The path of an upstream's Unix socket is too long",
                      LSTR("upstream", config->name), LSTR("path", endpoint->config->unix_path));
            return r;
        }
    }
    return 0;
}

int upstream_set_create(struct front *front, const struct config_model *model,
                        struct upstream_set **ret_set)
{
    struct upstream_set *set = calloc(1, sizeof(*set));
    size_t n = model->n_upstreams;
    if (set == NULL || (set->pools = calloc(n > 0 ? n : 1, sizeof(*set->pools))) == NULL) {
        free(set);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        set->n_pools++;
        int r = pool_init(&set->pools[i], front, &model->upstreams[i]);
        if (r < 0) {
            upstream_set_destroy(&set);
            return r;
        }
    }
    *ret_set = set;
    return 0;
}

void upstream_set_destroy(struct upstream_set **set)
{
    if (*set == NULL) {
        return;
    }
    for (size_t i = 0; i < (*set)->n_pools; i++) {
        struct upstream_pool *pool = &(*set)->pools[i];
        for (size_t k = 0; k < pool->n_endpoints; k++) {
            struct upstream_endpoint *endpoint = &pool->endpoints[k];
            while (endpoint->idle_newest != NULL) {
                upstream_conn_close(endpoint->idle_newest);
            }
            upstream_resolve_fini(&endpoint->resolve);
        }
        curl_loop_destroy(&pool->curl);
        curl_sockets_fini(&pool->sockets);
        free(pool->endpoints);
    }
    free((*set)->pools);
    free(*set);
    *set = NULL;
}

// libcurl looks at what it keeps when it is called; when nobody calls, all of it is given up.
static void close_quiet(struct upstream_pool *pool, uint64_t now_ms)
{
    struct curl_loop *fresh;
    if (pool->curl != NULL && pool->n_open > 0 && pool->n_calls == 0 &&
        now_ms - pool->called_ms >= pool->config->keepalive_idle_ms &&
        curl_loop_create(pool->front->service->loop, &fresh) == 0) {
        curl_loop_destroy(&pool->curl);
        pool->curl = fresh;
    }
}

void upstream_set_tick(struct upstream_set *set, uint64_t now_ms)
{
    for (size_t i = 0; i < set->n_pools; i++) {
        struct upstream_pool *pool = &set->pools[i];
        uint64_t idle = 0;
        for (size_t k = 0; k < pool->n_endpoints; k++) {
            struct upstream_endpoint *endpoint = &pool->endpoints[k];
            upstream_resolve_tick(&endpoint->resolve, now_ms);
            while (endpoint->idle_oldest != NULL && now_ms - endpoint->idle_oldest->idle_since_ms >=
                                                        pool->config->keepalive_idle_ms) {
                upstream_conn_close(endpoint->idle_oldest);
            }
            idle += endpoint->n_idle;
        }
        close_quiet(pool, now_ms);
        counters_upstream_connections(pool->front->valves, pool->config->name, pool->n_open, idle);
        upstream_health_tick(pool, now_ms);
    }
}

size_t upstream_choose(const struct upstream_candidate *candidates, size_t n, uint32_t random)
{
    size_t usable = 0;
    for (size_t i = 0; i < n; i++) {
        usable += candidates[i].usable ? 1 : 0;
    }
    if (usable == 0) {
        return n;
    }
    // Two different ones by lot (one twice when there is only one), by rank among the usable.
    size_t first = (random & 0xffff) % usable;
    size_t second = usable == 1 ? first : (first + 1 + (random >> 16) % (usable - 1)) % usable;
    size_t chosen = n;
    for (size_t i = 0, rank = 0; i < n; i++) {
        if (!candidates[i].usable) {
            continue;
        }
        bool drawn = rank == first || rank == second;
        if (drawn && (chosen == n || candidates[i].load < candidates[chosen].load ||
                      (candidates[i].load == candidates[chosen].load && rank == first))) {
            chosen = i; // of equals the first drawn, or the last in the list would stand idle
        }
        rank++;
    }
    return chosen;
}

static bool is_full(const struct upstream_endpoint *endpoint)
{
    return endpoint->n_open - endpoint->n_idle >= endpoint->pool->config->max_connections;
}

static int pick_only(struct upstream_pool *pool, uint64_t tried,
                     struct upstream_endpoint **ret_endpoint)
{
    struct upstream_endpoint *endpoint = &pool->endpoints[0];
    if (endpoint->resolve.n_addresses == 0 || (tried & 1) != 0 || is_full(endpoint)) {
        return endpoint->resolve.n_addresses == 0 ? -EADDRNOTAVAIL
               : (tried & 1) != 0                 ? -EHOSTUNREACH
                                                  : -EBUSY;
    }
    *ret_endpoint = endpoint;
    return 0;
}

// Bits of the endpoints that this call may still be sent to.
static uint64_t reachable(const struct upstream_pool *pool, uint64_t tried, uint64_t now_ms,
                          bool *ret_any_address)
{
    uint64_t untried = 0;
    uint64_t left_out = 0;
    *ret_any_address = false;
    for (size_t i = 0; i < pool->n_endpoints; i++) {
        const struct upstream_endpoint *endpoint = &pool->endpoints[i];
        uint64_t bit = 1ULL << i;
        bool address = endpoint->resolve.n_addresses > 0;
        *ret_any_address = *ret_any_address || address;
        untried |= address && (tried & bit) == 0 ? bit : 0;
        left_out |= upstream_endpoint_is_left_out(endpoint, now_ms) ? bit : 0;
    }
    size_t n_out = (size_t)__builtin_popcountll(left_out);
    bool panic = endpoint_panics(&pool->config->ejection, pool->n_endpoints, n_out);
    // Better one that fails than none at all.
    return panic || (untried & ~left_out) == 0 ? untried : untried & ~left_out;
}

int upstream_pool_pick(struct upstream_pool *pool, uint64_t tried, uint32_t random,
                       struct upstream_endpoint **ret_endpoint, uint32_t *ret_ticket)
{
    *ret_ticket = 0;
    if (pool->n_endpoints == 1) {
        return pick_only(pool, tried, ret_endpoint);
    }
    uint64_t now_ms = front_now_ms(pool->front);
    bool any_address;
    uint64_t may_be = reachable(pool, tried, now_ms, &any_address);
    struct upstream_candidate candidates[UPSTREAM_ENDPOINTS_MAX];
    for (size_t i = 0; i < pool->n_endpoints; i++) {
        const struct upstream_endpoint *endpoint = &pool->endpoints[i];
        candidates[i] = (struct upstream_candidate){
            .usable = (may_be & (1ULL << i)) != 0 && !is_full(endpoint),
            .load = endpoint->n_open - endpoint->n_idle,
        };
    }
    size_t chosen = upstream_choose(candidates, pool->n_endpoints, random);
    if (chosen == pool->n_endpoints) {
        return !any_address ? -EADDRNOTAVAIL : may_be != 0 ? -EBUSY : -EHOSTUNREACH;
    }
    *ret_endpoint = &pool->endpoints[chosen];
    *ret_ticket = endpoint_enter(&(*ret_endpoint)->health, &pool->config->ejection, now_ms);
    return 0;
}

bool upstream_pool_is_crowded(const struct upstream_pool *pool)
{
    uint64_t busy = 0;
    for (size_t i = 0; i < pool->n_endpoints; i++) {
        busy += pool->endpoints[i].n_open - pool->endpoints[i].n_idle;
    }
    return busy * 2 > pool->n_endpoints * (uint64_t)pool->config->max_connections;
}

static void unlink_idle(struct upstream_endpoint *endpoint, struct upstream_conn *conn)
{
    struct upstream_conn *newer = conn->newer;
    struct upstream_conn *older = conn->older;
    *(newer != NULL ? &newer->older : &endpoint->idle_newest) = older;
    *(older != NULL ? &older->newer : &endpoint->idle_oldest) = newer;
    conn->newer = conn->older = NULL;
    conn->is_idle = false;
    endpoint->n_idle--;
}

struct upstream_conn *upstream_endpoint_take_idle(struct upstream_endpoint *endpoint)
{
    struct upstream_conn *conn;
    // A name that got other addresses is followed: what leads to an old one is used no more.
    while ((conn = endpoint->idle_newest) != NULL &&
           !upstream_resolve_has(&endpoint->resolve, &conn->address)) {
        upstream_conn_close(conn);
    }
    if (conn != NULL) {
        unlink_idle(endpoint, conn);
    }
    return conn;
}

void upstream_endpoint_keep(struct upstream_endpoint *endpoint, struct upstream_conn *conn)
{
    if (endpoint->n_idle >= endpoint->pool->config->keepalive_connections) {
        upstream_conn_close(conn);
        return;
    }
    conn->idle_since_ms = uv_now(endpoint->pool->front->service->loop);
    conn->newer = NULL;
    conn->older = endpoint->idle_newest;
    *(conn->older != NULL ? &conn->older->newer : &endpoint->idle_oldest) = conn;
    endpoint->idle_newest = conn;
    conn->is_idle = true;
    endpoint->n_idle++;
}

void upstream_endpoint_forget(struct upstream_endpoint *endpoint, struct upstream_conn *conn)
{
    if (conn->is_idle) {
        unlink_idle(endpoint, conn);
    }
    endpoint->n_open--;
    endpoint->pool->n_open--;
}
