#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "service/notify.h"

void notify_ready(const char *status)
{
    sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void notify_status(const char *status)
{
    sd_notifyf(0, "STATUS=%s", status);
}

void notify_reloading(void)
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading",
               (uint64_t)(clock_mono_ns() / NS_PER_US));
}

void notify_stopping(void)
{
    sd_notify(0, "STOPPING=1\nSTATUS=draining");
}

void notify_extend_timeout(uint64_t ms)
{
    sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRIu64, ms * 1000);
}

static void watchdog_ticked(uv_timer_t *timer)
{
    (void)timer;
    sd_notify(0, "WATCHDOG=1");
}

int watchdog_start(uv_loop_t *loop, uv_timer_t *timer)
{
    uint64_t interval_us = 0, half_ms;
    int enabled = sd_watchdog_enabled(0, &interval_us);

    uv_timer_init(loop, timer);
    if (enabled <= 0)
        return enabled;
    half_ms = interval_us / 2000;
    if (!half_ms)
        half_ms = 1;
    return uv_timer_start(timer, watchdog_ticked, half_ms, half_ms);
}
