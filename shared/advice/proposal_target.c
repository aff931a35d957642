#include <stdio.h>

#include "advice/proposal.h"
#include "advice/replicas.h"
#include "base/clock.h"

static const char *const labels[ADVICE_METRICS] = {"CPU usage", "memory usage", "RPS",
                                                   "requests in flight", "latency"};
static const char *const units[ADVICE_METRICS] = {"%", "%", "", "", " ms"};

// Instances younger than the warm-up are moved from the measured to those not ready, as long as
// someone is left to measure. Work that is shared out (RPS) is all there; of a utilization their
// part goes with them.
static void warm_up(const struct deciding *deciding, enum advice_form form,
                    struct advice_seen_usage *usage)
{
    const struct advice_state *state = deciding->state;
    struct advice_event came = advice_events_sum(state->arrivals, state->n_arrivals,
                                                 deciding->now_ns, deciding->policy->warm_up_s);
    uint32_t young = came.added > usage->unready ? came.added - usage->unready : 0;

    if (young >= usage->measured)
        young = usage->measured > 0 ? usage->measured - 1 : 0;
    if (young == 0)
        return;
    double part = (double)young / usage->measured;

    if (form == ADVICE_UTILIZATION) {
        usage->unready_capacity += usage->capacity * part;
        usage->total -= usage->total * part;
        usage->capacity -= usage->capacity * part;
    }
    usage->measured -= young;
    usage->unready += young;
}

// The newest sample's instances with the window's average work.
static void average_over_window(const struct advice_seen_usage *newest, enum advice_form form,
                                double work, struct advice_seen_usage *ret_usage)
{
    uint32_t n = newest->measured + newest->missing;
    double mine = n > 0 ? work * newest->measured / n : work;

    *ret_usage = *newest;
    if (form == ADVICE_UTILIZATION)
        ret_usage->total = newest->measured > 0 ? mine * newest->capacity / newest->measured : 0;
    else
        ret_usage->total = form == ADVICE_AVERAGE ? mine : work;
}

static bool usage_of(const struct deciding *deciding, enum advice_metric metric,
                     struct advice_seen_usage *ret_usage, struct advice_average *ret_average)
{
    const struct advice_state *state = deciding->state;
    const struct advice_seen_usage *newest = &state->usage[metric];
    enum advice_form form = deciding->policy->targets[metric].form;

    if (deciding->policy->mode == ADVICE_MODE_HPA) {
        *ret_usage = *newest;
        return newest->known;
    }
    *ret_average =
        advice_window_read(&state->windows[ADVICE_WINDOW_TARGETS + metric], deciding->now_ns);
    if (!ret_average->known || !newest->known)
        return false;
    average_over_window(newest, form, ret_average->value, ret_usage);
    if (form == ADVICE_UTILIZATION || form == ADVICE_AVERAGE)
        warm_up(deciding, form, ret_usage);
    return true;
}

static bool wanted_of(const struct deciding *deciding, enum advice_metric metric,
                      const struct advice_seen_usage *usage, uint32_t *ret_wanted,
                      double *ret_value)
{
    const struct advice_policy *policy = deciding->policy;
    const struct replicas_asked asked = {
        .form = policy->targets[metric].form,
        .target = policy->targets[metric].target,
        .tolerance_up = policy->tolerance_up,
        .tolerance_down = policy->tolerance_down,
        .current = deciding->there,
        .ready = deciding->state->ready,
    };

    return replicas_wanted(&asked, usage, ret_wanted, ret_value);
}

// What says nothing about our own room, in which way ever it grows.
static void veto_target(const struct deciding *deciding, enum advice_metric metric,
                        const struct advice_seen_usage *usage, struct advice_signal *signal)
{
    const struct advice_state *state = deciding->state;
    bool waits = metric == ADVICE_LATENCY || metric == ADVICE_IN_FLIGHT;

    if (state->dependency_open && waits)
        proposal_veto(deciding, signal, deciding->there, "a dependency is open");
    if (deciding->is_updating &&
        (metric == ADVICE_CPU || metric == ADVICE_MEMORY || metric == ADVICE_LATENCY))
        proposal_veto(deciding, signal, deciding->there, "instances are being replaced");
    if (metric != ADVICE_RPS)
        return;
    struct advice_average quota =
        advice_window_read(&state->windows[ADVICE_WINDOW_QUOTA], deciding->now_ns);
    struct advice_seen_usage net = *usage;
    uint32_t wanted;
    double value;

    net.total = usage->total > quota.value ? usage->total - quota.value : 0;
    if (quota.value > 0 && wanted_of(deciding, metric, &net, &wanted, &value))
        proposal_veto(deciding, signal, wanted > deciding->there ? wanted : deciding->there,
                      "tenants' own limits refused the rest");
}

static void by_target(struct deciding *deciding, enum advice_metric metric)
{
    double target = deciding->policy->targets[metric].target;
    struct advice_seen_usage usage = {0};
    struct advice_average average = {0};
    char name[16];
    uint32_t wanted;
    double value;

    (void)snprintf(name, sizeof(name), "%.8s_%s",
                   metric == ADVICE_IN_FLIGHT ? "inflight" : advice_metric_names[metric], "target");
    struct advice_signal *signal = proposal_add(deciding, name);

    if (!signal)
        return;
    signal->threshold = target;
    if (!usage_of(deciding, metric, &usage, &average) ||
        !wanted_of(deciding, metric, &usage, &wanted, &value)) {
        proposal_unknown(deciding, signal, labels[metric], &average,
                         deciding->policy->target_window_s * NS_PER_S);
        return;
    }
    signal->value = value;
    proposal_set(deciding, signal, wanted);
    (void)snprintf(signal->reason, sizeof(signal->reason), "%s (%.4g%s) is %s target (%.4g%s)",
                   labels[metric], value, units[metric],
                   wanted > deciding->there   ? "above its"
                   : wanted < deciding->there ? "below its"
                                              : "near its",
                   target, units[metric]);
    if (deciding->policy->mode == ADVICE_MODE_FULL)
        veto_target(deciding, metric, &usage, signal);
}

void proposals_of_targets(struct deciding *deciding)
{
    for (int i = 0; i < ADVICE_METRICS; i++)
        if (deciding->policy->targets[i].target > 0)
            by_target(deciding, (enum advice_metric)i);
}
