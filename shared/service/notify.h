// What systemd is told (sd_notify(3)), and the watchdog fed from the loop itself. Without a service
// manager (no NOTIFY_SOCKET) all of this does nothing.
#ifndef VALVECHAIN_SERVICE_NOTIFY_H
#define VALVECHAIN_SERVICE_NOTIFY_H

#include <stdint.h>
#include <uv.h>

void notify_ready(const char *status);
void notify_status(const char *status);
void notify_reloading(void); // followed by notify_ready()
void notify_stopping(void);
void notify_extend_timeout(uint64_t ms); // start-up takes longer, but goes on

// A timer at half of WATCHDOG_USEC (sd_watchdog_enabled(3)); it turns only while the loop does. The
// handle is closed by the caller (uv_close). Does nothing but init when no watchdog is asked for.
int watchdog_start(uv_loop_t *loop, uv_timer_t *timer);

#endif
