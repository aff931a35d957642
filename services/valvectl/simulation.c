#include "simulation.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "advice/advise.h"
#include "base/clock.h"

#define TIME_ZERO_S  1000000 // the library's times are never 0
#define STARTING_MAX 4096
#define FLIPS_KEPT   64

struct starting {
    double ready_s;
    uint32_t n;
};
struct run {
    const struct trace *trace;
    const struct simulation_model *model;
    struct advice_policy policy;
    struct advice_state state;
    struct simulation_result *result;
    uint32_t ordered, ready;
    struct starting starting[STARTING_MAX]; // oldest first
    size_t n_starting;
    int direction;            // of the last change
    double flips[FLIPS_KEPT]; // times of the newest flips
};

static double value_of(const struct trace_sample *sample, enum trace_column column)
{
    return sample->values[column];
}

// 0 where nothing was measured.
static double value_or_none(const struct trace_sample *sample, enum trace_column column)
{
    double value = sample->values[column];
    return isnan(value) ? 0 : value;
}

static double interval_of(const struct run *run, size_t i)
{
    const struct trace_sample *samples = run->trace->samples;
    return i > 0 ? samples[i].values[TRACE_TIME] - samples[i - 1].values[TRACE_TIME]
                 : run->trace->step_s;
}

__attribute__((format(printf, 2, 3))) static void broken(struct run *run, const char *format, ...)
{
    struct simulation_result *result = run->result;
    va_list arguments;
    if (result->broken++ > 0)
        return;
    va_start(arguments, format);
    vsnprintf(result->first_broken, sizeof(result->first_broken), format, arguments);
    va_end(arguments);
}

static void start_those_due(struct run *run, double now_s)
{
    size_t due = 0;
    while (due < run->n_starting && run->starting[due].ready_s <= now_s)
        run->ready += run->starting[due++].n;
    run->n_starting -= due;
    memmove(run->starting, run->starting + due, run->n_starting * sizeof(run->starting[0]));
}

static void order(struct run *run, double now_s, uint32_t wanted)
{
    while (wanted < run->ordered && run->n_starting > 0) { // the newest first
        struct starting *last = &run->starting[run->n_starting - 1];
        uint32_t n = run->ordered - wanted < last->n ? run->ordered - wanted : last->n;
        last->n -= n;
        run->ordered -= n;
        run->n_starting -= last->n == 0;
    }
    if (wanted < run->ordered) {
        run->ready -= run->ordered - wanted;
    } else if (wanted > run->ordered) {
        double ready_s = now_s + run->model->start_delay_s;
        bool is_full = run->n_starting == STARTING_MAX; // then with the newest of the others
        struct starting *slot = &run->starting[is_full ? STARTING_MAX - 1 : run->n_starting];
        run->n_starting += !is_full;
        *slot = (struct starting){ready_s, wanted - run->ordered + (is_full ? slot->n : 0)};
    }
    run->ordered = wanted;
}

// What is refused for lack of room, as a part of what is asked for.
static double part_refused(const struct run *run, double cpu_load)
{
    double room = 100.0 * run->ready;
    return cpu_load > room ? 1 - room / cpu_load : 0;
}

static void account(struct run *run, const struct trace_sample *sample, double interval_s)
{
    struct simulation_result *result = run->result;
    double load = value_or_none(sample, TRACE_CPU), rps = value_or_none(sample, TRACE_RPS);
    result->instance_hours += run->ordered * interval_s / 3600;
    result->asked += rps * interval_s;
    result->refused += rps * part_refused(run, load) * interval_s;
    if (load > run->model->over_percent * run->ready)
        result->minutes_over += interval_s / 60;
}

static struct advice_usage shared_by(const struct run *run, double total)
{
    struct advice_usage usage = advice_usage_total(total, run->ready);
    usage.unready = run->ordered - run->ready;
    return usage;
}

// False: nothing was measured.
static bool fill_sample(const struct run *run, const struct trace_sample *given, uint64_t now_ns,
                        struct advice_sample *ret_sample)
{
    double load = value_of(given, TRACE_CPU), rps = value_of(given, TRACE_RPS);
    double in_flight = value_of(given, TRACE_IN_FLIGHT), latency = value_of(given, TRACE_LATENCY);
    double refused = isnan(load) ? 0 : part_refused(run, load);
    struct advice_sample sample = {
        .time_ns = now_ns,
        .step_ns = (uint64_t)(run->trace->step_s * (double)NS_PER_S),
        .current = run->ordered,
        .ready = run->ready,
        .replacing = (uint32_t)value_or_none(given, TRACE_REPLACING),
        .dependency_open = value_or_none(given, TRACE_DEPENDENCY) > 0,
        .quota_refusals_per_s = value_or_none(given, TRACE_QUOTA),
        .capacity_refusals_per_s = value_or_none(given, TRACE_RPS) * refused,
    };
    if (!isnan(load)) {
        struct advice_usage *cpu = &sample.usage[ADVICE_CPU];
        *cpu = shared_by(run, fmin(load, 100.0 * run->ready));
        cpu->capacity = 100.0 * run->ready;
        cpu->unready_capacity = 100.0 * cpu->unready;
    }
    if (!isnan(rps))
        sample.usage[ADVICE_RPS] = shared_by(run, rps);
    if (!isnan(in_flight))
        sample.usage[ADVICE_IN_FLIGHT] = shared_by(run, in_flight);
    if (!isnan(latency))
        sample.usage[ADVICE_LATENCY] = advice_usage_value(latency);
    *ret_sample = sample;
    return !isnan(load) || !isnan(rps) || !isnan(in_flight) || !isnan(latency);
}

static uint32_t flips_within(const struct run *run, double now_s, double window_s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < run->result->flips && i < FLIPS_KEPT; i++)
        n += now_s - run->flips[(run->result->flips - 1 - i) % FLIPS_KEPT] < window_s;
    return n;
}

// `before`: the number that stood.
static void check_promises(struct run *run, const struct advice *advice, double now_s, bool is_open)
{
    const struct advice_policy *policy = &run->policy;
    bool full = policy->mode == ADVICE_MODE_FULL;
    uint32_t before = run->ordered, desired = advice->desired;
    if (advice_fold(advice) != desired)
        broken(run, "%.0f s: the chain comes to %u, not to %u", now_s, advice_fold(advice),
               desired);
    if (advice->valid && (desired < policy->min_instances || desired > policy->max_instances))
        broken(run, "%.0f s: %u is outside %u to %u", now_s, desired, policy->min_instances,
               policy->max_instances);
    if (!advice->valid && desired < before)
        broken(run, "%.0f s: blind, and %u becomes %u", now_s, before, desired);
    if (full && is_open && advice->valid && desired < before)
        broken(run, "%.0f s: a dependency is open, and %u becomes %u", now_s, before, desired);
    if (full && policy->flaps > 0 && advice->valid && desired < before &&
        flips_within(run, now_s, policy->flap_window_s) >= policy->flaps)
        broken(run, "%.0f s: %u becomes %u beyond the flap budget", now_s, before, desired);
}

static void carry_out(struct run *run, const struct advice *advice, double now_s)
{
    struct simulation_result *result = run->result;
    result->decisions++;
    result->blind += !advice->valid;
    if (!advice->valid || advice->desired == run->ordered)
        return;
    int direction = advice->desired > run->ordered ? 1 : -1;
    result->changes++;
    if (run->direction != 0 && run->direction != direction)
        run->flips[result->flips++ % FLIPS_KEPT] = now_s;
    run->direction = direction;
    order(run, now_s, advice->desired);
}

static void step(struct run *run, size_t i)
{
    const struct trace_sample *given = &run->trace->samples[i];
    struct simulation_result *result = run->result;
    struct advice_sample sample;
    struct advice advice;
    double now_s = given->values[TRACE_TIME];
    uint64_t now_ns = (uint64_t)((now_s + TIME_ZERO_S) * (double)NS_PER_S);
    account(run, given, interval_of(run, i));
    start_those_due(run, now_s);
    if (fill_sample(run, given, now_ns, &sample))
        advice_observe(&run->state, &run->policy, &sample);
    advice_decide(&run->state, &run->policy, now_ns, &advice);
    check_promises(run, &advice, now_s, sample.dependency_open);
    carry_out(run, &advice, now_s);
    result->instances[i] = run->ordered;
    if (run->ordered < result->least)
        result->least = run->ordered;
    if (run->ordered > result->most)
        result->most = run->ordered;
}

int simulation_run(const struct trace *trace, const struct advice_policy *policy,
                   const struct simulation_model *model, struct simulation_result *ret_result)
{
    struct simulation_result result = {.least = UINT32_MAX};
    struct run *run = calloc(1, sizeof(*run));
    result.instances = calloc(trace->n, sizeof(*result.instances));
    if (run == NULL || result.instances == NULL) {
        free(run);
        free(result.instances);
        return -ENOMEM;
    }
    run->trace = trace;
    run->model = model;
    run->policy = *policy;
    run->result = &result;
    run->ordered = run->ready = model->instances > 0 ? model->instances : policy->min_instances;
    // A policy for samples of a second would be blind between two that are further apart.
    if (run->policy.stale_after_s < 2 * trace->step_s + 1)
        run->policy.stale_after_s = (uint32_t)(2 * trace->step_s + 1);
    advice_init(&run->state, &run->policy);
    for (size_t i = 0; i < trace->n; i++)
        step(run, i);
    free(run);
    *ret_result = result;
    return 0;
}

void simulation_result_fini(struct simulation_result *result)
{
    free(result->instances);
    result->instances = NULL;
}
