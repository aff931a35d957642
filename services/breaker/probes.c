#include "probes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "breaker_metrics.h"
#include "probe_target.h"
#include "reply.h"

struct probes {
    struct service *service;
    struct curl_loop *curl;
    struct probe_target *targets[PROBED_MAX];
    uint32_t n_targets;
};

static size_t count(const struct config_model *model)
{
    size_t n = 0;
    for (size_t i = 0; i < model->n_upstreams; i++)
        n += model->upstreams[i].probe.kind != CONFIG_PROBE_OFF ? model->upstreams[i].n_endpoints
                                                                : 0;
    return n;
}

int probes_check(const struct config_model *model, struct problems *problems)
{
    size_t n = count(model);
    if (n <= PROBED_MAX)
        return 0;
    problems_add(problems, "%zu endpoints have a probe, allowed are at most %d", n, PROBED_MAX);
    return -EINVAL;
}

static void tell(struct probes *probes, const struct probed *record)
{
    Valvechain__V1__Origin origin;
    Valvechain__V1__EndpointEvent event = VALVECHAIN__V1__ENDPOINT_EVENT__INIT;
    char topic[64];
    const char *change = probed_state_names[record->state];
    log_warn("endpoint.changed", "what probes say of an endpoint has changed",
             LSTR("upstream", record->upstream), LSTR("endpoint", record->endpoint),
             LSTR("change", change), LSTR("kind", record->kind), LSTR("reason", record->reason));
    bus_origin(probes->service->bus, &origin);
    event.origin = &origin;
    event.upstream = reply_text(record->upstream);
    event.endpoint = reply_text(record->endpoint);
    event.change = reply_text(change);
    event.reason = reply_text(record->reason);
    snprintf(topic, sizeof(topic), "endpoint.event.%s", record->upstream);
    (void)bus_publish(probes->service->bus, topic, &event.base); // the log has it, too
}

static void on_probed(struct probe_target *target, bool changed)
{
    struct probes *probes = target->arg;
    struct metric_set *metrics = probes->service->metrics;
    const struct probed *record = &target->record;
    metric_add(metrics, record->reason[0] == '\0' ? target->good : target->bad, 1);
    metric_gauge(metrics, target->healthy, record->state == PROBED_UNHEALTHY ? 0 : 1);
    probed_write(probes->service->segment, target->index, record);
    if (changed)
        tell(probes, record);
}

static void register_metrics(struct probes *probes, struct probe_target *target, size_t at)
{
    char index[24];
    snprintf(index, sizeof(index), "%zu", at);
    const char *const good[] = {target->record.upstream, index, "good"};
    const char *const bad[] = {target->record.upstream, index, "bad"};
    struct metric_set *metrics = probes->service->metrics;
    target->good = metric_register(metrics, &breaker_metric_defs[METRIC_INDEX_probes], good);
    target->bad = metric_register(metrics, &breaker_metric_defs[METRIC_INDEX_probes], bad);
    target->healthy =
        metric_register(metrics, &breaker_metric_defs[METRIC_INDEX_endpoint_healthy], good);
    metric_gauge(metrics, target->healthy, target->judge.state == PROBED_UNHEALTHY ? 0 : 1);
}

// A predecessor's word, or what was found before a reload, stands while it counts.
static void adopt(struct probes *probes, struct probe_target *target)
{
    struct probed old;
    uint32_t hint = 0;
    if (!probed_find(probes->service->segment, target->record.upstream, target->record.endpoint,
                     &hint, &old) ||
        strcmp(old.kind, target->record.kind) != 0)
        return;
    target->judge.state = probed_state_at(&old, clock_mono_ns());
    if (target->judge.state != PROBED_UNKNOWN)
        target->record = old;
}

static int add_upstream(struct probes *probes, const struct config_upstream *upstream)
{
    for (size_t i = 0; i < upstream->n_endpoints && probes->n_targets < PROBED_MAX; i++) {
        struct probe_target *target;
        int r = probe_target_create(probes->service->loop, probes->curl, upstream,
                                    &upstream->endpoints[i], &target);
        if (r < 0)
            return r;
        target->on_probed = on_probed;
        target->arg = probes;
        target->index = probes->n_targets;
        adopt(probes, target);
        register_metrics(probes, target, i);
        probes->targets[probes->n_targets++] = target;
    }
    return 0;
}

static void drop_targets(struct probe_target **targets, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        probe_target_destroy(&targets[i]);
}

static int add_model(struct probes *probes)
{
    const struct config_model *model = probes->service->model;
    int r = 0;
    probes->n_targets = 0;
    for (size_t i = 0; i < model->n_upstreams && r == 0; i++)
        if (model->upstreams[i].probe.kind != CONFIG_PROBE_OFF)
            r = add_upstream(probes, &model->upstreams[i]);
    return r;
}

static void publish(struct probes *probes)
{
    for (uint32_t i = 0; i < probes->n_targets; i++)
        probed_write(probes->service->segment, i, &probes->targets[i]->record);
    for (uint32_t i = probes->n_targets; i < PROBED_MAX; i++)
        probed_write(probes->service->segment, i, NULL);
}

int probes_reload(struct probes *probes)
{
    struct probe_target *olds[PROBED_MAX];
    uint32_t n_olds = probes->n_targets;
    memcpy(olds, probes->targets, sizeof(olds));
    if (add_model(probes) < 0) {
        drop_targets(probes->targets, probes->n_targets);
        memcpy(probes->targets, olds, sizeof(olds));
        probes->n_targets = n_olds;
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < probes->n_targets; i++)
        probe_target_start(probes->targets[i]);
    drop_targets(olds, n_olds);
    publish(probes);
    return 0;
}

int probes_create(struct service *service, struct probes **ret_probes)
{
    struct probes *probes = calloc(1, sizeof(*probes));
    int r = probes != NULL ? curl_loop_create(service->loop, &probes->curl) : -ENOMEM;
    if (r == 0) {
        probes->service = service;
        r = probes_reload(probes);
    }
    if (r < 0) {
        probes_destroy(&probes);
        return r;
    }
    *ret_probes = probes;
    return 0;
}

void probes_destroy(struct probes **probes_p)
{
    struct probes *probes = *probes_p;
    *probes_p = NULL;
    if (probes == NULL)
        return;
    drop_targets(probes->targets, probes->n_targets);
    if (probes->curl != NULL)
        curl_loop_destroy(&probes->curl);
    free(probes);
}
