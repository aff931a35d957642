// SIGHUP: everything is read anew and checked; the service takes it over, or all of it is refused.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "service/notify.h"
#include "service/service_internal.h"

static void refused(struct frame *frame, const char *reason, size_t n_problems)
{
    char detail[512];

    snprintf(detail, sizeof(detail), "refused, the old one stays (%zu problems): %s", n_problems,
             reason);
    log_error("config.refused", "the new configuration is refused, the old one stays in force",
              LUINT("problems", n_problems), LSTR("first", reason));
    process_metrics_reloaded(frame->metrics, &frame->service, false);
    frame_publish(frame, "process.reloaded", false, detail);
}

static void accepted(struct frame *frame, const char *kept)
{
    if (*kept)
        log_warn("config.restart_needed",
                 "changes of these parameters take effect with the next start only",
                 LSTR("parameters", kept));
    log_set_level(service_log_level(&frame->config.suite));
    log_info("config.reloaded", "the new configuration is in force");
    process_metrics_reloaded(frame->metrics, &frame->service, true);
    frame_publish(frame, "process.reloaded", true, "in force");
}

// Puts the fresh configuration in force; when the service refuses it, the old one again.
static void take_over(struct frame *frame, struct service_config *fresh)
{
    const struct service_descriptor *descriptor = frame->descriptor;
    struct service_config old;
    struct strbuf kept = STRBUF_INIT, scratch = STRBUF_INIT;
    int error = 0;

    service_config_keep_fixed(descriptor, &frame->config, fresh, &kept);
    old = frame->config;
    frame->config = *fresh;
    frame_take_config(frame);
    if (descriptor->reload)
        error = descriptor->reload(&frame->service, frame->state);
    if (error < 0) {
        service_config_keep_fixed(descriptor, &frame->config, &old, &scratch); // and back
        *fresh = frame->config;
        frame->config = old;
        frame_take_config(frame);
        service_config_fini(descriptor, fresh);
        refused(frame, strerror(-error), 1);
    } else {
        service_config_fini(descriptor, &old);
        accepted(frame, strbuf_text(&kept));
    }
    strbuf_fini(&kept);
    strbuf_fini(&scratch);
}

void frame_reload(struct frame *frame)
{
    struct problems problems = PROBLEMS_INIT;
    struct service_config fresh;

    notify_reloading();
    if (service_config_load(frame->descriptor, frame->args, &problems, &fresh) < 0) {
        for (size_t i = 0; i < problems.n; i++)
            log_error("config.invalid", problems.items[i]);
        refused(frame, problems.items[0], problems.n);
    } else {
        take_over(frame, &fresh);
    }
    problems_fini(&problems);
    if (frame->was_ready)
        notify_ready("reloaded");
    frame_notify_status(frame);
}
