#include "advice/shape.h"

#include <math.h>

#include "advice/replicas.h"
#include "base/clock.h"

static bool is_within(const struct advice_run *run, uint64_t now_ns, uint32_t window_s)
{
    return now_ns - run->last_ns < window_s * NS_PER_S;
}

uint32_t shape_stabilize(const struct advice_state *state, const struct advice_policy *policy,
                         uint64_t now_ns, uint32_t base, uint32_t wanted)
{
    uint32_t up = wanted, down = wanted;

    for (uint32_t i = state->n_runs; i-- > 0;) {
        const struct advice_run *run = &state->runs[i];

        if (is_within(run, now_ns, policy->up.stabilization_s) && run->low < up)
            up = run->low;
        if (is_within(run, now_ns, policy->down.stabilization_s) && run->high > down)
            down = run->high;
    }
    uint32_t number = base < up ? up : base;

    return number > down ? down : number;
}

// The number at the beginning of a rate's period.
static int64_t period_start(const struct advice_state *state, uint64_t now_ns, uint32_t period_s,
                            uint32_t base)
{
    struct advice_event sum = advice_events_sum(state->events, state->n_events, now_ns, period_s);

    return (int64_t)base - sum.added + sum.removed;
}

uint32_t shape_up_limit(const struct advice_state *state, const struct advice_direction *up,
                        uint64_t now_ns, uint32_t base)
{
    if (up->select == ADVICE_SELECT_DISABLED)
        return base;
    if (up->n_rates == 0)
        return REPLICAS_MAX;
    double limit = up->select == ADVICE_SELECT_MIN ? (double)REPLICAS_MAX : 0;

    for (uint32_t i = 0; i < up->n_rates; i++) {
        const struct advice_rate *rate = &up->rates[i];
        double start = (double)period_start(state, now_ns, rate->period_s, base);
        // Rounded up, so that a small percentage of few can still grow.
        double allowed = rate->unit == ADVICE_PODS ? start + (double)rate->value
                                                   : ceil(start * (1 + (double)rate->value / 100));

        limit = up->select == ADVICE_SELECT_MIN ? fmin(limit, allowed) : fmax(limit, allowed);
    }
    uint32_t most = replicas_ceil(limit);

    return most < base ? base : most;
}

uint32_t shape_down_limit(const struct advice_state *state, const struct advice_direction *down,
                          uint64_t now_ns, uint32_t base)
{
    if (down->select == ADVICE_SELECT_DISABLED)
        return base;
    if (down->n_rates == 0)
        return 0;
    double limit = down->select == ADVICE_SELECT_MIN ? 0 : (double)REPLICAS_MAX;

    for (uint32_t i = 0; i < down->n_rates; i++) {
        const struct advice_rate *rate = &down->rates[i];
        double start = (double)period_start(state, now_ns, rate->period_s, base);
        double allowed = rate->unit == ADVICE_PODS ? start - (double)rate->value
                                                   : trunc(start * (1 - (double)rate->value / 100));

        // The smallest change is the largest number.
        limit = down->select == ADVICE_SELECT_MIN ? fmax(limit, allowed) : fmin(limit, allowed);
    }
    uint32_t least = replicas_ceil(limit);

    return least > base ? base : least;
}
