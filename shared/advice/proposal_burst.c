#include <stdio.h>

#include "advice/proposal.h"
#include "advice/replicas.h"
#include "base/clock.h"

// The average total over the last seconds; false: too little of it was measured.
static bool average_of(const struct deciding *deciding, int line, uint32_t window_s,
                       double *ret_average)
{
    const struct advice_state *state = deciding->state;
    uint64_t now_slot = deciding->now_ns / NS_PER_S;
    double sum = 0, seconds = 0;

    for (uint32_t back = 0; back <= window_s && back <= state->burst_newest; back++) {
        uint64_t slot = state->burst_newest - back;

        if (slot + window_s < now_slot || back >= ADVICE_BURST_SLOTS)
            break;
        sum += state->burst_sum[line][slot % ADVICE_BURST_SLOTS];
        seconds += state->burst_seconds[line][slot % ADVICE_BURST_SLOTS];
    }
    if (!(seconds > 0) || seconds < window_s * ADVICE_COVERAGE)
        return false;
    *ret_average = sum / seconds;
    return true;
}

struct demand { // of the metric that asks for more
    uint32_t panic, stable;
    double value, target; // total over the panic window; per instance
};

static bool demand_of(const struct deciding *deciding, struct demand *ret_demand)
{
    static const enum advice_metric lines[2] = {ADVICE_RPS, ADVICE_IN_FLIGHT};
    const struct advice_burst *burst = &deciding->policy->burst;
    struct demand demand = {0};
    bool known = false;

    for (int line = 0; line < 2; line++) {
        double target = deciding->policy->targets[lines[line]].target, average;

        if (!(target > 0) || !average_of(deciding, line, burst->panic_window_s, &average))
            continue;
        uint32_t panic = replicas_ceil(average / target);

        known = true;
        if (panic >= demand.panic) {
            demand.panic = panic;
            demand.value = average;
            demand.target = target;
        }
        if (average_of(deciding, line, burst->stable_window_s, &average) &&
            replicas_ceil(average / target) > demand.stable)
            demand.stable = replicas_ceil(average / target);
    }
    if (known)
        *ret_demand = demand;
    return known;
}

void proposal_of_burst(struct deciding *deciding)
{
    struct advice_state *state = deciding->state;
    const struct advice_burst *burst = &deciding->policy->burst;
    uint32_t ready = state->ready > 0 ? state->ready : 1;
    struct demand demand = {0};

    if (!burst->is_on)
        return;
    if (demand_of(deciding, &demand) &&
        (uint64_t)demand.panic * 100 >= (uint64_t)ready * burst->threshold_percent)
        state->panic_ns = deciding->now_ns;
    else if (state->panic_ns != 0 &&
             deciding->now_ns - state->panic_ns > burst->stable_window_s * NS_PER_S)
        state->panic_ns = state->panic_peak = 0;
    if (state->panic_ns == 0)
        return;
    uint32_t wanted = demand.panic > demand.stable ? demand.panic : demand.stable;

    if (wanted > state->panic_peak)
        state->panic_peak = wanted;
    struct advice_signal *signal = proposal_add(deciding, "burst");

    if (!signal)
        return;
    signal->value = demand.value;
    signal->threshold = demand.target;
    proposal_set(deciding, signal, state->panic_peak);
    (void)snprintf(signal->reason, sizeof(signal->reason),
                   "a burst of the last %u s asked for %u instances", burst->panic_window_s,
                   state->panic_peak);
}
