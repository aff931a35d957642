#include "hearing.h"

#include <errno.h>
#include <stdlib.h>

#include "agents.h"
#include "base/clock.h"
#include "metric/metric.h"

enum {
#define METRIC_ROWS "metrics.def"
#include "metric/metric_enum.inc"
};
static const struct metric_def metric_defs[] = {
#include "metric/metric_table.inc"
};
#undef METRIC_ROWS

enum { MADE_RESTART, MADE_LATE, MADE_REPEATED, MADE_REFUSED, N_MADE };
static const char *const made_names[N_MADE] = {"restart", "late", "repeated", "refused"};

struct hearing {
    struct service *service;
    struct agents *agents;
    struct hosts hosts;
    uint64_t shown[N_MADE]; // of the counters of hosts
    metric_id snapshots, fresh, silent, made[N_MADE];
};

static void on_snapshot(void *arg, const char *topic, const ProtobufCMessage *message)
{
    struct hearing *hearing = arg;
    (void)topic;
    if (!message || message->descriptor != &valvechain__v1__metrics_snapshot__descriptor)
        return; // the bus has counted what it could not decode
    // protobuf-c messages begin with their base: the descriptor has just been checked.
    const Valvechain__V1__MetricsSnapshot *snapshot = (const void *)message;
    const Valvechain__V1__Origin *origin = snapshot->origin;
    const struct host_report report = {
        .host = origin != NULL ? origin->host : "",
        .instance = origin != NULL ? origin->instance : "",
        .wall_ns = origin != NULL ? origin->wall_ns : 0,
        .sequence = snapshot->sequence,
        .uptime_ms = snapshot->uptime_ms,
        .requests_total = snapshot->requests_total,
        .refusals_total = snapshot->limit_refusals_total,
        .rate_known = snapshot->rate_known,
        .cpu_known = snapshot->cpu_known,
        .memory_known = snapshot->memory_known,
        .response_known = snapshot->average_response_time_known,
        .cpu_percent = snapshot->cpu_percent,
        .memory_percent = snapshot->memory_percent,
        .response_ms = snapshot->average_response_time_ms,
        .instances = snapshot->front_instances,
        .active_connections = snapshot->active_connections,
        .breakers_open = snapshot->breakers_open,
    };
    metric_add(hearing->service->metrics, hearing->snapshots, 1);
    hosts_take(&hearing->hosts, clock_mono_ns(), &report);
}

static void register_metrics(struct hearing *hearing)
{
    struct metric_set *set = hearing->service->metrics;
    static const char *const fresh[] = {"fresh"}, *const silent[] = {"silent"};
    hearing->snapshots = metric_register(set, &metric_defs[METRIC_INDEX_snapshots], NULL);
    hearing->fresh = metric_register(set, &metric_defs[METRIC_INDEX_hosts], fresh);
    hearing->silent = metric_register(set, &metric_defs[METRIC_INDEX_hosts], silent);
    for (int i = 0; i < N_MADE; i++)
        hearing->made[i] =
            metric_register(set, &metric_defs[METRIC_INDEX_host_messages], &made_names[i]);
}

static void show(struct hearing *hearing, const struct hosts_sum *sum)
{
    const struct hosts *hosts = &hearing->hosts;
    struct metric_set *set = hearing->service->metrics;
    const uint64_t counts[N_MADE] = {hosts->restarts, hosts->late, hosts->repeated, hosts->refused};
    metric_gauge(set, hearing->fresh, sum->hosts);
    metric_gauge(set, hearing->silent, sum->silent);
    for (int i = 0; i < N_MADE; i++) {
        metric_add(set, hearing->made[i], counts[i] - hearing->shown[i]);
        hearing->shown[i] = counts[i];
    }
}

void hearing_read(struct hearing *hearing, uint64_t now_ns, struct hosts_sum *ret_sum)
{
    agents_tick(hearing->agents, now_ns);
    hosts_sum(&hearing->hosts, now_ns, ret_sum);
    show(hearing, ret_sum);
}

void hearing_take_params(struct hearing *hearing, const struct advisor_params *params)
{
    hearing->hosts.stale_ns = params->stale_after_s * NS_PER_S;
    hearing->hosts.forget_ns = params->agents_forget_s * NS_PER_S;
}

int hearing_open(struct service *service, const struct advisor_params *params,
                 struct hearing **ret_hearing)
{
    struct hearing *hearing = calloc(1, sizeof(*hearing));
    if (hearing == NULL)
        return -ENOMEM;
    hearing->service = service;
    hosts_init(&hearing->hosts, params->stale_after_s * NS_PER_S,
               params->agents_forget_s * NS_PER_S);
    register_metrics(hearing);
    int error = agents_open(service, params, on_snapshot, hearing, &hearing->agents);
    if (error < 0) {
        free(hearing);
        return error;
    }
    *ret_hearing = hearing;
    return 0;
}

void hearing_close(struct hearing **hearing_p)
{
    struct hearing *hearing = *hearing_p;
    *hearing_p = NULL;
    if (hearing == NULL)
        return;
    agents_close(&hearing->agents);
    free(hearing);
}
