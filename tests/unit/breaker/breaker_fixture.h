// A segment with the breaker sections in a folder of its own, and as many processes (slots with
// their views) as a test wants, all inside the test's process. Time is a number the test sets.
#ifndef VALVECHAIN_TESTS_BREAKER_FIXTURE_H
#define VALVECHAIN_TESTS_BREAKER_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "breaker/breaker.h"
#include "breaker/layout.h"

#define MS NS_PER_MS
#define S  NS_PER_S

static char fixture_dir[64];

static inline void fixture_setup(void)
{
    strcpy(fixture_dir, "/tmp/vc-unit-breaker-XXXXXX");
    ASSERT(mkdtemp(fixture_dir) != NULL);
}

static inline void fixture_teardown(void)
{
    DIR *dir = opendir(fixture_dir);
    ASSERT(dir != NULL);
    for (struct dirent *file; (file = readdir(dir)) != NULL;)
        if (file->d_name[0] != '.')
            unlinkat(dirfd(dir), file->d_name, 0);
    closedir(dir);
    rmdir(fixture_dir);
}

static inline struct segment *fixture_open(bool read_only)
{
    const struct segment_section_spec specs[] = {slot_section_spec(), slot_values_section_spec(),
                                                 breaker_state_section_spec(),
                                                 breaker_window_section_spec()};
    const struct segment_options options = {.dir = fixture_dir,
                                            .name = "vc",
                                            .sections = specs,
                                            .n_sections = 4,
                                            .read_only = read_only};
    char reason[SEGMENT_REASON_MAX];
    struct segment *segment = NULL;
    if (segment_open(&options, reason, &segment) < 0) {
        fprintf(stderr, "%s\n", reason);
        abort();
    }
    return segment;
}

// One process of the suite: its own attachment, slot and view.
struct process {
    struct segment *segment;
    struct slot *slot;
    struct breaker_view *view;
};

static inline struct process process_start(const char *instance)
{
    struct process process = {.segment = fixture_open(false)};
    ASSERT(slot_acquire(process.segment, "api-front", instance, &process.slot) == 0);
    slot_heartbeat(process.slot, UINT64_MAX); // never silent, whatever the test's time
    ASSERT(breaker_attach(process.segment, process.slot, &process.view) == 0);
    return process;
}

// The way of a SIGTERM.
static inline void process_stop(struct process *process)
{
    breaker_detach(&process->view);
    slot_release(&process->slot);
    segment_close(&process->segment);
}

// The way of a SIGKILL: the lock goes, what was held stays behind in the segment.
static inline void process_kill(struct process *process)
{
    free(process->view);
    slot_release(&process->slot);
    segment_close(&process->segment);
}

// A definition of small round numbers: 50 % of 4 outcomes in 10 s, open 5 s (growing by half, at
// most 60 s), one probe, 10 calls.
static inline struct breaker_definition definition_named(const char *name)
{
    struct breaker_definition definition = {.timeout_ns = 1 * S,
                                            .reset_timeout_ns = 5 * S,
                                            .reset_timeout_max_ns = 60 * S,
                                            .rolling_timeout_ns = 10 * S,
                                            .probe_lease_ns = 15 * S,
                                            .permit_lease_ns = 10 * S,
                                            .rolling_buckets = 10,
                                            .error_threshold_percent = 50,
                                            .volume_threshold = 4,
                                            .reset_backoff_percent = 150,
                                            .probes = 1,
                                            .capacity = 10,
                                            .enabled = 1};
    snprintf(definition.name, sizeof(definition.name), "%s", name);
    return definition;
}

static inline void publish_one(struct process *process, const struct breaker_definition *definition)
{
    struct breaker_definition_set set = {.n = 1, .items = {*definition}};
    ASSERT(breaker_publish(process->view, &set, BREAKER_PUBLISH_REPLACE) == 0);
}

static inline struct breaker_status status_of(struct process *process, uint32_t index,
                                              uint64_t now_ns)
{
    struct breaker_status status;
    ASSERT(breaker_status(process->view, index, now_ns, &status) == 0);
    return status;
}

static inline enum breaker_state state_of(struct process *process, uint64_t now_ns)
{
    return status_of(process, 0, now_ns).state;
}

// A whole call of breaker 0. True when it was granted.
static inline bool call(struct process *process, enum breaker_outcome outcome, uint64_t now_ns)
{
    struct breaker_permit permit;
    enum breaker_grant grant = breaker_acquire(process->view, 0, now_ns, &permit, NULL);
    breaker_report(process->view, &permit, outcome, now_ns);
    return grant <= BREAKER_GRANTED_PROBE;
}

static inline void calls(struct process *process, int n, enum breaker_outcome outcome,
                         uint64_t now_ns)
{
    for (int i = 0; i < n; i++)
        call(process, outcome, now_ns);
}

#endif
