#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "advice/proposal.h"
#include "advice/replicas.h"
#include "advice/shape.h"
#include "base/assert.h"
#include "base/clock.h"

__attribute__((format(printf, 5, 6))) static uint32_t clamp(struct deciding *deciding,
                                                            const char *rule, uint32_t before,
                                                            uint32_t after, const char *format, ...)
{
    struct advice *advice = deciding->advice;

    if (before == after)
        return before;
    ASSERT(advice->n_clamps < ADVICE_CLAMPS_MAX); // a decision has fewer rules than that
    struct advice_clamp *entry = &advice->clamps[advice->n_clamps++];
    va_list arguments;

    entry->before = before;
    entry->after = after;
    (void)snprintf(entry->rule, sizeof(entry->rule), "%s", rule);
    va_start(arguments, format);
    (void)vsnprintf(entry->reason, sizeof(entry->reason), format, arguments);
    va_end(arguments);
    return after;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

// The signal whose proposal won: the largest, the first of equals; known ones before others.
static const struct advice_signal *winner(const struct advice *advice)
{
    const struct advice_signal *best = &advice->signals[0];

    for (uint32_t i = 1; i < advice->n_signals; i++) {
        const struct advice_signal *each = &advice->signals[i];

        if (each->proposed > best->proposed ||
            (each->proposed == best->proposed && each->known && !best->known))
            best = each;
    }
    return best;
}

static uint32_t stabilize(struct deciding *deciding, uint32_t wanted)
{
    const struct advice_policy *policy = deciding->policy;
    uint32_t number =
        shape_stabilize(deciding->state, policy, deciding->now_ns, deciding->base, wanted);
    bool up = wanted > number;

    // A burst does not wait until it has been one for long.
    if (up && deciding->advice->panicking)
        return wanted;
    return clamp(deciding, up ? "stabilization_up" : "stabilization_down", wanted, number,
                 up ? "the least that was wanted in the last %u s"
                    : "the most that was wanted in the last %u s",
                 up ? policy->up.stabilization_s : policy->down.stabilization_s);
}

static uint32_t limit_rate(struct deciding *deciding, uint32_t wanted)
{
    const struct advice_policy *policy = deciding->policy;
    uint32_t base = deciding->base;

    if (wanted > base) {
        uint32_t most = shape_up_limit(deciding->state, &policy->up, deciding->now_ns, base);

        return wanted > most ? clamp(deciding, "rate_up", wanted, most,
                                     "growth from %u is limited to %u for now", base, most)
                             : wanted;
    }
    if (wanted < base) {
        uint32_t least = shape_down_limit(deciding->state, &policy->down, deciding->now_ns, base);

        return wanted < least ? clamp(deciding, "rate_down", wanted, least,
                                      "shrinking from %u is limited to %u for now", base, least)
                              : wanted;
    }
    return wanted;
}

static uint32_t bound(struct deciding *deciding, uint32_t wanted)
{
    const struct advice_policy *policy = deciding->policy;

    if (wanted < policy->min_instances)
        return clamp(deciding, "min_instances", wanted, policy->min_instances, "never fewer");
    if (wanted > policy->max_instances)
        return clamp(deciding, "max_instances", wanted, policy->max_instances, "never more");
    return wanted;
}

// Changes of direction within the budget's window.
static uint32_t recent_flips(const struct deciding *deciding)
{
    const struct advice_state *state = deciding->state;
    uint32_t n = 0;

    for (uint32_t i = 0; i < state->n_flips; i++)
        n += deciding->now_ns - state->flips[i] < deciding->policy->flap_window_s * NS_PER_S;
    return n;
}

static uint32_t hold_shrinking(struct deciding *deciding, uint32_t wanted)
{
    const struct advice_policy *policy = deciding->policy;
    struct advice_state *state = deciding->state;
    uint32_t base = deciding->base;

    if (deciding->advice->panicking)
        wanted = clamp(deciding, "panic", wanted,
                       larger(wanted, larger(larger(base, deciding->there), state->panic_peak)),
                       "no shrinking within %u s of a burst", policy->burst.stable_window_s);
    if (deciding->is_updating)
        wanted = clamp(deciding, "rolling_update", wanted, larger(wanted, base),
                       "no shrinking while instances are being replaced");
    if (state->dependency_open)
        wanted = clamp(deciding, "dependency", wanted, larger(wanted, base),
                       "no shrinking while a dependency is open: the load is away, not gone");
    return wanted;
}

static uint32_t apply_cooldown(struct deciding *deciding, uint32_t wanted)
{
    const struct advice_policy *policy = deciding->policy;
    const struct advice_state *state = deciding->state;
    uint64_t since_ns = deciding->now_ns - state->changed_ns;
    uint32_t kept = deciding->base;

    if (wanted == kept || state->changed_ns == 0 || since_ns >= policy->cooldown_s * NS_PER_S ||
        (deciding->advice->panicking && wanted > kept))
        return wanted;
    kept = larger(kept, policy->min_instances);
    if (kept > policy->max_instances)
        kept = policy->max_instances;
    return clamp(deciding, "cooldown", wanted, kept, "%.0f of %u s since the last change",
                 (double)since_ns / NS_PER_S, policy->cooldown_s);
}

static void remember_change(struct deciding *deciding, uint32_t decided)
{
    struct advice_state *state = deciding->state;
    int32_t direction = decided > deciding->base ? 1 : -1;

    if (decided != deciding->base) {
        advice_events_add(state->events, &state->n_events, ADVICE_EVENTS, deciding->now_ns,
                          deciding->base, decided);
        if (state->direction != 0 && direction != state->direction) {
            if (state->n_flips == ADVICE_FLIPS)
                memmove(&state->flips[0], &state->flips[1],
                        sizeof(state->flips[0]) * --state->n_flips);
            state->flips[state->n_flips++] = deciding->now_ns;
        }
        state->direction = direction;
        state->changed_ns = deciding->now_ns;
    }
    state->advised = decided;
}

static void conclude(struct deciding *deciding, uint32_t desired)
{
    struct advice *advice = deciding->advice;
    const struct advice_signal *best = winner(advice);

    advice->desired = desired;
    advice->valid = 1;
    advice->action = desired == advice->current  ? ADVICE_NONE
                     : desired > advice->current ? ADVICE_SCALE_UP
                                                 : ADVICE_SCALE_DOWN;
    (void)snprintf(advice->priority, sizeof(advice->priority), "%s",
                   advice->action == ADVICE_SCALE_UP ? "high" : "low");
    if (advice->n_clamps == 0 || best->action == advice->action) {
        memcpy(advice->reason, best->reason, sizeof(advice->reason));
        return;
    }
    const struct advice_clamp *last = &advice->clamps[advice->n_clamps - 1];

    (void)snprintf(advice->reason, sizeof(advice->reason), "%.90s; %s makes it %u", best->reason,
                   last->rule, last->after);
}

// Nothing to decide by: what stands is kept, and is no advice.
static void conclude_blind(struct deciding *deciding, const char *why)
{
    struct advice *advice = deciding->advice;
    bool full = deciding->policy->mode == ADVICE_MODE_FULL;
    uint32_t kept = full ? larger(deciding->there, deciding->state->advised) : deciding->there;

    advice->action = ADVICE_HOLD;
    advice->desired = clamp(deciding, "blind", advice_fold(advice), kept, "%s", why);
    if (full && kept > 0)
        advice_runs_add(deciding->state, deciding->now_ns, kept);
    advice->panicking = 0;
    (void)snprintf(advice->priority, sizeof(advice->priority), "low");
    (void)snprintf(advice->reason, sizeof(advice->reason), "%s", why);
}

static void decide_full(struct deciding *deciding)
{
    struct advice *advice = deciding->advice;
    struct advice_state *state = deciding->state;
    const struct advice_policy *policy = deciding->policy;
    uint32_t n_known = 0;

    proposals_of_thresholds(deciding);
    proposals_of_targets(deciding);
    for (uint32_t i = 0; i < advice->n_signals; i++)
        n_known += advice->signals[i].known;
    if (n_known == 0) {
        conclude_blind(deciding, advice->n_signals > 0 ? advice->signals[0].reason
                                                       : "no signal is asked for");
        return;
    }
    proposal_of_capacity(deciding);
    proposal_of_burst(deciding);
    advice->panicking = state->panic_ns != 0;
    // What was held is remembered as held: when the hold ends, shrinking waits its window.
    uint32_t held = hold_shrinking(deciding, advice_fold(advice));
    uint32_t wanted = limit_rate(deciding, stabilize(deciding, held));

    advice_runs_add(state, deciding->now_ns, held);
    if (policy->flaps > 0 && wanted < deciding->base && recent_flips(deciding) >= policy->flaps)
        wanted = clamp(deciding, "flap_budget", wanted, deciding->base,
                       "%u changes of direction in %u s", policy->flaps, policy->flap_window_s);
    wanted = apply_cooldown(deciding, bound(deciding, wanted));
    remember_change(deciding, wanted);
    conclude(deciding, wanted);
}

// The HPA's reconcile: some metrics failed and the rest say down, or all failed: nothing.
static void decide_hpa(struct deciding *deciding)
{
    struct advice *advice = deciding->advice;
    struct advice_state *state = deciding->state;
    const struct advice_policy *policy = deciding->policy;
    uint32_t n_known = 0, raw = 0;

    if (state->n_runs == 0) // first sight
        advice_runs_add(state, deciding->now_ns, deciding->there);
    proposals_of_targets(deciding);
    for (uint32_t i = 0; i < advice->n_signals; i++) {
        const struct advice_signal *signal = &advice->signals[i];

        n_known += signal->known;
        if (signal->known && signal->proposed > raw)
            raw = signal->proposed;
    }
    bool outside =
        deciding->there > policy->max_instances || deciding->there < policy->min_instances;

    if (!outside && (n_known == 0 || (n_known < advice->n_signals && raw < deciding->there))) {
        conclude_blind(deciding, "a metric is missing, and the others do not ask for more");
        return;
    }
    uint32_t wanted = advice_fold(advice);

    if (outside) { // without a look at any metric
        wanted = bound(deciding, clamp(deciding, "out_of_bounds", wanted, deciding->there,
                                       "what is there lies outside the bounds"));
    } else {
        wanted = bound(deciding, limit_rate(deciding, stabilize(deciding, wanted)));
        advice_runs_add(state, deciding->now_ns, raw);
    }
    remember_change(deciding, wanted);
    conclude(deciding, wanted);
}

static void look_around(struct deciding *deciding)
{
    const struct advice_state *state = deciding->state;
    const struct advice_policy *policy = deciding->policy;
    bool full = policy->mode == ADVICE_MODE_FULL;

    deciding->is_updating = full && state->update_ns != 0 &&
                            (state->replacing > 0 ||
                             deciding->now_ns - state->update_ns < policy->warm_up_s * NS_PER_S);
    deciding->there = deciding->is_updating ? state->update_current : state->current;
    deciding->base = full && state->advised != 0 ? state->advised : deciding->there;
}

void advice_decide(struct advice_state *state, const struct advice_policy *policy, uint64_t now_ns,
                   struct advice *ret_advice)
{
    struct deciding deciding = {
        .state = state, .policy = policy, .now_ns = now_ns, .advice = ret_advice};

    memset(ret_advice, 0, sizeof(*ret_advice));
    look_around(&deciding);
    ret_advice->decided_ns = now_ns;
    ret_advice->sequence = ++state->sequence;
    ret_advice->current = state->current;
    if (state->sample_ns == 0 || now_ns - state->sample_ns >= policy->stale_after_s * NS_PER_S)
        conclude_blind(&deciding, "no fresh measurements from the metrics-agent");
    else if (deciding.there == 0)
        conclude_blind(&deciding, "no live instance of api-front");
    else if (policy->mode == ADVICE_MODE_HPA)
        decide_hpa(&deciding);
    else
        decide_full(&deciding);
    ret_advice->changed_ns = state->changed_ns;
    ret_advice->advised = state->advised;
}
