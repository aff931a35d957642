#include <string.h>

#include "advice/published.h"
#include "base/clock.h"
#include "system.h"

static json_t *recommendation(enum advice_action action, const char *reason, const char *priority)
{
    return json_pack("{s:s,s:s,s:s}", "action", advice_action_names[action], "reason", reason,
                     "priority", priority);
}

json_t *system_recommendations(struct valves *valves)
{
    json_t *list = json_array();
    struct advice advice;
    if (!advice_read_fresh(valves->service->segment, clock_mono_ns(), &advice) || !advice.valid)
        return list;
    if (advice.action != ADVICE_SCALE_UP && advice.action != ADVICE_SCALE_DOWN)
        return list;
    // The specification's list has one entry for each signal that speaks for it.
    for (uint32_t i = 0; i < advice.n_signals && i < ADVICE_SIGNALS_MAX; i++)
        if (advice.signals[i].action == advice.action)
            json_array_append_new(
                list, recommendation(advice.action, advice.signals[i].reason, advice.priority));
    if (json_array_size(list) == 0)
        json_array_append_new(list, recommendation(advice.action, advice.reason, advice.priority));
    return list;
}

unsigned system_advice_write(struct valves *valves, struct strbuf *out)
{
    struct advice advice;
    uint64_t now_ns = clock_mono_ns();
    char as_of[32];
    if (!advice_read_fresh(valves->service->segment, now_ns, &advice))
        return 0;
    system_timestamp(clock_wall_ns() - (now_ns - advice.decided_ns), as_of);
    advice_json(&advice, as_of, out);
    return advice.valid ? 200 : 503;
}

json_t *system_autoscaling_report(struct valves *valves)
{
    struct figures figures;
    figures_read(valves->service->segment, &figures);
    uint64_t uptime_ms = (clock_mono_ns() - valves->service->start_ns) / NS_PER_MS;
    return json_pack("{s:o,s:o,s:o,s:o,s:I,s:I,s:o}", "rps",
                     system_figure(&figures.requests_per_second, 1), "averageResponseTime",
                     system_figure(&figures.average_response_time_ms, 1), "memoryUsagePercent",
                     system_figure(&figures.memory_percent, 1), "cpuUsagePercent",
                     system_figure(&figures.cpu_percent, 1), "activeConnections",
                     (json_int_t)figures.active_connections, "uptime", (json_int_t)uptime_ms,
                     "recommendations", system_recommendations(valves));
}
