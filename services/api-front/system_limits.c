// The figures of the rate limit report that are counted by whoever decides: gateways and limiter.
#include <stdio.h>

#include "base/clock.h"
#include "limit/top.h"
#include "request.h"
#include "system.h"
#include "token.h"

#define TOP_SHOWN 20

static void add_figure(const struct metric_reading *reading, const char *metric, const char *policy,
                       json_t *report, const char *member)
{
    char labels[LIMIT_NAME_MAX + 16];
    double value = 0;
    (void)snprintf(labels, sizeof(labels), "policy=\"%s\"", policy);
    (void)metric_reading_lookup(reading, metric, labels, &value); // none has counted: 0
    json_object_set_new(report, member, json_integer((json_int_t)value));
}

void system_limit_add_figures(struct valves *valves, json_t *policies)
{
    struct metric_reading *reading = NULL;
    size_t i;
    json_t *policy;
    if (metric_reading_create(valves->service->segment, &reading) != 0)
        return;
    json_array_foreach(policies, i, policy)
    {
        const char *name = json_string_value(json_object_get(policy, "name"));
        add_figure(reading, "valvechain_rate_limit_charged_total", name, policy, "hits");
        add_figure(reading, "valvechain_rate_limit_near_total", name, policy, "nearLimit");
        add_figure(reading, "valvechain_rate_limit_shadow_hits_total", name, policy,
                   "shadowRefused");
        add_figure(reading, "valvechain_limit_check_hits_total", name, policy, "checksRefused");
    }
    metric_reading_destroy(&reading);
}

json_t *system_limit_top(const struct request *request)
{
    const struct valves *valves = request->valves;
    bool named = (request->identity.scopes & TOKEN_SCOPE_ADMIN) != 0; // names are personal data
    struct top_key keys[TOP_SHOWN];
    uint64_t within_ns = valves_limits_params(valves)->top_time_ms * NS_PER_MS;
    uint64_t now_ns = clock_mono_ns();
    size_t n = top_read(valves->service->segment, within_ns, keys, TOP_SHOWN);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *entry =
            json_pack("{s:s,s:I,s:I,s:I}", "policy", keys[i].policy, "refused",
                      (json_int_t)keys[i].count, "atMostTooMany", (json_int_t)keys[i].error,
                      "secondsAgo", (json_int_t)((now_ns - keys[i].last_ns) / NS_PER_S));
        if (named)
            json_object_set_new(entry, "key", json_string(keys[i].name));
        json_array_append_new(list, entry);
    }
    return list;
}
