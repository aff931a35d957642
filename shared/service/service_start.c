// From the configuration to everything a service finds ready in setup(): loop, signals, segment,
// slot, metrics, bus. And back.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "service/notify.h"
#include "service/service_internal.h"

#define HEARTBEAT_MS   1000
#define ANNOUNCE_NS    (2 * NS_PER_S) // a subscriber has found our socket by then
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS   5000

static void signal_came(uv_signal_t *handle, int number)
{
    struct frame *frame = handle->data;

    if (number == SIGHUP) {
        if (frame->running && !frame->service.draining)
            frame_reload(frame);
        return;
    }
    if (!frame->running) { // still starting
        frame->stop_asked = true;
        uv_stop(&frame->loop);
        return;
    }
    if (frame->service.draining) {
        log_warn("process.stop_now", "a second signal came while draining: stopping at once",
                 LSTR("signal", strsignal(number)));
        uv_stop(&frame->loop);
        return;
    }
    log_info("process.draining", "stopping: draining first", LSTR("signal", strsignal(number)));
    frame->service.draining = true;
    service_set_ready(&frame->service, false);
    notify_stopping();
    frame_publish(frame, "process.stopping", true, "draining");
    if (frame->descriptor->drain)
        frame->descriptor->drain(&frame->service, frame->state);
    else
        service_drained(&frame->service);
}

static void watch_signal(struct frame *frame, uv_signal_t *handle, int number)
{
    uv_signal_init(&frame->loop, handle);
    handle->data = frame;
    uv_signal_start(handle, signal_came, number);
}

// Another process of our name that holds the sockets: said once each time it begins.
static void check_socket(struct frame *frame)
{
    const char *taken = bus_taken_path(frame->service.bus);
    char notice[FINDING_TEXT_MAX] = "";

    if (taken)
        snprintf(notice, sizeof(notice),
                 "another live process of this name holds %s; it is tried again each second",
                 taken);
    if (taken && !frame->notice[0])
        log_warn("bus.socket_taken", notice, LSTR("path", taken));
    frame_set_notice(frame, notice);
}

static void heartbeat_ticked(uv_timer_t *timer)
{
    struct frame *frame = timer->data;
    uint64_t now_ns = clock_mono_ns();

    slot_heartbeat(frame->service.slot, now_ns);
    process_metrics_refresh(frame->metrics, &frame->service);
    check_socket(frame);
    if (frame->was_ready && !frame->announced && now_ns - frame->ready_ns >= ANNOUNCE_NS) {
        frame->announced = true;
        frame_publish(frame, "process.started", true, "ready");
    }
}

static int loop_start(struct frame *frame)
{
    int error = uv_loop_init(&frame->loop);

    if (error < 0)
        return error;
    frame->service.loop = &frame->loop;
    watch_signal(frame, &frame->sigterm, SIGTERM);
    watch_signal(frame, &frame->sigint, SIGINT);
    watch_signal(frame, &frame->sighup, SIGHUP);
    uv_timer_init(&frame->loop, &frame->heartbeat);
    uv_timer_init(&frame->loop, &frame->retry);
    frame->heartbeat.data = frame->retry.data = frame;
    return watchdog_start(&frame->loop, &frame->watchdog);
}

static int segment_try(struct frame *frame, char reason[SEGMENT_REASON_MAX])
{
    struct segment_section_spec specs[SEGMENT_MAX_SECTIONS];
    struct segment_options options = {
        .dir = frame->config.suite.shm_dir,
        .name = frame->config.suite.name,
        .sections = specs,
        .n_sections = service_segment_sections(&frame->config.suite, specs, SEGMENT_MAX_SECTIONS),
        .allow_private = frame->config.suite.allow_private_segment};

    reason[0] = '\0';
    return segment_open(&options, reason, &frame->service.segment);
}

static void retry_due(uv_timer_t *timer)
{
    struct frame *frame = timer->data;

    uv_stop(&frame->loop);
}

// Until the segment is there, the process lives, unready, and says why; the loop turns meanwhile,
// so signals and the watchdog work.
static int segment_attach(struct frame *frame)
{
    char reason[SEGMENT_REASON_MAX], last[SEGMENT_REASON_MAX] = "";
    uint64_t wait_ms = RETRY_FIRST_MS;
    int error;

    while ((error = segment_try(frame, reason)) < 0) {
        if (strcmp(reason, last) != 0) {
            log_error("segment.refused", reason, LSTR("error", strerror(-error)),
                      LSTR("allowed", "ALLOW_PRIVATE_SEGMENT=true serves from private memory"));
            memcpy(last, reason, sizeof(last));
        }
        notify_status(reason);
        notify_extend_timeout(4 * RETRY_MAX_MS);
        uv_timer_start(&frame->retry, retry_due, wait_ms, 0);
        uv_run(&frame->loop, UV_RUN_DEFAULT);
        if (frame->stop_asked)
            return -ECANCELED;
        wait_ms = 2 * wait_ms < RETRY_MAX_MS ? 2 * wait_ms : RETRY_MAX_MS;
    }
    if (segment_is_private(frame->service.segment))
        log_warn("segment.private", reason);
    else
        log_info("segment.attached", "attached to the segment",
                 LSTR("path", segment_path(frame->service.segment)),
                 LUINT("bytes", segment_bytes(frame->service.segment)));
    return 0;
}

static bool is_twin(const struct frame *frame, const struct slot_info *info)
{
    return info->alive && info->index != slot_index(frame->service.slot) &&
           strcmp(info->name, frame->service.name) == 0 &&
           strcmp(info->instance, frame->config.suite.instance) == 0;
}

static void warn_of_twin(const struct frame *frame)
{
    struct slot_info info;

    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (slot_read(frame->service.segment, i, &info) && is_twin(frame, &info))
            log_warn("slot.twin",
                     "another live process has this name and instance; give each its INSTANCE",
                     LUINT("slot", i), LINT("pid", info.pid));
}

static int slot_start(struct frame *frame)
{
    struct service *service = &frame->service;
    int error =
        slot_acquire(service->segment, service->name, frame->config.suite.instance, &service->slot);

    if (error == -ENOSPC)
        log_error("slot.none",
                  "all process slots of the segment are held: at most 32 processes share one "
                  "VALVECHAIN_NAME; stop some, or start a second suite of another name",
                  LUINT("slots", SLOT_COUNT), LSTR("name", frame->config.suite.name));
    else if (error < 0)
        log_error("slot.refused", "no process slot: INSTANCE must have 1 to 23 bytes",
                  LSTR("error", strerror(-error)), LSTR("instance", frame->config.suite.instance));
    if (error < 0)
        return error;
    warn_of_twin(frame);
    error = metric_set_open(service->slot, &service->metrics);
    if (error < 0)
        log_error("metrics.refused", "the metrics could not be opened",
                  LSTR("error", strerror(-error)));
    struct buckets buckets;
    if (error == 0 && buckets_parse(frame->config.suite.latency_buckets, &buckets) == 0)
        metric_set_latency_buckets(service->metrics, &buckets);
    return error;
}

static int bus_start(struct frame *frame)
{
    char dir[256] = "";
    int error = service_socket_dir(&frame->config.suite, dir, sizeof(dir));
    struct bus_options options = {.socket_dir = dir,
                                  .suite = frame->config.suite.name,
                                  .process = frame->service.name,
                                  .instance = frame->config.suite.instance};

    if (error < 0) {
        log_error(
            "bus.folder",
            "the folder of the sockets cannot be used: SOCKET_DIR must be a folder of ours or "
            "root's, writable, and closed to others",
            LSTR("error", strerror(-error)), LSTR("socket_dir", frame->config.suite.socket_dir));
        return error;
    }
    error = bus_open(&frame->loop, &options, &frame->service.bus);
    if (error == -ENAMETOOLONG)
        log_error("bus.path",
                  "the folder's path is too long for a Unix socket: shorten SOCKET_DIR "
                  "or VALVECHAIN_NAME",
                  LSTR("socket_dir", dir), LUINT("socket_path_max", 107));
    else if (error < 0)
        log_error("bus.refused", "the sockets cannot be opened", LSTR("error", strerror(-error)),
                  LSTR("socket_dir", dir));
    return error;
}

int frame_start(struct frame *frame)
{
    int error = loop_start(frame);

    if (error < 0) {
        log_error("loop.refused", "the event loop cannot start", LSTR("error", uv_strerror(error)));
        return error;
    }
    error = segment_attach(frame);
    if (!error)
        error = slot_start(frame);
    if (!error)
        error = bus_start(frame);
    if (!error)
        error = process_metrics_open(&frame->service, &frame->metrics);
    if (error < 0)
        return error;
    slot_heartbeat(frame->service.slot, clock_mono_ns());
    process_metrics_refresh(frame->metrics, &frame->service);
    uv_timer_start(&frame->heartbeat, heartbeat_ticked, HEARTBEAT_MS, HEARTBEAT_MS);
    return 0;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

// A signal that comes while we leave must not undo a clean exit: libuv gives the signals their
// default actions back when its handles close.
static void signals_hold(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
}

// The frame's own handles and what a service forgot; closing needs the loop to turn. False: a
// thread of the pool is still at work for it, and nobody waits for that at the end.
static bool loop_finish(uv_loop_t *loop)
{
    uv_walk(loop, close_handle, NULL);
    for (int i = 0; i < 1000 && uv_run(loop, UV_RUN_NOWAIT); i++)
        continue;
    return uv_loop_close(loop) == 0;
}

void frame_finish(struct frame *frame)
{
    struct service *service = &frame->service;

    signals_hold();
    if (frame->metrics)
        process_metrics_refresh(frame->metrics, service);
    bus_close(&service->bus);
    if (service->loop)
        frame->loop_busy = !loop_finish(service->loop);
    process_metrics_close(&frame->metrics);
    metric_set_close(&service->metrics);
    slot_release(&service->slot);
    segment_close(&service->segment);
}
