// The gateway's process: what stands between service_run() and the modules. The transport half
// (listeners, clients, exchanges, upstream pools, access log) hangs on struct front; the decisions
// half has its own state in struct valves.
//
// Life: front_setup -> (front_reload)* -> front_drain -> front_teardown, called by service_run().
// Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_FRONT_H
#define VALVECHAIN_API_FRONT_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "arena.h"
#include "body.h"
#include "config/model.h"
#include "front_params.h"
#include "service/service.h"

struct access_log;
struct client;
struct drain;
struct exchange;
struct listener;
struct smtp_sender;
struct upstream_set;
struct valves;

// The configuration a request began with. It lives, with its upstream pools, until the last request
// that holds it has ended; a reload only makes a new one current.
struct config_model_ref {
    struct config_model *model;
    struct upstream_set *upstreams; // same order as model->upstreams
    unsigned references;
};

struct front {
    struct service *service;
    const struct front_params *params; // replaced by a reload
    struct valves *valves;
    struct config_model_ref *model_ref; // current

    uint64_t max_connections; // MAX_CONNECTIONS, or what the limit of descriptors leaves of it

    struct listener *listener; // PORT
    struct listener *admin;    // ADMIN_PORT, NULL: none
    struct access_log *access_log;
    struct drain *drain; // NULL before SIGTERM

    struct arena_pool arenas;
    struct body_pool bodies;
    struct smtp_sender *mail_sender;
    unsigned n_mails;           // it has under way
    struct exchange *exchanges; // all in flight, newest first
    unsigned char *scratch;     // what an upstream sent is read into this, then handed on
    size_t n_requests;          // between the complete header and the end of the answer

    uv_timer_t tick; // one coarse tick judges every deadline of the process
    unsigned ticks;
    uint64_t random[2];
};

// What one tick of the process is: the grain of every deadline here.
#define FRONT_TICK_MS       25
#define FRONT_SCRATCH_BYTES 65536

int front_check(void *const *params, const struct config_model *model, struct problems *problems);
int front_setup(struct service *service, void **ret_state);
int front_reload(struct service *service, void *state);
void front_drain(struct service *service, void *state);
void front_teardown(struct service *service, void *state);

// The loop's time, milliseconds; what all deadlines here are measured by.
static inline uint64_t front_now_ms(const struct front *front)
{
    return uv_now(front->service->loop);
}
uint32_t front_random(struct front *front); // fast, for lots and request ids; no secret

struct config_model_ref *front_model_get(struct front *front); // + 1 reference
void front_model_put(struct config_model_ref **ref);           // NULL allowed

#endif
