// valvectl status: the process slots, the breakers and the advice, as the segment has them.
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "advice/published.h"
#include "base/clock.h"
#include "shm/slot.h"
#include "valvectl.h"

static double seconds_since(uint64_t then_ns, uint64_t now_ns)
{
    return then_ns == 0 || then_ns > now_ns ? 0 : (double)(now_ns - then_ns) / (double)NS_PER_S;
}

static const char *slot_state(const struct slot_info *slot)
{
    if (slot->alive)
        return slot->ready ? "ready" : "not ready";
    return slot->left_cleanly ? "left" : "dead";
}

// An application that was killed: its line goes when it has been dead for so long. The suite's own
// processes come back and stay a finding until then.
#define DEAD_APPLICATION_SHOWN_S 600

static bool is_long_gone(const struct slot_info *slot, uint64_t now_ns)
{
    uint64_t last_ns = slot->heartbeat_ns > slot->start_ns ? slot->heartbeat_ns : slot->start_ns;
    return strncmp(slot->name, "app-", 4) == 0 && !slot->alive &&
           seconds_since(last_ns, now_ns) >= DEAD_APPLICATION_SHOWN_S;
}

static json_t *slot_json(const struct slot_info *slot, uint64_t now_ns)
{
    return json_pack("{s:s, s:s, s:s, s:b, s:b, s:i, s:f, s:i, s:f, s:i}", "process", slot->name,
                     "instance", slot->instance, "state", slot_state(slot), "alive", slot->alive,
                     "ready", slot->ready, "pid", (int)slot->pid, "sinceSeconds",
                     seconds_since(slot->start_ns, now_ns), "restarts", (int)slot->restarts,
                     "heartbeatAgeSeconds", seconds_since(slot->heartbeat_ns, now_ns), "slot",
                     (int)slot->index);
}

static void print_slot(const struct slot_info *slot, uint64_t now_ns)
{
    printf("%-16s %-8s %-10s %8d %10.0fs %9u %11.1fs\n", slot->name, slot->instance,
           slot_state(slot), (int)slot->pid, seconds_since(slot->start_ns, now_ns), slot->restarts,
           seconds_since(slot->heartbeat_ns, now_ns));
}

// Returns how many processes are dead without having left.
static int report_processes(const struct segment *segment, uint64_t now_ns, json_t *list)
{
    int dead = 0;
    struct slot_info slot;
    if (!list)
        printf("%-16s %-8s %-10s %8s %11s %9s %12s\n", "PROCESS", "INSTANCE", "STATE", "PID",
               "SINCE", "RESTARTS", "HEARTBEAT");
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        if (!slot_read(segment, i, &slot) || is_long_gone(&slot, now_ns))
            continue;
        dead += !slot.alive && !slot.left_cleanly;
        if (list)
            json_array_append_new(list, slot_json(&slot, now_ns));
        else
            print_slot(&slot, now_ns);
    }
    return dead;
}

static json_t *report_advice(const struct segment *segment, bool json)
{
    struct advice advice;
    if (!advice_read(segment, &advice)) {
        if (!json)
            printf("\nadvice: none yet\n");
        return json_null();
    }
    if (!json) {
        printf("\nadvice: %s, %u -> %u instances: %.*s\n", advice_action_names[advice.action & 3],
               advice.current, advice.desired, ADVICE_REASON_MAX, advice.reason);
        return NULL;
    }
    return json_pack("{s:s, s:i, s:i, s:s}", "action", advice_action_names[advice.action & 3],
                     "current", (int)advice.current, "desired", (int)advice.desired, "reason",
                     advice.reason);
}

int command_status(struct valvectl *ctl)
{
    struct segment *segment;
    struct breaker_view *breakers = NULL;
    int result = valvectl_open_segment(ctl, &segment);
    if (result != VALVECTL_OK)
        return result;
    uint64_t now_ns = clock_mono_ns();
    json_t *root = NULL, *processes = NULL, *breaker_list = NULL;
    if (ctl->json) {
        processes = json_array();
        breaker_list = json_array();
        root = json_pack("{s:s, s:o, s:o}", "suite", ctl->suite.name, "processes", processes,
                         "breakers", breaker_list);
    }
    int dead = report_processes(segment, now_ns, processes);
    if (!ctl->json)
        puts("");
    if (breaker_attach(segment, NULL, &breakers) == 0)
        valvectl_show_breakers(breakers, now_ns, breaker_list);
    json_t *advice = report_advice(segment, ctl->json);
    if (root) {
        json_object_set_new(root, "advice", advice);
        json_dumpf(root, stdout, JSON_INDENT(2));
        puts("");
        json_decref(root);
    }
    breaker_detach(&breakers);
    segment_close(&segment);
    return dead > 0 ? VALVECTL_FINDING : VALVECTL_OK;
}
