#include "service/service.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "service/notify.h"
#include "service/service_internal.h"

#define EXIT_CLEAN     0
#define EXIT_BAD_INPUT 1
#define EXIT_NO_START  2

#define DUMP_ROWS_MAX 256

void frame_take_config(struct frame *frame)
{
    frame->service.suite = &frame->config.suite;
    frame->service.params = frame->config.params;
    frame->service.model = frame->config.model;
}

void frame_publish(struct frame *frame, const char *topic, bool ok, const char *detail)
{
    Valvechain__V1__ProcessEvent event = VALVECHAIN__V1__PROCESS_EVENT__INIT;
    Valvechain__V1__Origin origin;
    char version[] = VALVECHAIN_VERSION;

    bus_origin(frame->service.bus, &origin);
    event.origin = &origin;
    event.version = version;
    event.ok = ok;
    event.detail = (char *)(uintptr_t)detail;            // read only
    bus_publish(frame->service.bus, topic, &event.base); // what is dropped, the bus counts
}

static const char *shown_finding(const struct frame *frame)
{
    return frame->finding[0] ? frame->finding : frame->notice;
}

void frame_notify_status(const struct frame *frame)
{
    if (frame->service.draining)
        notify_status("draining");
    else if (*shown_finding(frame))
        notify_status(shown_finding(frame));
    else
        notify_status(frame->ready ? "ready" : "not ready");
}

static void set_text(struct frame *frame, char text[FINDING_TEXT_MAX], const char *fresh)
{
    const struct service *service = &frame->service;

    if (strncmp(text, fresh, FINDING_TEXT_MAX - 1) == 0)
        return;
    snprintf(text, FINDING_TEXT_MAX, "%s", fresh);
    finding_write(service->segment, slot_index(service->slot), slot_generation(service->slot),
                  shown_finding(frame));
    frame_notify_status(frame);
}

void frame_set_notice(struct frame *frame, const char *notice)
{
    set_text(frame, frame->notice, notice);
}

void service_set_finding(struct service *service, const char *finding)
{
    struct frame *frame = (struct frame *)service;

    set_text(frame, frame->finding, finding);
}

void service_set_ready(struct service *service, bool ready)
{
    struct frame *frame = (struct frame *)service;

    frame->ready_decided = true;
    frame->ready = ready;
    slot_set_ready(service->slot, ready);
    if (ready && !frame->was_ready) {
        frame->was_ready = true;
        frame->ready_ns = clock_mono_ns();
        notify_ready("ready");
        log_info("process.ready", "ready");
    }
    frame_notify_status(frame);
}

void service_drained(struct service *service)
{
    if (service->draining)
        uv_stop(service->loop);
}

// Each parameter is a field of the log line.
static void log_parameters(const struct frame *frame)
{
    struct strbuf dump = STRBUF_INIT;
    struct log_field fields[DUMP_ROWS_MAX];
    size_t n = 0;
    char *cursor, *line;

    if (!log_enabled(LOG_LEVEL_DEBUG))
        return;
    service_config_dump(frame->descriptor, &frame->config, &dump);
    cursor = strbuf_take(&dump);
    for (char *text = cursor; (line = strsep(&text, "\n")) && n < DUMP_ROWS_MAX;) {
        char *equals = strchr(line, '=');

        if (!equals)
            continue;
        *equals = '\0';
        fields[n++] = LSTR(line, equals + 1);
    }
    log_write(LOG_LEVEL_DEBUG, "process.parameters", "parameters in force", fields, n);
    free(cursor);
}

// A thread that comes to its end while we exit still writes into the frame's loop.
static struct frame *volatile left_behind;

static int frame_run(struct frame *frame)
{
    const struct service_descriptor *descriptor = frame->descriptor;
    int error = frame_start(frame);

    if (!error) {
        error = descriptor->setup(&frame->service, &frame->state);
        if (!error)
            frame->running = true;
        else
            log_error("process.setup_failed", "the process could not start",
                      LSTR("error", strerror(-error)));
    }
    if (frame->running) {
        if (!frame->ready_decided)
            service_set_ready(&frame->service, true);
        uv_run(&frame->loop, UV_RUN_DEFAULT);
        frame->running = false;
        if (descriptor->teardown)
            descriptor->teardown(&frame->service, frame->state);
    }
    frame_finish(frame);
    if (error && error != -ECANCELED)
        return EXIT_NO_START;
    log_info("process.stopped", "stopped cleanly");
    return EXIT_CLEAN;
}

static int run(const struct service_descriptor *descriptor, const struct service_args *args,
               struct service_config *config)
{
    struct frame *frame = calloc(1, sizeof(*frame));
    int code;

    if (!frame)
        return EXIT_NO_START;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); // until the loop hears it: there is nothing to reload yet
    frame->descriptor = descriptor;
    frame->args = args;
    frame->config = *config;
    frame->service.name = descriptor->name;
    frame->service.start_ns = clock_mono_ns();
    frame_take_config(frame);
    log_init(descriptor->name, config->suite.instance, service_log_level(&config->suite));
    log_info("process.start", descriptor->summary, LSTR("version", VALVECHAIN_VERSION),
             LINT("abi", SEGMENT_ABI), LINT("pid", getpid()), LSTR("suite", config->suite.name));
    log_parameters(frame);
    code = frame_run(frame);
    *config = frame->config;
    if (frame->loop_busy)
        left_behind = frame;
    else
        free(frame);
    return code;
}

static int print(struct strbuf *text)
{
    int code = strbuf_ok(text) && fputs(strbuf_text(text), stdout) >= 0 && fflush(stdout) == 0
                   ? EXIT_CLEAN
                   : EXIT_NO_START;

    strbuf_fini(text);
    return code;
}

static void print_problems(const struct service_descriptor *descriptor,
                           const struct problems *problems)
{
    for (size_t i = 0; i < problems->n; i++)
        fprintf(stderr, "valvechain-%s: %s\n", descriptor->name, problems->items[i]);
}

static int check_and_run(const struct service_descriptor *descriptor,
                         const struct service_args *args, struct problems *problems)
{
    struct service_config config;
    int code;

    if (service_config_load(descriptor, args, problems, &config) < 0) {
        print_problems(descriptor, problems);
        return EXIT_BAD_INPUT;
    }
    if (args->mode == SERVICE_MODE_CHECK)
        code = printf("valvechain-%s: the configuration is good\n", descriptor->name) > 0
                   ? EXIT_CLEAN
                   : EXIT_NO_START;
    else
        code = run(descriptor, args, &config);
    service_config_fini(descriptor, &config);
    return code;
}

int service_run(const struct service_descriptor *descriptor, int argc, char **argv)
{
    struct problems problems = PROBLEMS_INIT;
    struct service_args args;
    struct strbuf text = STRBUF_INIT;
    int code, error = service_args_parse(argc, argv, &problems, &args);

    if (error < 0) {
        print_problems(descriptor, &problems);
        code = EXIT_BAD_INPUT;
    } else if (args.mode == SERVICE_MODE_HELP) {
        service_help(descriptor, &text);
        code = print(&text);
    } else if (args.mode == SERVICE_MODE_DESCRIBE) {
        service_describe(descriptor, &text);
        code = print(&text);
    } else if (args.mode == SERVICE_MODE_VERSION) {
        code = printf("valvechain-%s %s\n", descriptor->name, VALVECHAIN_VERSION) > 0
                   ? EXIT_CLEAN
                   : EXIT_NO_START;
    } else {
        code = check_and_run(descriptor, &args, &problems);
    }
    service_args_fini(&args);
    problems_fini(&problems);
    return code;
}
