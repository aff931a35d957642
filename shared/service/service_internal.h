// One run of service_run(), shared by its files only.
#ifndef VALVECHAIN_SERVICE_SERVICE_INTERNAL_H
#define VALVECHAIN_SERVICE_SERVICE_INTERNAL_H

#include "service/finding.h"
#include "service/process_metrics.h"
#include "service/service.h"
#include "service/service_config.h"

struct frame {
    struct service service; // first: the public functions cast
    const struct service_descriptor *descriptor;
    const struct service_args *args;
    struct service_config config; // in force
    struct process_metrics *metrics;
    void *state;
    uv_loop_t loop;
    uv_signal_t sigterm, sigint, sighup;
    uv_timer_t heartbeat, watchdog, retry;
    bool running; // setup is done: signals drain and reload; else they end the start
    bool stop_asked;
    bool ready, ready_decided, was_ready; // decided: the service has said so itself
    bool announced;                       // process.started is published
    bool loop_busy;                       // it could not be closed
    uint64_t ready_ns;
    char finding[FINDING_TEXT_MAX]; // what the service says
    char notice[FINDING_TEXT_MAX];  // what the frame says; shown while the service says nothing
};

// service_config -> service.suite, .params, .model
void frame_take_config(struct frame *frame);
void frame_publish(struct frame *frame, const char *topic, bool ok, const char *detail);
void frame_notify_status(const struct frame *frame);
void frame_set_notice(struct frame *frame, const char *notice); // "" clears it

// service_start.c: everything between the configuration and setup(). 0; -ECANCELED when a signal
// came first; else -errno, logged.
int frame_start(struct frame *frame);
void frame_finish(struct frame *frame); // undoes what frame_start did, however far it came

// service_reload.c
void frame_reload(struct frame *frame);

// service_describe.c
void service_describe(const struct service_descriptor *descriptor, struct strbuf *out);
void service_help(const struct service_descriptor *descriptor, struct strbuf *out);

#endif
