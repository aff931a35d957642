#include "metrics_agent.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent_params.h"
#include "base/clock.h"
#include "base/log.h"
#include "feed.h"
#include "history/history.h"
#include "host.h"
#include "listener.h"
#include "rates.h"
#include "remote.h"
#include "totals.h"

enum {
#define METRIC_ROWS "metrics.def"
#include "metric/metric_enum.inc"
};
static const struct metric_def metric_defs[] = {
#include "metric/metric_table.inc"
};
#undef METRIC_ROWS

enum figure { FIGURE_RATE, FIGURE_CPU, FIGURE_MEMORY, N_FIGURES };
static const char *const figure_names[N_FIGURES] = {"rate", "cpu", "memory"};
enum { N_PROCESSES = 5 };
static const char *const process_names[N_PROCESSES] = {"api-front", "limiter", "breaker",
                                                       "metrics-agent", "scaler-advisor"};

struct metrics_agent {
    struct service *service;
    const struct agent_params *params;
    const struct monitoring_params *monitoring;
    uv_timer_t timer;
    struct listener *listener;
    struct remote remote;
    struct breaker_view *breakers;
    struct rates rates;
    struct feed *feed;
    struct history *history; // NULL: none, or HISTORY_ENABLED=false
    bool left_out;           // logged once until all have places again
    struct host_paths paths;
    enum host_scope scope;
    struct host_cpu cpu_before;
    bool cpu_before_known;
    uint64_t sequence;
    bool figure_failed[N_FIGURES]; // logged once until it works again
    metric_id ids[sizeof(metric_defs) / sizeof(metric_defs[0])];
    metric_id measured[N_FIGURES], errors[N_FIGURES], alive[N_PROCESSES];
};

struct sample {
    struct totals totals;
    struct rates_result rates;
    double cpu_percent, memory_percent;
    struct host_memory memory;
    bool known[N_FIGURES];
    uint32_t breakers_open;
};

static void register_metrics(struct metrics_agent *agent)
{
    struct metric_set *set = agent->service->metrics;
    for (size_t i = 0; i < sizeof(metric_defs) / sizeof(metric_defs[0]); i++) {
        if (metric_defs[i].labels[0] == '\0')
            agent->ids[i] = metric_register(set, &metric_defs[i], NULL);
    }
    for (int i = 0; i < N_FIGURES; i++) {
        const char *const labels[] = {figure_names[i]};
        agent->measured[i] = metric_register(set, &metric_defs[METRIC_INDEX_measured], labels);
        agent->errors[i] = metric_register(set, &metric_defs[METRIC_INDEX_sample_errors], labels);
    }
    for (int i = 0; i < N_PROCESSES; i++) {
        const char *const labels[] = {process_names[i]};
        agent->alive[i] = metric_register(set, &metric_defs[METRIC_INDEX_processes_alive], labels);
    }
}

static void note_error(struct metrics_agent *agent, enum figure figure, int error)
{
    if (error < 0)
        metric_add(agent->service->metrics, agent->errors[figure], 1);
    if (error < 0 && !agent->figure_failed[figure])
        log_warn("agent.sample_failed", "a figure cannot be measured and is reported as not known",
                 LSTR("figure", figure_names[figure]), LSTR("error", strerror(-error)));
    agent->figure_failed[figure] = error < 0;
}

static void sample_host(struct metrics_agent *agent, struct sample *sample)
{
    struct host_cpu cpu;
    int error = host_cpu_read(&agent->paths, agent->scope, clock_mono_ns() / NS_PER_US, &cpu);
    if (error == 0) {
        sample->known[FIGURE_CPU] =
            agent->cpu_before_known &&
            host_cpu_percent(&agent->cpu_before, &cpu, &sample->cpu_percent);
        agent->cpu_before = cpu;
    }
    agent->cpu_before_known = error == 0;
    note_error(agent, FIGURE_CPU, error);

    error = host_memory_read(&agent->paths, agent->scope, &sample->memory);
    sample->known[FIGURE_MEMORY] = error == 0 && sample->memory.limit_bytes > 0;
    if (sample->known[FIGURE_MEMORY])
        sample->memory_percent =
            100.0 * (double)sample->memory.used_bytes / (double)sample->memory.limit_bytes;
    note_error(agent, FIGURE_MEMORY, error);
}

static void sample_suite(struct metrics_agent *agent, const struct metric_reading *reading,
                         uint64_t now_ns, struct sample *sample)
{
    struct breaker_status status;
    totals_read(agent->service->segment, reading, &sample->totals);
    struct rates_sample totals = {now_ns, sample->totals.requests, sample->totals.durations_ns};
    rates_add(&agent->rates, &totals);
    rates_read(&agent->rates, agent->params->rate_window_s * NS_PER_S, &sample->rates);
    // With METRICS_COLLECTION=false the requests' counters stand still and say nothing of the load.
    sample->known[FIGURE_RATE] = sample->rates.known && agent->monitoring->collection;
    for (uint32_t i = 0; breaker_next(agent->breakers, &i, now_ns, &status); i++)
        sample->breakers_open += status.state != BREAKER_CLOSED;
}

static void write_gauges(struct metrics_agent *agent, const struct sample *sample)
{
    struct metric_set *set = agent->service->metrics;
    const metric_id *ids = agent->ids;
    const struct totals *totals = &sample->totals;
    const uint32_t alive[N_PROCESSES] = {totals->fronts, totals->limiters, totals->breakers,
                                         totals->agents, totals->advisors};
    metric_add(set, ids[METRIC_INDEX_samples], 1);
    if (sample->known[FIGURE_RATE]) {
        metric_gauge(set, ids[METRIC_INDEX_requests_per_second], sample->rates.requests_per_second);
        metric_gauge(set, ids[METRIC_INDEX_average_response_time],
                     sample->rates.average_response_ms);
    }
    if (sample->known[FIGURE_CPU])
        metric_gauge(set, ids[METRIC_INDEX_cpu_percent], sample->cpu_percent);
    if (sample->known[FIGURE_MEMORY]) {
        metric_gauge(set, ids[METRIC_INDEX_memory_percent], sample->memory_percent);
        metric_gauge(set, ids[METRIC_INDEX_memory_limit], (double)sample->memory.limit_bytes);
    }
    metric_gauge(set, ids[METRIC_INDEX_memory_used], totals->resident_bytes);
    for (int i = 0; i < N_PROCESSES; i++)
        metric_gauge(set, agent->alive[i], alive[i]);
    for (int i = 0; i < N_FIGURES; i++) // last: who reads that a figure is known finds its value
        metric_gauge(set, agent->measured[i], sample->known[i] ? 1 : 0);
}

static void publish_snapshot(struct metrics_agent *agent, uint64_t now_ns,
                             const struct sample *sample)
{
    Valvechain__V1__Origin origin = VALVECHAIN__V1__ORIGIN__INIT;
    Valvechain__V1__MetricsSnapshot snapshot = VALVECHAIN__V1__METRICS_SNAPSHOT__INIT;
    bus_origin(agent->service->bus, &origin);
    snapshot.origin = &origin;
    snapshot.sequence = ++agent->sequence;
    snapshot.requests_per_second = sample->rates.requests_per_second;
    snapshot.average_response_time_known =
        sample->known[FIGURE_RATE] && !isnan(sample->rates.average_response_ms);
    if (snapshot.average_response_time_known)
        snapshot.average_response_time_ms = sample->rates.average_response_ms;
    snapshot.requests_total = sample->totals.requests;
    snapshot.requests_last_second = sample->rates.requests_last_step;
    snapshot.rate_known = sample->known[FIGURE_RATE];
    snapshot.active_connections = (uint64_t)sample->totals.active_connections;
    snapshot.cpu_known = sample->known[FIGURE_CPU];
    snapshot.cpu_percent = sample->cpu_percent;
    snapshot.memory_known = sample->known[FIGURE_MEMORY];
    snapshot.memory_percent = sample->memory_percent;
    snapshot.memory_used_bytes = (uint64_t)sample->totals.resident_bytes;
    snapshot.memory_limit_bytes = sample->memory.limit_bytes;
    snapshot.front_instances = sample->totals.fronts;
    snapshot.breakers_open = sample->breakers_open;
    snapshot.limit_refusals_total = sample->totals.refusals;
    snapshot.uptime_ms = (now_ns - agent->service->start_ns) / NS_PER_MS;
    bus_publish(agent->service->bus, "metrics.snapshot", &snapshot.base); // the bus counts a drop
}

// The second that has just ended.
static void write_history(struct metrics_agent *agent, const struct metric_reading *reading,
                          uint64_t now_ns, uint64_t now_s, const struct sample *sample)
{
    float values[HISTORY_PLACES];
    const bool *known = sample->known;
    const struct feed_given given = {.cpu_percent = known[FIGURE_CPU] ? sample->cpu_percent : NAN,
                                     .memory_percent =
                                         known[FIGURE_MEMORY] ? sample->memory_percent : NAN,
                                     .resident_bytes = sample->totals.resident_bytes,
                                     .connections = sample->totals.active_connections,
                                     .instances = sample->totals.fronts,
                                     .counts = agent->monitoring->collection};
    if (!agent->history)
        return;
    uint32_t left_out = feed_read(agent->feed, agent->service->segment, reading, agent->breakers,
                                  &given, now_ns, now_s, agent->history, values);
    history_write(agent->history, now_s - 1, values);
    metric_gauge(agent->service->metrics, agent->ids[METRIC_INDEX_history_left_out], left_out);
    if (left_out > 0 && !agent->left_out)
        log_warn("agent.history_full", "the history has no place for some series",
                 LUINT("left_out", left_out));
    agent->left_out = left_out > 0;
}

static void on_second(uv_timer_t *timer);

// At the beginning of each second by the wall clock: a repeating timer would drift through the
// seconds and now and then miss one.
static void wait_for_second(struct metrics_agent *agent)
{
    uint64_t into_ms = clock_wall_ns() % NS_PER_S / NS_PER_MS;
    uv_update_time(agent->service->loop);
    uv_timer_start(&agent->timer, on_second, 1000 - into_ms, 0);
}

static void on_second(uv_timer_t *timer)
{
    struct metrics_agent *agent = timer->data;
    struct sample sample = {0};
    struct metric_reading *reading;
    uint64_t now_ns = clock_mono_ns();
    // libuv's milliseconds may end one too early.
    uint64_t now_s = (clock_wall_ns() + 10 * NS_PER_MS) / NS_PER_S;
    wait_for_second(agent);
    if (metric_reading_create(agent->service->segment, &reading) < 0)
        return; // no memory: a gap of a second
    sample_host(agent, &sample);
    sample_suite(agent, reading, now_ns, &sample);
    write_history(agent, reading, now_ns, now_s, &sample);
    metric_reading_destroy(&reading);
    write_gauges(agent, &sample);
    publish_snapshot(agent, now_ns, &sample);
    listener_retry(agent->listener);
    remote_tick(&agent->remote, agent->service, agent->params);
    metric_add(agent->service->metrics, agent->ids[METRIC_INDEX_scrapes],
               listener_take_scrapes(agent->listener));
}

static int agent_check(void *const *params, const struct config_model *model,
                       struct problems *problems)
{
    const struct agent_params *own = params[1];
    const struct host_paths paths = {"/proc", "/sys/fs/cgroup"};
    enum host_scope scope;
    (void)model;
    if (host_scope_resolve(&paths, (enum host_scope)own->scope, &scope) < 0) {
        problems_add(problems, "METRICS_SCOPE: cgroup is asked for and there is no cgroup v2 with "
                               "cpu.stat under /sys/fs/cgroup; allowed here: auto, host");
        return -EINVAL;
    }
    return remote_check(own, problems);
}

static void agent_take_params(struct metrics_agent *agent)
{
    agent->monitoring = agent->service->params[0];
    agent->params = agent->service->params[1];
}

static int open_history(struct metrics_agent *agent)
{
    int error = feed_create(&agent->feed);
    if (error < 0 || !agent->monitoring->history_enabled)
        return error;
    agent->history = history_of(agent->service->segment);
    if (agent->history && !history_mend(agent->history))
        log_warn("agent.history_damaged",
                 "the history in the segment was damaged and has begun anew");
    return 0;
}

static void agent_free(struct metrics_agent *agent)
{
    breaker_detach(&agent->breakers);
    feed_destroy(&agent->feed);
    free(agent);
}

static int agent_setup(struct service *service, void **ret_state)
{
    struct metrics_agent *agent = calloc(1, sizeof(*agent));
    if (!agent)
        return -ENOMEM;
    agent->service = service;
    agent->paths = (struct host_paths){"/proc", "/sys/fs/cgroup"};
    agent_take_params(agent);
    rates_init(&agent->rates);
    register_metrics(agent);
    int error =
        host_scope_resolve(&agent->paths, (enum host_scope)agent->params->scope, &agent->scope);
    if (error == 0)
        error = open_history(agent);
    if (error == 0)
        error = breaker_attach(service->segment, NULL, &agent->breakers);
    if (error == 0)
        error = listener_open(service, agent->params->listen, agent->monitoring, agent->breakers,
                              &agent->listener);
    if (error < 0) {
        agent_free(agent);
        return error;
    }
    uv_timer_init(service->loop, &agent->timer);
    agent->timer.data = agent;
    uv_timer_start(&agent->timer, on_second, 0, 0);
    *ret_state = agent;
    return 0;
}

static int agent_reload(struct service *service, void *state)
{
    (void)service;
    agent_take_params(state);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    agent_free(handle->data);
}

static void agent_teardown(struct service *service, void *state)
{
    struct metrics_agent *agent = state;
    (void)service;
    listener_close(&agent->listener);
    uv_close((uv_handle_t *)&agent->timer, on_timer_closed);
}

static const struct param_group *const groups[] = {&monitoring_param_group, &agent_param_group,
                                                   NULL};

const struct service_descriptor metrics_agent_descriptor = {
    .name = "metrics-agent",
    .summary = "samples rates, CPU and memory into the segment and publishes a snapshot a second",
    .groups = groups,
    .metrics = metric_defs,
    .n_metrics = sizeof(metric_defs) / sizeof(metric_defs[0]),
    .check = agent_check,
    .setup = agent_setup,
    .reload = agent_reload,
    .teardown = agent_teardown,
};
