#include "breaker_service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app_permits.h"
#include "base/clock.h"
#include "base/log.h"
#include "breaker_metrics.h"
#include "breaker_params.h"
#include "commands.h"
#include "events.h"
#include "net/smtp_send.h"
#include "net/upstream_pem.h"
#include "outbox.h"
#include "probes.h"
#include "watch.h"

#define RECLAIM_INTERVAL_MS 100

enum { GROUP_BREAKERS, GROUP_UPSTREAMS, GROUP_OWN };
static const struct param_group *const groups[] = {&breakers_param_group, &upstreams_param_group,
                                                   &breaker_param_group, NULL};

enum timer { TIMER_WATCH, TIMER_RECLAIM, N_TIMERS };

struct breaker_service {
    struct service *service;
    struct breaker_view *view;
    struct watch watch;
    struct events *events;
    struct app_permits *apps;
    struct commands commands;
    metric_id permits[APP_RESULTS];
    struct outbox *outbox;
    struct probes *probes;
    uv_timer_t timers[N_TIMERS];
    int n_open_timers;
};

static metric_id events_of(const struct breaker_service *self, const char *breaker)
{
    const char *const labels[] = {breaker};
    return metric_register(self->service->metrics, &breaker_metric_defs[METRIC_INDEX_events],
                           labels);
}

static void publish_event(void *arg, uint32_t index, const struct breaker_definition *definition,
                          const struct breaker_transition *transition)
{
    struct breaker_service *self = arg;
    (void)index;
    if (events_publish(self->events, definition, transition))
        metric_add(self->service->metrics, events_of(self, definition->name), 1);
}

static void count_permits(void *arg, enum app_result result, uint64_t n)
{
    struct breaker_service *self = arg;
    metric_add(self->service->metrics, self->permits[result], n);
}

static void poll_now(void *arg)
{
    struct breaker_service *self = arg;
    watch_poll(&self->watch, self->view, publish_event, self);
}

// What others may ask of this process.
static int serve_others(struct breaker_service *self)
{
    self->commands = (struct commands){
        .service = self->service, .view = self->view, .on_done = poll_now, .arg = self};
    for (int i = 0; i < APP_RESULTS; i++)
        self->permits[i] =
            metric_register(self->service->metrics, &breaker_metric_defs[METRIC_INDEX_permits],
                            &app_result_names[i]);
    int rc = events_create(self->service, &self->events);
    if (rc == 0)
        rc = app_permits_create(self->service, self->view, count_permits, self, &self->apps);
    if (rc == 0)
        rc = commands_init(&self->commands);
    if (rc < 0)
        log_error("breaker.commands_failed", "permits, events and commands cannot be served",
                  LSTR("error", strerror(-rc)));
    return rc;
}

static void on_watch(uv_timer_t *timer)
{
    poll_now(timer->data);
}

static void on_reclaim(uv_timer_t *timer)
{
    struct breaker_service *self = timer->data;
    breaker_reclaim(self->view, clock_mono_ns());
    app_permits_expire(self->apps, clock_mono_ns());
}

static int check(void *const *params, const struct config_model *model, struct problems *problems)
{
    struct breaker_definition_set *set = calloc(1, sizeof(*set));
    if (set == NULL)
        return -ENOMEM;
    int rc = breaker_compile(params[GROUP_BREAKERS], model, problems, set);
    free(set);
    int probes_rc = probes_check(model, problems);
    int passwords_rc = smtp_passwords_check(model, problems);
    int pem_rc = upstream_pem_check(model, problems);
    return rc < 0 ? rc : probes_rc < 0 ? probes_rc : passwords_rc < 0 ? passwords_rc : pem_rc;
}

static void register_events(const struct breaker_service *self)
{
    struct breaker_status status;
    for (uint32_t i = 0; breaker_next(self->view, &i, clock_mono_ns(), &status); i++)
        (void)events_of(self, status.name);
}

static int publish_definitions(struct breaker_service *self)
{
    struct problems problems = PROBLEMS_INIT;
    struct breaker_definition_set *set = calloc(1, sizeof(*set));
    int rc = set == NULL ? -ENOMEM
                         : breaker_compile(self->service->params[GROUP_BREAKERS],
                                           self->service->model, &problems, set);
    if (rc == 0)
        rc = breaker_publish(self->view, set, BREAKER_PUBLISH_REPLACE);
    if (rc == -ENOSPC)
        log_error("breaker.names_full",
                  "the segment has had as many breaker names as it can hold; a new one needs a new "
                  "segment (stop the whole suite and start it)",
                  LUINT("names", BREAKER_MAX));
    else if (rc < 0)
        log_error("breaker.publish_failed", "the breakers' definitions could not be published",
                  LSTR("error", strerror(-rc)));
    else
        log_info("breaker.published", "the breakers' definitions are in force",
                 LUINT("generation", breaker_generation(self->view)), LUINT("breakers", set->n));
    problems_fini(&problems);
    free(set);
    register_events(self);
    return rc;
}

static void start_timers(struct breaker_service *self)
{
    const struct breaker_params *own = self->service->params[GROUP_OWN];
    static uv_timer_cb on_timer[N_TIMERS] = {on_watch, on_reclaim};
    const uint64_t intervals_ms[N_TIMERS] = {own->watch_interval_ms, RECLAIM_INTERVAL_MS};
    for (int i = 0; i < N_TIMERS; i++)
        uv_timer_start(&self->timers[i], on_timer[i], intervals_ms[i], intervals_ms[i]);
}

static ProtobufCMessage *on_request(void *arg, const char *topic, const ProtobufCMessage *message)
{
    struct breaker_service *self = arg;
    return strncmp(topic, "outbox.", 7) == 0 ? outbox_request(self->outbox, topic, message) : NULL;
}

static int attach(struct breaker_service *self)
{
    struct service *service = self->service;
    int rc = breaker_attach(service->segment, service->slot, &self->view);
    if (rc < 0) {
        log_error("breaker.attach_failed", "the segment's breakers cannot be used",
                  LSTR("error", strerror(-rc)));
        return rc;
    }
    watch_init(&self->watch, self->view);
    rc = publish_definitions(self);
    if (rc < 0)
        return rc;
    rc = outbox_create(service, self->view, service->params[GROUP_OWN],
                       service->params[GROUP_BREAKERS], &self->outbox);
    if (rc < 0)
        return rc;
    rc = bus_serve(service->bus, on_request, self);
    if (rc < 0)
        log_error("breaker.commands_failed", "the command socket cannot be served",
                  LSTR("error", strerror(-rc)));
    rc = rc < 0 ? rc : serve_others(self);
    return rc < 0 ? rc : probes_create(service, &self->probes);
}

static void detach(struct breaker_service *self)
{
    bus_serve_no_bytes(self->service->bus);
    probes_destroy(&self->probes);
    outbox_destroy(&self->outbox); // its attempts hold permits
    app_permits_destroy(&self->apps);
    breaker_detach(&self->view);
    events_destroy(&self->events);
}

static int setup(struct service *service, void **ret_state)
{
    struct breaker_service *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return -ENOMEM;
    self->service = service;
    int rc = attach(self);
    if (rc < 0) {
        detach(self);
        free(self);
        return rc;
    }
    for (int i = 0; i < N_TIMERS; i++) {
        uv_timer_init(service->loop, &self->timers[i]);
        self->timers[i].data = self;
    }
    self->n_open_timers = N_TIMERS;
    start_timers(self);
    *ret_state = self;
    return 0;
}

static int reload(struct service *service, void *state)
{
    struct breaker_service *self = state;
    int rc = publish_definitions(self);
    if (rc < 0)
        return rc;
    rc = probes_reload(self->probes);
    if (rc < 0)
        return rc;
    start_timers(self); // BREAKER_WATCH_INTERVAL may be another
    outbox_reload(self->outbox, service->params[GROUP_OWN], service->params[GROUP_BREAKERS]);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct breaker_service *self = handle->data;
    if (--self->n_open_timers == 0)
        free(self);
}

static void on_drained(void *arg)
{
    service_drained(arg);
}

static void drain(struct service *service, void *state)
{
    struct breaker_service *self = state;
    outbox_drain(self->outbox, on_drained, service);
}

static void teardown(struct service *service, void *state)
{
    struct breaker_service *self = state;
    (void)service;
    poll_now(self);
    detach(self);
    for (int i = 0; i < N_TIMERS; i++)
        uv_close((uv_handle_t *)&self->timers[i], on_timer_closed);
}

const struct service_descriptor breaker_service_descriptor = {
    .name = "breaker",
    .summary = "owns the circuit breakers: definitions, events, figures, and what the dead held",
    .groups = groups,
    .metrics = breaker_metric_defs,
    .n_metrics = BREAKER_METRICS,
    .check = check,
    .setup = setup,
    .reload = reload,
    .drain = drain,
    .teardown = teardown,
};
