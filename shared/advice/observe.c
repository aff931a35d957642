#include <math.h>
#include <string.h>

#include "advice/advise.h"
#include "base/clock.h"

struct advice_usage advice_usage_percent(double percent, uint32_t instances)
{
    return (struct advice_usage){.known = true,
                                 .measured = instances,
                                 .total = percent * instances,
                                 .capacity = 100.0 * instances};
}

struct advice_usage advice_usage_total(double total, uint32_t instances)
{
    return (struct advice_usage){.known = true, .measured = instances, .total = total};
}

struct advice_usage advice_usage_value(double value)
{
    return (struct advice_usage){.known = true, .total = value};
}

static uint32_t period_of(const struct advice_policy *policy, uint32_t window)
{
    switch (window) {
    case ADVICE_WINDOW_CPU_PERIOD:
        return policy->cpu.period_s;
    case ADVICE_WINDOW_RPS_PERIOD:
    case ADVICE_WINDOW_QUOTA_PERIOD:
        return policy->rps.period_s;
    default:
        return policy->target_window_s;
    }
}

void advice_adapt(struct advice_state *state, const struct advice_policy *policy)
{
    for (uint32_t i = 0; i < ADVICE_WINDOWS; i++)
        if (state->windows[i].period_ns != period_of(policy, i) * NS_PER_S)
            advice_window_init(&state->windows[i], period_of(policy, i));
}

void advice_init(struct advice_state *state, const struct advice_policy *policy)
{
    memset(state, 0, sizeof(*state)); // all of it: it is saved as bytes
    for (uint32_t i = 0; i < ADVICE_WINDOWS; i++)
        advice_window_init(&state->windows[i], period_of(policy, i));
}

static bool is_quantity(double number)
{
    return isfinite(number) && number >= 0;
}

static bool is_sound(const struct advice_state *state, const struct advice_sample *sample)
{
    if (sample->contradictory || sample->time_ns <= state->sample_ns || sample->step_ns == 0 ||
        sample->ready > sample->current || !is_quantity(sample->quota_refusals_per_s) ||
        !is_quantity(sample->capacity_refusals_per_s))
        return false;
    for (int i = 0; i < ADVICE_METRICS; i++) {
        const struct advice_usage *usage = &sample->usage[i];

        if (usage->known &&
            !(is_quantity(usage->total) && is_quantity(usage->capacity) &&
              is_quantity(usage->missing_capacity) && is_quantity(usage->unready_capacity)))
            return false;
        // Work done by nobody.
        if (usage->known && i != ADVICE_LATENCY && sample->current == 0 && usage->total > 0 &&
            usage->measured > 0)
            return false;
    }
    return true;
}

// What a window keeps of a metric: the whole work, estimated for instances that gave no figure.
static bool work_of(const struct advice_target *target, const struct advice_usage *usage,
                    double *ret_work)
{
    double whole = 1;

    if (!usage->known || (target->form == ADVICE_UTILIZATION && !(usage->capacity > 0)))
        return false;
    if (usage->measured > 0)
        whole += (double)usage->missing / usage->measured;
    if (target->form == ADVICE_UTILIZATION)
        *ret_work = usage->total / usage->capacity * usage->measured * whole;
    else
        *ret_work = target->form == ADVICE_AVERAGE ? usage->total * whole : usage->total;
    return true;
}

static void burst_add(struct advice_state *state, uint64_t time_ns, int line, double total,
                      double seconds)
{
    uint64_t slot = time_ns / NS_PER_S;

    if (slot > state->burst_newest) {
        uint64_t first = state->burst_newest + 1;

        if (slot - state->burst_newest >= ADVICE_BURST_SLOTS)
            first = slot - ADVICE_BURST_SLOTS + 1;
        for (uint64_t i = first; i <= slot; i++)
            for (int each = 0; each < 2; each++)
                state->burst_sum[each][i % ADVICE_BURST_SLOTS] =
                    state->burst_seconds[each][i % ADVICE_BURST_SLOTS] = 0;
        state->burst_newest = slot;
    }
    state->burst_sum[line][slot % ADVICE_BURST_SLOTS] += total * seconds;
    state->burst_seconds[line][slot % ADVICE_BURST_SLOTS] += seconds;
}

static void fill_windows(struct advice_state *state, const struct advice_policy *policy,
                         const struct advice_sample *sample)
{
    double seconds = (double)sample->step_ns / NS_PER_S, work[ADVICE_METRICS];
    bool known[ADVICE_METRICS];
    struct advice_window *windows = state->windows;
    uint64_t time_ns = sample->time_ns;

    for (int i = 0; i < ADVICE_METRICS; i++) {
        known[i] = work_of(&policy->targets[i], &sample->usage[i], &work[i]);
        if (known[i])
            advice_window_add(&windows[ADVICE_WINDOW_TARGETS + i], time_ns, work[i], seconds);
    }
    if (known[ADVICE_CPU])
        advice_window_add(&windows[ADVICE_WINDOW_CPU_PERIOD], time_ns, work[ADVICE_CPU], seconds);
    if (known[ADVICE_IN_FLIGHT] && !sample->dependency_open)
        burst_add(state, time_ns, 1, work[ADVICE_IN_FLIGHT], seconds);
    if (!known[ADVICE_RPS])
        return;
    double quota = fmin(sample->quota_refusals_per_s, work[ADVICE_RPS]);

    advice_window_add(&windows[ADVICE_WINDOW_RPS_PERIOD], time_ns, work[ADVICE_RPS], seconds);
    advice_window_add(&windows[ADVICE_WINDOW_QUOTA_PERIOD], time_ns, quota, seconds);
    advice_window_add(&windows[ADVICE_WINDOW_QUOTA], time_ns, quota, seconds);
    advice_window_add(&windows[ADVICE_WINDOW_CAPACITY], time_ns, sample->capacity_refusals_per_s,
                      seconds);
    burst_add(state, time_ns, 0, work[ADVICE_RPS] - quota, seconds);
}

// Who came, for the warm-up; and who came without our advice, from whom shrinking then starts.
static void note_instances(struct advice_state *state, const struct advice_policy *policy,
                           const struct advice_sample *sample)
{
    bool updating =
        state->update_ns != 0 && sample->time_ns - state->update_ns < policy->warm_up_s * NS_PER_S;

    if (sample->replacing > 0) {
        if (!updating)
            state->update_current = state->sample_ns != 0 ? state->current : sample->current;
        state->update_ns = sample->time_ns;
        return;
    }
    if (updating || state->sample_ns == 0 || sample->current <= state->current)
        return;
    advice_events_add(state->arrivals, &state->n_arrivals, ADVICE_ARRIVALS, sample->time_ns,
                      state->current, sample->current);
    if (state->advised != 0 && sample->current > state->advised)
        state->advised = sample->current;
}

// From when on refusals are those of the instances that serve now: of the ready ones those that are
// no longer warming up.
static void note_settled(struct advice_state *state, const struct advice_policy *policy,
                         const struct advice_sample *sample)
{
    struct advice_event came =
        advice_events_sum(state->arrivals, state->n_arrivals, sample->time_ns, policy->warm_up_s);
    uint32_t unready = sample->current - sample->ready;
    uint32_t young = came.added > unready ? came.added - unready : 0;
    uint32_t settled = sample->ready > young ? sample->ready - young : 1;

    if (state->sample_ns != 0 && settled != state->settled)
        state->settled_ns = sample->time_ns;
    state->settled = settled;
}

bool advice_observe(struct advice_state *state, const struct advice_policy *policy,
                    const struct advice_sample *sample)
{
    if (!is_sound(state, sample)) {
        state->rejected++;
        return false;
    }
    fill_windows(state, policy, sample);
    note_instances(state, policy, sample);
    note_settled(state, policy, sample);
    for (int i = 0; i < ADVICE_METRICS; i++) {
        const struct advice_usage *usage = &sample->usage[i];

        state->usage[i] = (struct advice_seen_usage){
            usage->known, usage->measured, usage->missing,          usage->unready,
            usage->total, usage->capacity, usage->missing_capacity, usage->unready_capacity};
    }
    state->sample_ns = sample->time_ns;
    state->current = sample->current;
    state->ready = sample->ready;
    state->replacing = sample->replacing;
    state->dependency_open = sample->dependency_open;
    return true;
}
