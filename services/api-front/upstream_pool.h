// The endpoints of the upstreams and their kept connections. One pool an upstream of the model,
// made with the model and gone with it (config_model_ref); what is in flight keeps both alive.
//
// Choice: of two random endpoints the one with fewer connections in use; endpoints that are full or
// were already tried by this call are left out, and so are those that fail (upstream_health.h),
// unless too many do, or this call has tried all others.
// Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_UPSTREAM_POOL_H
#define VALVECHAIN_API_FRONT_UPSTREAM_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model.h"
#include "curl_sockets.h"
#include "endpoint_health.h"
#include "retry_budget.h"
#include "upstream_resolve.h"

struct curl_loop;
struct front;
struct upstream_conn;

struct upstream_endpoint {
    struct upstream_pool *pool;
    const struct config_endpoint *config;
    char host_header[300]; // Host for clients that sent none
    struct upstream_resolve resolve;
    struct upstream_conn *idle_newest, *idle_oldest;
    unsigned n_idle, n_open; // open: idle, connecting and in use
    struct endpoint_health health;
    bool unhealthy;       // by active probes
    uint32_t probed_hint; // where their record was
};

struct upstream_pool {
    struct front *front;
    const struct config_upstream *config;
    struct upstream_endpoint *endpoints;
    size_t n_endpoints;
    unsigned n_open;
    bool panic; // as last told
    struct retry_budget budget;
    // Calls go by libcurl (exchange_curl.c), which keeps the connections; NULL: by our own. An
    // endpoint's n_open is then its calls, the pool's n_open the sockets.
    struct curl_loop *curl;
    struct curl_sockets sockets; // of libcurl's
    unsigned n_calls;            // by libcurl
    uint64_t called_ms;          // when the last of them ended
    uint64_t tls_logged_ms;      // 0: never
};

struct upstream_set {
    struct upstream_pool *pools; // same order as model->upstreams
    size_t n_pools;
};

int upstream_set_create(struct front *front, const struct config_model *model,
                        struct upstream_set **ret_set);
// Nothing may be in flight; closes what is kept.
void upstream_set_destroy(struct upstream_set **set);
// Closes what was idle too long, asks for names anew, publishes the numbers of connections.
void upstream_set_tick(struct upstream_set *set, uint64_t now_ms);

struct upstream_candidate { // an endpoint as the choice sees it
    bool usable;
    unsigned load; // connections in use
};
// Pure. The index chosen, or n when none is usable.
size_t upstream_choose(const struct upstream_candidate *candidates, size_t n, uint32_t random);

#define UPSTREAM_ENDPOINTS_MAX 64 // bits of `tried`

// Picks an endpoint not in the `tried` mask. -EBUSY: all are full; -EADDRNOTAVAIL: no address is
// known; -EHOSTUNREACH: all were tried. *ret_ticket is for upstream_health_report().
int upstream_pool_pick(struct upstream_pool *pool, uint64_t tried, uint32_t random,
                       struct upstream_endpoint **ret_endpoint, uint32_t *ret_ticket);
// More than half of the connections it may have are in use.
bool upstream_pool_is_crowded(const struct upstream_pool *pool);
// A kept connection of the endpoint, the most recently used; NULL: none.
struct upstream_conn *upstream_endpoint_take_idle(struct upstream_endpoint *endpoint);
// Keeps a connection that is fit for another call, or closes it when enough are kept.
void upstream_endpoint_keep(struct upstream_endpoint *endpoint, struct upstream_conn *conn);
void upstream_endpoint_forget(struct upstream_endpoint *endpoint, struct upstream_conn *conn);

#endif
