#include "upstream_health.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "breaker/probed.h"
#include "counters.h"
#include "front.h"
#include "valves.h"

static size_t count_left_out(const struct upstream_pool *pool, uint64_t now_ms)
{
    size_t n = 0;
    for (size_t i = 0; i < pool->n_endpoints; i++) {
        n += upstream_endpoint_is_left_out(&pool->endpoints[i], now_ms) ? 1 : 0;
    }
    return n;
}

// One on trial is not back yet: its place is still taken.
static bool is_ejected(const struct upstream_endpoint *endpoint)
{
    return endpoint->health.state != ENDPOINT_IN;
}

static size_t count_ejected(const struct upstream_pool *pool)
{
    size_t n = 0;
    for (size_t i = 0; i < pool->n_endpoints; i++) {
        n += is_ejected(&pool->endpoints[i]) ? 1 : 0;
    }
    return n;
}

// Those that an ejection must not add to beyond its cap.
static size_t count_out(const struct upstream_pool *pool)
{
    size_t n = 0;
    for (size_t i = 0; i < pool->n_endpoints; i++) {
        n += is_ejected(&pool->endpoints[i]) || pool->endpoints[i].unhealthy ? 1 : 0;
    }
    return n;
}

static size_t read_probes(struct upstream_pool *pool)
{
    size_t n = 0;
    for (size_t i = 0; i < pool->n_endpoints; i++) {
        struct upstream_endpoint *endpoint = &pool->endpoints[i];
        struct probed record;
        char name[CONFIG_ENDPOINT_TEXT_MAX];
        config_endpoint_format(endpoint->config, name);
        endpoint->unhealthy = probed_find(pool->front->service->segment, pool->config->name, name,
                                          &endpoint->probed_hint, &record) &&
                              probed_state_at(&record, clock_mono_ns()) == PROBED_UNHEALTHY;
        n += endpoint->unhealthy ? 1 : 0;
    }
    return n;
}

static void tell(const struct upstream_pool *pool, const char *endpoint, const char *change,
                 uint64_t out_for_ms, uint64_t left_out)
{
    struct service *service = pool->front->service;
    Valvechain__V1__Origin origin;
    Valvechain__V1__EndpointEvent event = VALVECHAIN__V1__ENDPOINT_EVENT__INIT;
    char topic[64];
    log_warn("endpoint.changed", "which endpoints of an upstream get calls has changed",
             LSTR("upstream", pool->config->name), LSTR("endpoint", endpoint),
             LSTR("change", change), LUINT("out_for_ms", out_for_ms), LUINT("left_out", left_out),
             LUINT("endpoints", pool->n_endpoints));
    bus_origin(service->bus, &origin);
    event.origin = &origin;
    event.upstream = pool->config->name;
    event.endpoint = (char *)(uintptr_t)endpoint;
    event.change = (char *)(uintptr_t)change;
    event.out_for_ms = out_for_ms;
    event.left_out = left_out;
    event.endpoints = pool->n_endpoints;
    (void)snprintf(topic, sizeof(topic), "endpoint.event.%s", pool->config->name);
    // Dropped when nobody keeps up: the log line above is the record.
    (void)bus_publish(service->bus, topic, &event.base);
}

void upstream_health_report(struct upstream_endpoint *endpoint, uint32_t ticket,
                            enum breaker_outcome outcome)
{
    struct upstream_pool *pool = endpoint->pool;
    struct endpoint_health *health = &endpoint->health;
    if (pool->n_endpoints < 2 ||
        (outcome == BREAKER_SUCCESS && health->streak == 0 && health->state == ENDPOINT_IN)) {
        return;
    }
    uint64_t now_ms = front_now_ms(pool->front);
    const struct config_ejection *rules = &pool->config->ejection;
    bool may_eject = endpoint_may_eject(rules, pool->n_endpoints, count_out(pool));
    enum endpoint_change change =
        endpoint_report(health, rules, ticket, outcome, may_eject, now_ms);
    if (change == ENDPOINT_SAME) {
        return;
    }
    bool ejected = change == ENDPOINT_EJECTED;
    char name[CONFIG_ENDPOINT_TEXT_MAX];
    config_endpoint_format(endpoint->config, name);
    if (ejected) {
        counters_upstream_ejection(pool->front->valves, pool->config->name);
    }
    tell(pool, name, ejected ? "ejected" : "returned", ejected ? health->until_ms - now_ms : 0,
         count_ejected(pool));
}

void upstream_health_tick(struct upstream_pool *pool, uint64_t now_ms)
{
    bool has_probes = pool->config->probe.kind != CONFIG_PROBE_OFF;
    size_t n_unhealthy = has_probes ? read_probes(pool) : 0;
    size_t n_out = count_left_out(pool, now_ms);
    bool panic =
        pool->n_endpoints > 1 && endpoint_panics(&pool->config->ejection, pool->n_endpoints, n_out);
    if (panic != pool->panic) {
        pool->panic = panic;
        tell(pool, "", panic ? "panic" : "calm", 0, n_out);
    }
    counters_upstream_endpoints(pool->front->valves, pool->config->name, count_ejected(pool),
                                n_unhealthy, panic);
}

static bool is_same(const struct config_endpoint *a, const struct config_endpoint *b)
{
    char text_a[CONFIG_ENDPOINT_TEXT_MAX];
    char text_b[CONFIG_ENDPOINT_TEXT_MAX];
    config_endpoint_format(a, text_a);
    config_endpoint_format(b, text_b);
    return strcmp(text_a, text_b) == 0;
}

static void inherit_pool(struct upstream_pool *fresh, const struct upstream_pool *old)
{
    for (size_t i = 0; i < fresh->n_endpoints; i++) {
        for (size_t k = 0; k < old->n_endpoints; k++) {
            if (is_same(fresh->endpoints[i].config, old->endpoints[k].config)) {
                fresh->endpoints[i].health = old->endpoints[k].health;
                fresh->endpoints[i].unhealthy = old->endpoints[k].unhealthy;
            }
        }
    }
    // More may be out than the new rules allow, but never all: they stay until their time is over.
    fresh->panic = old->panic;
    fresh->budget = old->budget;
}

void upstream_health_inherit(struct upstream_set *fresh, const struct upstream_set *old)
{
    for (size_t i = 0; i < fresh->n_pools; i++) {
        for (size_t k = 0; k < old->n_pools; k++) {
            if (strcmp(fresh->pools[i].config->name, old->pools[k].config->name) == 0) {
                inherit_pool(&fresh->pools[i], &old->pools[k]);
            }
        }
    }
}
