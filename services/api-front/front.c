#include "front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "access_log.h"
#include "base/log.h"
#include "client.h"
#include "drain.h"
#include "exchange.h"
#include "last_good.h"
#include "limits.h"
#include "listener.h"
#include "net/smtp_send.h"
#include "net/upstream_pem.h"
#include "upstream_health.h"
#include "upstream_pool.h"
#include "valves.h"

#define OWN_DESCRIPTORS 64 // sockets, timers, the segment, resolver, certificates, a reload
#define SLOW_TICKS      4  // clients and pools are looked after each fourth tick

uint32_t front_random(struct front *front)
{
    // xorshift128+ (Vigna 2014): lots and ids, nothing secret.
    uint64_t a = front->random[0];
    uint64_t b = front->random[1];
    front->random[0] = b;
    a ^= a << 23;
    front->random[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
    return (uint32_t)((front->random[1] + b) >> 32);
}

// ---- the model ----------------------------------------------------------------------------

struct config_model_ref *front_model_get(struct front *front)
{
    front->model_ref->references++;
    return front->model_ref;
}

void front_model_put(struct config_model_ref **ref_p)
{
    struct config_model_ref *ref = *ref_p;
    *ref_p = NULL;
    if (ref == NULL || --ref->references > 0) {
        return;
    }
    upstream_set_destroy(&ref->upstreams);
    config_model_destroy(&ref->model);
    free(ref);
}

// The process's model goes with a reload, requests in flight do not: they hold one of their own.
static int model_load(const struct service *service, struct config_model **ret_model)
{
    struct problems problems = PROBLEMS_INIT;
    const char *path = service->suite->config_file;
    int r = 0;
    if (path != NULL && path[0] != '\0') {
        r = config_model_load(path, &problems, ret_model);
    } else {
        *ret_model = config_model_empty();
        r = *ret_model == NULL ? -ENOMEM : 0;
    }
    if (r == 0) {
        r = config_model_add_params(*ret_model, service->params[FRONT_GROUP_UPSTREAMS], &problems);
        if (r < 0) {
            config_model_destroy(ret_model);
        }
    }
    for (size_t i = 0; i < problems.n; i++) {
        log_error("config.problem", problems.items[i]);
    }
    problems_fini(&problems);
    return r;
}

static int model_ref_create(struct front *front, struct config_model_ref **ret_ref)
{
    struct config_model_ref *ref = calloc(1, sizeof(*ref));
    if (ref == NULL) {
        return -ENOMEM;
    }
    int r = model_load(front->service, &ref->model);
    if (r == 0) {
        r = upstream_set_create(front, ref->model, &ref->upstreams);
    }
    if (r < 0) {
        config_model_destroy(&ref->model);
        free(ref);
        return r;
    }
    ref->references = 1;
    *ret_ref = ref;
    return 0;
}

// ---- the tick -----------------------------------------------------------------------------

static void tick_slow(struct front *front, uint64_t now_ms)
{
    listener_tick(front->listener, now_ms);
    size_t clients = front->listener->n_clients;
    if (front->admin != NULL) {
        listener_tick(front->admin, now_ms);
        clients += front->admin->n_clients;
    }
    upstream_set_tick(front->model_ref->upstreams, now_ms);
    counters_connections(front->valves, clients, front->max_connections, front->n_requests);
    last_good_report(front->valves);
    limits_renew(front->valves);
    limit_refresh(front->valves->limits); // an idle gateway must not hold retired cells back
    access_log_flush(front->access_log);
}

static void on_tick(uv_timer_t *timer)
{
    struct front *front = timer->data;
    uint64_t now_ms = front_now_ms(front);
    for (struct exchange *x = front->exchanges; x != NULL;) {
        struct exchange *next = x->next;
        exchange_tick(x, now_ms);
        x = next;
    }
    if (++front->ticks % SLOW_TICKS == 0) {
        tick_slow(front, now_ms);
    }
    drain_tick(front, now_ms);
}

// ---- life ---------------------------------------------------------------------------------

int front_check(void *const *params, const struct config_model *model, struct problems *problems)
{
    const struct front_params *front = params[FRONT_GROUP_FRONT];
    bool cert = front->tls_cert[0] != '\0';
    bool key = front->tls_key[0] != '\0';
    int r = 0;
    if (cert != key) {
        problems_add(problems, "%s is set and %s is not; both or none",
                     cert ? "TLS_CERT" : "TLS_KEY", cert ? "TLS_KEY" : "TLS_CERT");
        r = -EINVAL;
    } else if (cert) {
        struct listener_tls *tls;
        const struct tls_files files = listener_tls_files(front);
        r = listener_tls_create(&files, problems, &tls);
        if (r == 0) {
            listener_tls_destroy(&tls);
        }
    }
    if (front->admin_port == front->port) {
        problems_add(problems, "ADMIN_PORT and PORT are both %llu; they must differ",
                     (unsigned long long)front->port);
        r = -EINVAL;
    }
    int upstreams = upstream_pem_check(model, problems);
    int passwords = smtp_passwords_check(model, problems);
    int decisions = valves_check(params, model, problems);
    return r < 0 ? r : upstreams < 0 ? upstreams : passwords < 0 ? passwords : decisions;
}

// Two descriptors a request: a soft limit below the hard one helps nobody here.
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

// Clients must not take the descriptors that their calls need: MAX_CONNECTIONS gives way, but not
// to more than half of all when the pools might be that large.
static void fit_connections(struct front *front)
{
    struct rlimit limit;
    uint64_t wanted = front->params->max_connections;
    front->max_connections = wanted;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) {
        return;
    }
    const struct config_model *model = front->model_ref->model;
    uint64_t usable =
        limit.rlim_cur > 2 * OWN_DESCRIPTORS ? limit.rlim_cur - OWN_DESCRIPTORS : OWN_DESCRIPTORS;
    uint64_t pools = 0;
    for (size_t i = 0; i < model->n_upstreams; i++) {
        pools += model->upstreams[i].n_endpoints * model->upstreams[i].max_connections;
    }
    uint64_t room = usable - (pools < usable / 2 ? pools : usable / 2);
    if (room < wanted) {
        front->max_connections = room;
        log_warn("front.descriptors",
                 "The limit of descriptors (RLIMIT_NOFILE) does not hold MAX_CONNECTIONS and the "
                 "connections to upstreams: fewer clients are let in",
                 LUINT("limit", limit.rlim_cur), LUINT("max_connections", wanted),
                 LUINT("upstream_connections", pools), LUINT("lowered_to", room));
    }
}

static int open_listeners(struct front *front)
{
    int r = listener_create(front, false, (uint16_t)front->params->port, &front->listener);
    if (r == 0 && front->params->admin_port != PARAM_UNSET) {
        r = listener_create(front, true, (uint16_t)front->params->admin_port, &front->admin);
    }
    return r;
}

int front_setup(struct service *service, void **ret_state)
{
    struct front *front = calloc(1, sizeof(*front));
    if (front == NULL) {
        return -ENOMEM;
    }
    raise_descriptor_limit();
    front->service = service;
    front->params = service->params[FRONT_GROUP_FRONT];
    if (getrandom(front->random, sizeof(front->random), 0) != sizeof(front->random)) {
        front->random[0] = uv_hrtime();
    }
    front->random[1] |= 1;
    body_pool_init(&front->bodies, front->params->body_buffer_bytes);
    uv_timer_init(service->loop, &front->tick);
    front->tick.data = front;
    front->scratch = malloc(FRONT_SCRATCH_BYTES);
    int r = front->scratch == NULL ? -ENOMEM : 0;
    r = r < 0 ? r : valves_create(service, &front->valves);
    r = r < 0 ? r : smtp_sender_create(service->loop, &front->mail_sender);
    r = r < 0 ? r : access_log_create(front, &front->access_log);
    r = r < 0 ? r : model_ref_create(front, &front->model_ref);
    if (r == 0) {
        fit_connections(front);
        r = open_listeners(front);
    }
    if (r < 0) {
        front_teardown(service, front);
        return r;
    }
    uv_timer_start(&front->tick, on_tick, FRONT_TICK_MS, FRONT_TICK_MS);
    *ret_state = front;
    return 0;
}

// *ret_pair is NULL where clients come without TLS.
static int load_pair(struct front *front, const struct front_params *params,
                     struct tls_pair **ret_pair)
{
    *ret_pair = NULL;
    if (front->listener->tls == NULL) {
        return 0;
    }
    struct problems problems = PROBLEMS_INIT;
    const struct tls_files files = listener_tls_files(params);
    int r = tls_pair_load(&files, &problems, ret_pair);
    for (size_t i = 0; i < problems.n; i++) {
        log_error("listener.tls", problems.items[i]);
    }
    problems_fini(&problems);
    return r;
}

int front_reload(struct service *service, void *state)
{
    struct front *front = state;
    struct config_model_ref *fresh;
    int r = model_ref_create(front, &fresh);
    if (r < 0) {
        return r;
    }
    const struct front_params *params = service->params[FRONT_GROUP_FRONT];
    struct tls_pair *pair = NULL;
    r = load_pair(front, params, &pair);
    r = r < 0 ? r : valves_reload(front->valves);
    if (r < 0) {
        tls_pair_destroy(&pair);
        front_model_put(&fresh);
        return r;
    }
    // Nothing can fail any more: all of it is the new one's from here on, or, above, nothing was.
    if (pair != NULL) {
        listener_tls_replace(front->listener->tls, pair, front_now_ms(front));
    }
    front->params = params;
    upstream_health_inherit(fresh->upstreams, front->model_ref->upstreams);
    front_model_put(&front->model_ref);
    front->model_ref = fresh;
    fit_connections(front);
    return 0;
}

void front_drain(struct service *service, void *state)
{
    if (drain_begin(state) < 0) {
        service_drained(service);
    }
}

static void on_tick_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void front_teardown(struct service *service, void *state)
{
    struct front *front = state;
    (void)service;
    listener_destroy(&front->listener);
    listener_destroy(&front->admin);
    smtp_sender_destroy(&front->mail_sender); // what is under way ends with a report
    front_model_put(&front->model_ref);
    access_log_destroy(&front->access_log);
    valves_destroy(&front->valves);
    arena_pool_fini(&front->arenas);
    body_pool_fini(&front->bodies);
    free(front->scratch);
    free(front->drain);
    uv_close((uv_handle_t *)&front->tick, on_tick_closed);
}
