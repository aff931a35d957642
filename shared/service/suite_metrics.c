#include "service/suite_metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "service/breaker_metrics.h"

enum {
#define METRIC_ROWS "service/suite_metrics.def"
#include "metric/metric_enum.inc"
    N_METRICS
};
static const struct metric_def defs[N_METRICS] = {
#include "metric/metric_table.inc"
#undef METRIC_ROWS
};

enum slot_state { SLOT_ALIVE, SLOT_DIED, SLOT_STOPPED, SLOT_FREE, SLOT_STATES };
static const char *const state_names[SLOT_STATES] = {"alive", "died", "stopped", "free"};
enum { OF_A_PROCESS = 3, OF_THE_SEGMENT = SLOT_STATES + 3 };

struct processes {
    struct slot_info slots[SLOT_COUNT]; // to be shown: alive or died, each name and instance once
    uint32_t n;
    uint64_t in_state[SLOT_STATES];
};

static enum slot_state state_of(const struct slot_info *slot)
{
    if (slot->alive)
        return SLOT_ALIVE;
    return slot->left_cleanly ? SLOT_STOPPED : SLOT_DIED;
}

// Two of one name and instance: the one that lives, or the later one.
static void take_process(struct processes *processes, const struct slot_info *slot)
{
    for (uint32_t i = 0; i < processes->n; i++) {
        struct slot_info *known = &processes->slots[i];
        if (strcmp(known->name, slot->name) != 0 || strcmp(known->instance, slot->instance) != 0)
            continue;
        if (slot->alive >= known->alive &&
            (slot->alive > known->alive || slot->start_ns > known->start_ns))
            *known = *slot;
        return;
    }
    processes->slots[processes->n++] = *slot;
}

static void read_processes(const struct segment *segment, struct processes *processes)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct slot_info slot;
        bool used = slot_read(segment, i, &slot);
        processes->in_state[used ? state_of(&slot) : SLOT_FREE]++;
        if (used)
            take_process(processes, &slot);
    }
    // Left out only now: who was stopped in good order takes a namesake that died before with him.
    uint32_t kept = 0;
    for (uint32_t i = 0; i < processes->n; i++)
        if (state_of(&processes->slots[i]) != SLOT_STOPPED)
            processes->slots[kept++] = processes->slots[i];
    processes->n = kept;
}

// A slot holds what its process calls itself: checked as text of anybody.
static void label_process(const struct slot_info *slot, struct exposition_series *series)
{
    char name[SLOT_NAME_MAX], instance[SLOT_INSTANCE_MAX];
    const char *from[] = {slot->name, slot->instance};
    char *to[] = {name, instance};
    for (int i = 0; i < 2; i++) {
        size_t at = 0;
        for (; from[i][at] != '\0' && at < SLOT_NAME_MAX - 1; at++) {
            char c = from[i][at];
            to[i][at] = c < ' ' || c > '~' || c == '"' || c == '\\' ? '?' : c;
        }
        to[i][at] = '\0';
    }
    snprintf(series->labels, sizeof(series->labels), "process=\"%s\",instance=\"%s\"", name,
             instance);
}

static uint64_t process_figure(const struct slot_info *slot, int metric, uint64_t now_ns)
{
    if (metric == METRIC_INDEX_process_up)
        return slot->alive;
    if (metric == METRIC_INDEX_process_ready)
        return slot->alive && slot->ready;
    // By the wall clock of now: the segment's own offset does not follow a clock that was set.
    uint64_t ago_ns = now_ns > slot->heartbeat_ns ? now_ns - slot->heartbeat_ns : 0;
    return (clock_wall_ns() - ago_ns) / NS_PER_S;
}

static size_t put_processes(const struct processes *processes, uint64_t now_ns,
                            struct exposition_series *series)
{
    size_t n = 0;
    for (int metric = 0; metric < OF_A_PROCESS; metric++)
        for (uint32_t i = 0; i < processes->n; i++) {
            const struct slot_info *slot = &processes->slots[i];
            series[n].def = &defs[metric];
            series[n].value = process_figure(slot, metric, now_ns);
            label_process(slot, &series[n++]);
        }
    return n;
}

static size_t put_segment(const struct segment *segment, const struct processes *processes,
                          struct exposition_series *series)
{
    size_t n = 0;
    series[n++] = (struct exposition_series){.def = &defs[METRIC_INDEX_segment_bytes],
                                             .value = segment_bytes(segment)};
    for (int state = 0; state < SLOT_STATES; state++) {
        series[n].def = &defs[METRIC_INDEX_slots];
        series[n].value = processes->in_state[state];
        snprintf(series[n].labels, sizeof(series[n].labels), "state=\"%s\"", state_names[state]);
        n++;
    }
    bool is_private = segment_is_private(segment);
    series[n++] =
        (struct exposition_series){.def = &defs[METRIC_INDEX_segment_private], .value = is_private};
    series[n++] = (struct exposition_series){.def = &defs[METRIC_INDEX_segment_removed],
                                             .value = !is_private && !segment_is_named(segment)};
    return n;
}

int suite_metrics_write(const struct segment *segment, struct breaker_view *view,
                        enum exposition_form form, uint64_t now_ns, struct strbuf *out)
{
    struct processes processes = {.n = 0};
    size_t n = 0, max = BREAKER_METRICS_MAX + SLOT_COUNT * OF_A_PROCESS + OF_THE_SEGMENT;
    struct exposition_series *series = calloc(max, sizeof(*series));
    int error = series == NULL ? -ENOMEM : 0;
    if (error == 0)
        error = breaker_metrics_read(segment, view, now_ns, series, &n);
    if (error == 0) {
        read_processes(segment, &processes);
        n += put_processes(&processes, now_ns, series + n);
        n += put_segment(segment, &processes, series + n);
        error = exposition_write(segment, form, series, n, out);
    }
    free(series);
    return error;
}
