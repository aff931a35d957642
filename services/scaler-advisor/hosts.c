#include "hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define LIFE_TOLERANCE_MS 1000 // a clock that is stepped further begins another life
#define RATE_STEP_MS      500  // rates are taken over no less
#define DRIFT_PART        5000 // 200 ppm: more than two oscillators part

void hosts_init(struct hosts *hosts, uint64_t stale_ns, uint64_t forget_ns)
{
    memset(hosts, 0, sizeof(*hosts));
    hosts->stale_ns = stale_ns;
    hosts->forget_ns = forget_ns;
}

static struct host *find(struct hosts *hosts, const char *name)
{
    for (size_t i = 0; i < hosts->n; i++)
        if (strcmp(hosts->hosts[i].name, name) == 0)
            return &hosts->hosts[i];
    return NULL;
}

static int64_t life_of(const struct host_report *report)
{
    return (int64_t)(report->wall_ns / NS_PER_MS) - (int64_t)report->uptime_ms;
}

static int64_t offset_of(uint64_t now_ns, const struct host_report *report)
{
    return (int64_t)now_ns - (int64_t)(report->uptime_ms * NS_PER_MS);
}

static void set_base(struct host *host, const struct host_report *report)
{
    host->base_requests = report->requests_total;
    host->base_refusals = report->refusals_total;
    host->base_uptime_ms = report->uptime_ms;
}

static void begin_life(struct host *host, uint64_t now_ns, const struct host_report *report)
{
    host->offset_ns = offset_of(now_ns, report);
    set_base(host, report);
}

static void take_rate(struct host *host, const struct host_report *report)
{
    bool fell = report->requests_total < host->base_requests ||
                report->refusals_total < host->base_refusals;
    uint64_t step_ms = report->uptime_ms - host->base_uptime_ms;
    if (!report->rate_known)
        host->has_rate = false; // its counters stand still and say nothing of the load
    if (fell || !report->rate_known) {
        set_base(host, report);
        return;
    }
    if (step_ms < RATE_STEP_MS)
        return;
    host->rate = (double)(report->requests_total - host->base_requests) * 1000 / (double)step_ms;
    host->refusal_rate =
        (double)(report->refusals_total - host->base_refusals) * 1000 / (double)step_ms;
    host->has_rate = true;
    set_base(host, report);
}

// Of a host that is known: is it news, and in time?
static bool is_news(struct hosts *hosts, struct host *host, uint64_t now_ns,
                    const struct host_report *report)
{
    int64_t offset_ns = offset_of(now_ns, report);
    if (llabs(life_of(report) - host->life_ms) > LIFE_TOLERANCE_MS) {
        hosts->restarts++;
        begin_life(host, now_ns, report);
        return true;
    }
    if (report->sequence <= host->last.sequence || report->uptime_ms < host->base_uptime_ms) {
        hosts->repeated++;
        return false;
    }
    host->offset_ns += (int64_t)((now_ns - host->heard_ns) / DRIFT_PART);
    host->heard_ns = now_ns;
    if (offset_ns < host->offset_ns)
        host->offset_ns = offset_ns;
    if (offset_ns - host->offset_ns > (int64_t)hosts->stale_ns) {
        hosts->late++;
        return false;
    }
    take_rate(host, report);
    return true;
}

bool hosts_take(struct hosts *hosts, uint64_t now_ns, const struct host_report *report)
{
    char name[HOST_NAME_MAX_BYTES];
    snprintf(name, sizeof(name), "%.64s/%.24s", report->host, report->instance);
    struct host *host = find(hosts, name);
    if (host == NULL) {
        if (hosts->n == HOSTS_MAX) {
            hosts->refused++;
            return false;
        }
        host = &hosts->hosts[hosts->n++];
        *host = (struct host){0};
        memcpy(host->name, name, sizeof(name));
        host->heard_ns = now_ns;
        begin_life(host, now_ns, report);
    } else if (!is_news(hosts, host, now_ns, report)) {
        return false;
    }
    host->last = *report;
    host->last.host = host->last.instance = NULL;
    host->life_ms = life_of(report);
    host->received_ns = host->heard_ns = now_ns;
    return true;
}

static void forget(struct hosts *hosts, uint64_t now_ns)
{
    for (size_t i = 0; i < hosts->n;) {
        if (now_ns - hosts->hosts[i].heard_ns < hosts->forget_ns)
            i++;
        else
            hosts->hosts[i] = hosts->hosts[--hosts->n];
    }
}

static void add_share(struct host_share *share, bool known, double percent, uint32_t instances)
{
    if (!known || instances == 0)
        return;
    share->percent += percent * instances; // divided at the end
    share->measured += instances;
}

static void divide(struct host_share *share)
{
    if (share->measured > 0)
        share->percent /= share->measured;
}

static void add_host(const struct host *host, struct hosts_sum *sum, double *weight)
{
    const struct host_report *last = &host->last;
    sum->hosts++;
    sum->instances += last->instances;
    sum->active_connections += last->active_connections;
    sum->dependency_open = sum->dependency_open || last->breakers_open > 0;
    add_share(&sum->cpu, last->cpu_known, last->cpu_percent, last->instances);
    add_share(&sum->memory, last->memory_known, last->memory_percent, last->instances);
    if (host->has_rate) {
        sum->requests_per_s += host->rate;
        sum->refusals_per_s += host->refusal_rate;
        sum->rate_measured += last->instances;
    }
    if (last->response_known && host->has_rate && host->rate > 0) {
        sum->response_ms += last->response_ms * host->rate;
        *weight += host->rate;
    }
}

void hosts_sum(struct hosts *hosts, uint64_t now_ns, struct hosts_sum *ret_sum)
{
    struct hosts_sum sum = {0};
    double weight = 0;
    forget(hosts, now_ns);
    for (size_t i = 0; i < hosts->n; i++) {
        const struct host *host = &hosts->hosts[i];
        if (now_ns - host->received_ns < hosts->stale_ns) {
            add_host(host, &sum, &weight);
        } else {
            sum.silent++;
            sum.missing += host->last.instances;
        }
    }
    divide(&sum.cpu);
    divide(&sum.memory);
    sum.response_known = weight > 0;
    if (weight > 0)
        sum.response_ms /= weight;
    *ret_sum = sum;
}
