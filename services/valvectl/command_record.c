// valvectl record: a trace for simulate, of a live suite by the snapshots of its metrics-agent.
#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "net/bus.h"
#include "record.h"
#include "service/service.h"
#include "trace.h"

struct recording {
    FILE *out;
    uint64_t first_ms, last_ms, last_refusals; // of the agent's uptime
    uint64_t for_ms;
    size_t n;
};

static void write_snapshot(struct recording *recording,
                           const Valvechain__V1__MetricsSnapshot *snapshot)
{
    struct trace_sample sample =
        trace_sample_unknown((double)(snapshot->uptime_ms - recording->first_ms) / 1000);
    double *values = sample.values;
    if (snapshot->rate_known)
        values[TRACE_RPS] = (double)snapshot->requests_last_second;
    if (snapshot->cpu_known && snapshot->front_instances > 0)
        values[TRACE_CPU] = snapshot->cpu_percent * snapshot->front_instances;
    if (snapshot->average_response_time_known)
        values[TRACE_LATENCY] = snapshot->average_response_time_ms;
    if (recording->n > 0 && snapshot->limit_refusals_total >= recording->last_refusals)
        values[TRACE_QUOTA] = (double)(snapshot->limit_refusals_total - recording->last_refusals) *
                              1000 / (double)(snapshot->uptime_ms - recording->last_ms);
    values[TRACE_DEPENDENCY] = snapshot->breakers_open > 0;
    trace_write_sample(recording->out, &sample);
    recording->n++;
}

static void on_snapshot(void *arg, const char *topic, const ProtobufCMessage *message)
{
    struct recording *recording = arg;
    (void)topic;
    if (message == NULL || message->descriptor != &valvechain__v1__metrics_snapshot__descriptor)
        return;
    // protobuf-c messages begin with their base: the descriptor has just been checked.
    const Valvechain__V1__MetricsSnapshot *snapshot = (const void *)message;
    if (recording->n == 0)
        recording->first_ms = snapshot->uptime_ms;
    else if (snapshot->uptime_ms < recording->last_ms) // the agent began anew: the trace goes on
        recording->first_ms -= recording->last_ms + 1000 - snapshot->uptime_ms;
    else if (snapshot->uptime_ms == recording->last_ms)
        return;
    write_snapshot(recording, snapshot);
    recording->last_ms = snapshot->uptime_ms;
    recording->last_refusals = snapshot->limit_refusals_total;
}

static void on_end(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    uv_stop(handle->loop); // what has been recorded is whole
}

static int listen_for(uv_loop_t *loop, struct bus *bus, struct recording *recording)
{
    uv_timer_t end;
    uv_signal_t interrupted;
    uv_timer_init(loop, &end);
    uv_signal_init(loop, &interrupted);
    uv_timer_start(&end, on_end, recording->for_ms, 0);
    uv_signal_start(&interrupted, on_signal, SIGINT);
    int error = bus_subscribe(bus, "metrics-agent", "metrics.snapshot", on_snapshot, recording);
    if (error == 0)
        uv_run(loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&end, NULL);
    uv_close((uv_handle_t *)&interrupted, NULL);
    bus_close(&bus);
    uv_run(loop, UV_RUN_DEFAULT); // the handles' close callbacks
    return error;
}

static int record_live(const struct valvectl *ctl, uint64_t for_ms, FILE *out, size_t *ret_n)
{
    char socket_dir[108], instance[24];
    struct recording recording = {.out = out, .for_ms = for_ms};
    uv_loop_t loop;
    struct bus *bus;
    int error = service_socket_dir(&ctl->suite, socket_dir, sizeof(socket_dir));
    snprintf(instance, sizeof(instance), "%d", (int)getpid());
    const struct bus_options options = {.socket_dir = socket_dir,
                                        .suite = ctl->suite.name,
                                        .process = "valvectl",
                                        .instance = instance};
    uv_loop_init(&loop);
    if (error == 0)
        error = bus_open(&loop, &options, &bus);
    if (error == 0)
        error = listen_for(&loop, bus, &recording);
    uv_loop_close(&loop);
    *ret_n = recording.n;
    return error;
}

int command_record(struct valvectl *ctl)
{
    uint64_t for_ms;
    size_t n = 0;
    char reason[RECORD_REASON_MAX] = "";
    if (ctl->argc != 1 || ctl->for_text == NULL) {
        fprintf(stderr, "valvectl: record takes --for TIME and one file\n");
        return VALVECTL_FINDING;
    }
    if (!valvectl_duration(ctl->for_text, &for_ms))
        return VALVECTL_FINDING;
    FILE *out = fopen(ctl->argv[0], "we");
    if (out == NULL) {
        fprintf(stderr, "valvectl: %s: %s\n", ctl->argv[0], strerror(errno));
        return VALVECTL_FINDING;
    }
    trace_write_head(out);
    int error = ctl->url != NULL ? record_history(ctl->url, for_ms, out, &n, reason)
                                 : record_live(ctl, for_ms, out, &n);
    bool written = !ferror(out);
    if (fclose(out) != 0 || !written) {
        fprintf(stderr, "valvectl: %s: %s\n", ctl->argv[0], strerror(errno));
        return VALVECTL_FINDING;
    }
    if (error < 0 || n == 0) {
        fprintf(stderr, "valvectl: nothing to record: %s\n",
                reason[0] != '\0' ? reason
                : error < 0       ? strerror(-error)
                                  : "no snapshot of a metrics-agent came");
        return VALVECTL_UNREACHABLE;
    }
    printf("%s: %zu samples\n", ctl->argv[0], n);
    return VALVECTL_OK;
}
