#include "advice/proposal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "advice/replicas.h"
#include "base/clock.h"

#define REFUSED_SIZING_PART 4    // of the window; all of it would tell of a sudden load too slowly
#define REFUSED_MOST        0.75 // counts: four times as many instances in one step, not more

struct advice_signal *proposal_add(struct deciding *deciding, const char *name)
{
    struct advice *advice = deciding->advice;

    if (advice->n_signals >= ADVICE_SIGNALS_MAX)
        return NULL;
    struct advice_signal *signal = &advice->signals[advice->n_signals++];

    (void)snprintf(signal->signal, sizeof(signal->signal), "%s", name);
    signal->known = 1;
    return signal;
}

static uint32_t action_of(const struct deciding *deciding, uint32_t proposed)
{
    if (proposed == deciding->there)
        return ADVICE_NONE;
    return proposed > deciding->there ? ADVICE_SCALE_UP : ADVICE_SCALE_DOWN;
}

void proposal_set(const struct deciding *deciding, struct advice_signal *signal, uint32_t raw)
{
    signal->raw = signal->proposed = raw;
    signal->action = action_of(deciding, raw);
}

void proposal_unknown(const struct deciding *deciding, struct advice_signal *signal,
                      const char *label, const struct advice_average *average, uint64_t period_ns)
{
    uint32_t kept = deciding->there > deciding->base ? deciding->there : deciding->base;

    signal->known = 0;
    signal->raw = signal->proposed = kept;
    signal->action = ADVICE_HOLD;
    (void)snprintf(signal->reason, sizeof(signal->reason),
                   "%s is not known: %.0f of %.0f seconds of the evaluation period are measured",
                   label, average->covered_s, (double)period_ns / NS_PER_S);
}

void proposal_veto(const struct deciding *deciding, struct advice_signal *signal, uint32_t instead,
                   const char *why)
{
    size_t len = strlen(signal->reason);

    if (signal->proposed <= instead)
        return;
    signal->proposed = instead;
    signal->action = action_of(deciding, instead);
    (void)snprintf(signal->reason + len, sizeof(signal->reason) - len, "; no reason to grow: %s",
                   why);
}

struct threshold_words {
    const char *signal, *label, *unit;
    enum advice_metric metric;
};

static uint32_t by_threshold(const struct deciding *deciding,
                             const struct advice_threshold *threshold, double value)
{
    uint32_t there = deciding->there;

    if (value > threshold->up) {
        uint32_t wanted = replicas_ceil((double)there * value / threshold->up);

        return wanted > there ? wanted : there + 1;
    }
    return value < threshold->down && there > 1 ? there - 1 : there;
}

static struct advice_signal *by_average(struct deciding *deciding,
                                        const struct advice_threshold *threshold,
                                        const struct threshold_words *words, double value)
{
    struct advice_signal *signal = proposal_add(deciding, words->signal);
    const char *unit = words->unit;

    if (!signal)
        return NULL;
    signal->value = value;
    signal->threshold = threshold->up;
    proposal_set(deciding, signal, by_threshold(deciding, threshold, value));
    if (value > threshold->up) {
        (void)snprintf(signal->reason, sizeof(signal->reason),
                       "%s (%.0f%s) exceeds scale-up threshold (%.0f%s)", words->label, value, unit,
                       threshold->up, unit);
    } else if (value < threshold->down && deciding->state->usage[words->metric].missing > 0) {
        proposal_set(deciding, signal, deciding->there);
        (void)snprintf(signal->reason, sizeof(signal->reason),
                       "%s (%.0f%s) is low, but %u instances are silent", words->label, value, unit,
                       deciding->state->usage[words->metric].missing);
    } else if (value < threshold->down) {
        signal->threshold = threshold->down;
        signal->action = ADVICE_SCALE_DOWN;
        (void)snprintf(signal->reason, sizeof(signal->reason),
                       "%s (%.0f%s) is below scale-down threshold (%.0f%s)", words->label, value,
                       unit, threshold->down, unit);
    } else {
        (void)snprintf(signal->reason, sizeof(signal->reason),
                       "%s (%.0f%s) is between the thresholds", words->label, value, unit);
    }
    return signal;
}

static void by_rps(struct deciding *deciding)
{
    static const struct threshold_words words = {"rps", "RPS", "", ADVICE_RPS};
    const struct advice_state *state = deciding->state;
    const struct advice_window *window = &state->windows[ADVICE_WINDOW_RPS_PERIOD];
    struct advice_average rps = advice_window_read(window, deciding->now_ns);
    struct advice_average quota =
        advice_window_read(&state->windows[ADVICE_WINDOW_QUOTA_PERIOD], deciding->now_ns);
    double there = deciding->there;

    if (!rps.known) {
        struct advice_signal *signal = proposal_add(deciding, words.signal);

        if (signal)
            proposal_unknown(deciding, signal, words.label, &rps, window->period_ns);
        return;
    }
    struct advice_signal *signal =
        by_average(deciding, &deciding->policy->rps, &words, rps.value / there);

    if (signal && quota.value > 0) {
        uint32_t net =
            by_threshold(deciding, &deciding->policy->rps, (rps.value - quota.value) / there);

        proposal_veto(deciding, signal, net > deciding->there ? net : deciding->there,
                      "tenants' own limits refused the rest");
    }
}

static void by_cpu(struct deciding *deciding)
{
    static const struct threshold_words words = {"cpu", "CPU usage", "%", ADVICE_CPU};
    const struct advice_window *window = &deciding->state->windows[ADVICE_WINDOW_CPU_PERIOD];
    struct advice_average cpu = advice_window_read(window, deciding->now_ns);

    if (!cpu.known) {
        struct advice_signal *signal = proposal_add(deciding, words.signal);

        if (signal)
            proposal_unknown(deciding, signal, words.label, &cpu, window->period_ns);
        return;
    }
    struct advice_signal *signal =
        by_average(deciding, &deciding->policy->cpu, &words, 100 * cpu.value / deciding->there);

    if (signal && deciding->is_updating)
        proposal_veto(deciding, signal, deciding->there, "instances are being replaced");
}

void proposals_of_thresholds(struct deciding *deciding)
{
    if (deciding->policy->rps.is_set)
        by_rps(deciding);
    if (deciding->policy->cpu.is_set)
        by_cpu(deciding);
}

// The part of the requests that was refused since then, and how much of that time was measured.
static double refused_since(const struct deciding *deciding, uint64_t since_ns, double *ret_seconds)
{
    const struct advice_window *windows = deciding->state->windows;
    struct advice_average rps = advice_window_read_since(
        &windows[ADVICE_WINDOW_TARGETS + ADVICE_RPS], deciding->now_ns, since_ns);
    struct advice_average refused =
        advice_window_read_since(&windows[ADVICE_WINDOW_CAPACITY], deciding->now_ns, since_ns);

    *ret_seconds = refused.covered_s;
    if (!(rps.value > 0))
        return 0;
    return refused.value < rps.value ? refused.value / rps.value : 1;
}

// The part that those were refused who now serve: what fewer refused was the reason for those that
// came, and is none for more. Little time weighs little.
static double refused_by_those_there(const struct deciding *deciding)
{
    const struct advice_state *state = deciding->state;
    double period_s = (double)deciding->policy->target_window_s / REFUSED_SIZING_PART, seconds;
    uint64_t since_ns = deciding->now_ns - (uint64_t)(period_s * (double)NS_PER_S);
    double share = refused_since(
        deciding, since_ns > state->settled_ns ? since_ns : state->settled_ns, &seconds);

    return share * fmin(1, seconds / period_s);
}

void proposal_of_capacity(struct deciding *deciding)
{
    const struct advice_state *state = deciding->state;
    double limit = deciding->policy->capacity_refusals_percent, seconds;
    double share = refused_since(deciding, 0, &seconds);

    if (!(limit > 0) || 100 * share <= limit ||
        seconds < deciding->policy->target_window_s * ADVICE_COVERAGE)
        return;
    struct advice_signal *signal = proposal_add(deciding, "capacity");

    if (!signal)
        return;
    // As many as would have served the refused, too, by those that served the others; what is
    // ordered and does not serve yet served none.
    uint32_t kept = deciding->there > deciding->base ? deciding->there : deciding->base;
    double part = refused_by_those_there(deciding);
    uint32_t wanted = replicas_ceil(state->settled / (1 - fmin(part, REFUSED_MOST)));
    bool is_reason = 100 * part > limit && wanted > kept;

    signal->value = 100 * share;
    signal->threshold = limit;
    proposal_set(deciding, signal, is_reason ? wanted : kept);
    (void)snprintf(signal->reason, sizeof(signal->reason),
                   "%.1f%% of the requests were refused for lack of room%s", 100 * share,
                   is_reason ? "" : "; what is there or ordered is to help first");
    if (state->dependency_open)
        proposal_veto(deciding, signal, deciding->there, "a dependency is open");
}
