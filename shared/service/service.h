// The frame of every process: one libuv loop, one thread, the same life.
//   arguments and parameters -> configuration -> segment and slot -> metrics -> bus -> setup()
//   -> ready (sd_notify READY=1, process.started) -> loop -> SIGTERM/SIGINT: drain() -> teardown()
// --help --version --check (exit 0, or 1 with every problem) --describe (parameters and metrics as
// JSON) --set NAME=VALUE. SIGHUP: the configuration is read anew; a bad one is refused with every
// reason and the old one stays. The watchdog is fed by a timer of the loop itself, so a stuck loop
// is seen. A segment that cannot be attached is tried again until it can be: the process lives,
// unready, and says why. A second SIGTERM ends the drain. Exit codes: 0 clean, 1 bad input or
// configuration, 2 could not start.
#ifndef VALVECHAIN_SERVICE_SERVICE_H
#define VALVECHAIN_SERVICE_SERVICE_H

#include <uv.h>

#include "advice/published.h"
#include "breaker/breaker.h"
#include "config/model.h"
#include "config/params.h"
#include "limit/limit.h"
#include "metric/metric.h"
#include "net/bus.h"
#include "shm/segment.h"
#include "shm/slot.h"

struct service {
    uv_loop_t *loop;
    const char *name;
    const struct suite_params *suite;
    // Never NULL (empty without a file), the upstreams of *_UPSTREAM_URL added when the descriptor
    // has that group; replaced by a reload.
    const struct config_model *model;
    struct segment *segment; // never NULL after start
    struct slot *slot;
    struct metric_set *metrics;
    struct bus *bus;
    void *const *params; // one struct per entry of descriptor->groups, same order
    uint64_t start_ns;
    bool draining;
};

struct service_descriptor {
    const char *name;                        // "api-front"
    const char *summary;                     // one line for --help
    const struct param_group *const *groups; // NULL-terminated, without the suite group
    const struct metric_def *metrics;        // for --describe
    size_t n_metrics;
    // Checks what the tables cannot (for --check, start and reload). May be NULL.
    int (*check)(void *const *params, const struct config_model *model, struct problems *problems);
    int (*setup)(struct service *service, void **ret_state); // 0 or -errno (has logged why)
    // New parameters and model are in service->... (other pointers than before); the old ones live
    // until it returns. Not 0: refused, the old ones come back. Rows without PARAM_RELOAD keep
    // their values. May be NULL.
    int (*reload)(struct service *service, void *state);
    // Begin to stop; call service_drained() when done. May be NULL (drained at once).
    void (*drain)(struct service *service, void *state);
    void (*teardown)(struct service *service, void *state);
};

int service_run(const struct service_descriptor *descriptor, int argc, char **argv);
void service_drained(struct service *service);
// Slot and sd_notify. A process is ready after setup() unless setup() called this itself.
void service_set_ready(struct service *service, bool ready);
// "healthy" unless told: shown in /api/health as this process's finding ("" clears it). Read by
// finding_read(), service/finding.h.
void service_set_finding(struct service *service, const char *finding);

// The list of all sections, in one place, for service_run, valvectl and the tests.
size_t service_segment_sections(const struct suite_params *suite,
                                struct segment_section_spec *ret_specs, size_t cap);
// SOCKET_DIR or its default, created with mode 0770; -errno.
int service_socket_dir(const struct suite_params *suite, char *ret_path, size_t cap);

#endif
