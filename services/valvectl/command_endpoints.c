// valvectl endpoints: what active probes say of the endpoints, from the segment.
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "breaker/probed.h"
#include "valvectl.h"

static double ago_s(uint64_t at_ns, uint64_t now_ns)
{
    return now_ns > at_ns ? (double)(now_ns - at_ns) / (double)NS_PER_S : 0;
}

static json_t *endpoint_json(const struct probed *record, uint64_t now_ns)
{
    json_t *probed =
        record->probed_ns != 0 ? json_real(ago_s(record->probed_ns, now_ns)) : json_null();
    json_t *reason = record->reason[0] != '\0' ? json_string(record->reason) : json_null();
    return json_pack("{s:s, s:s, s:s, s:s, s:f, s:o, s:f, s:I, s:I, s:o}", "upstream",
                     record->upstream, "endpoint", record->endpoint, "probe", record->kind, "state",
                     probed_state_names[probed_state_at(record, now_ns)], "sinceSeconds",
                     ago_s(record->since_ns, now_ns), "probedSecondsAgo", probed, "tookMs",
                     (double)record->took_ns / (double)NS_PER_MS, "good",
                     (json_int_t)record->successes, "bad", (json_int_t)record->failures, "reason",
                     reason);
}

static void print_endpoint(const struct probed *record, uint64_t now_ns)
{
    char probed[32] = "never";
    if (record->probed_ns != 0)
        snprintf(probed, sizeof(probed), "%.1fs", ago_s(record->probed_ns, now_ns));
    printf("%-16s %-36s %-8s %-9s %8.0fs %8s %8.1fms %8" PRIu64 " %8" PRIu64 "  %s\n",
           record->upstream, record->endpoint, record->kind,
           probed_state_names[probed_state_at(record, now_ns)], ago_s(record->since_ns, now_ns),
           probed, (double)record->took_ns / (double)NS_PER_MS, record->successes, record->failures,
           record->reason);
}

int command_endpoints(struct valvectl *ctl)
{
    struct segment *segment;
    int result = valvectl_open_segment(ctl, &segment);
    if (result != VALVECTL_OK)
        return result;
    struct probed record;
    uint64_t now_ns = clock_mono_ns();
    json_t *list = ctl->json ? json_array() : NULL;
    if (!list)
        printf("%-16s %-36s %-8s %-9s %9s %8s %10s %8s %8s  %s\n", "UPSTREAM", "ENDPOINT", "PROBE",
               "STATE", "SINCE", "PROBED", "TOOK", "GOOD", "BAD", "REASON");
    for (uint32_t i = 0; i < PROBED_MAX; i++) {
        if (!probed_read(segment, i, &record))
            continue;
        if (list)
            json_array_append_new(list, endpoint_json(&record, now_ns));
        else
            print_endpoint(&record, now_ns);
    }
    if (list) {
        json_dumpf(list, stdout, JSON_INDENT(2));
        puts("");
        json_decref(list);
    }
    segment_close(&segment);
    return VALVECTL_OK;
}
