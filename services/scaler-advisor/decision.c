#include "decision.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

struct signal_rule {
    const char *name;
    const char *unit; // behind a number, in the sentence
    double up, down;
};

static uint32_t proposal_up(uint32_t current, double value, double threshold)
{
    double wanted = ceil((double)current * value / threshold);
    if (wanted > (double)UINT32_MAX / 2)
        return UINT32_MAX / 2;
    return wanted > (double)current ? (uint32_t)wanted : current + 1;
}

static void propose(const struct signal_rule *rule, const struct evaluation_result *measured,
                    uint32_t current, struct advice_signal *ret_signal)
{
    struct advice_signal signal = {.value = measured->average, .proposed = current};
    char value[32], threshold[32];
    snprintf(signal.signal, sizeof(signal.signal), "%s", rule->name);
    snprintf(value, sizeof(value), "%.0f%s", measured->average, rule->unit);
    const char *label = strcmp(rule->name, "rps") == 0 ? "RPS" : "CPU usage";
    if (!measured->known) {
        signal.action = ADVICE_HOLD;
        snprintf(signal.reason, sizeof(signal.reason),
                 "%s is not known: %u of %u seconds of the evaluation period are measured", label,
                 measured->covered_s, measured->period_s);
    } else if (measured->average > rule->up) {
        signal.action = ADVICE_SCALE_UP;
        signal.threshold = rule->up;
        signal.proposed = proposal_up(current, measured->average, rule->up);
        snprintf(threshold, sizeof(threshold), "%.0f%s", rule->up, rule->unit);
        snprintf(signal.reason, sizeof(signal.reason), "%s (%s) exceeds scale-up threshold (%s)",
                 label, value, threshold);
    } else if (measured->average < rule->down) {
        signal.action = ADVICE_SCALE_DOWN;
        signal.threshold = rule->down;
        signal.proposed = current > 1 ? current - 1 : current;
        snprintf(threshold, sizeof(threshold), "%.0f%s", rule->down, rule->unit);
        snprintf(signal.reason, sizeof(signal.reason), "%s (%s) is below scale-down threshold (%s)",
                 label, value, threshold);
    } else {
        signal.action = ADVICE_NONE;
        signal.threshold = rule->up;
        snprintf(signal.reason, sizeof(signal.reason), "%s (%s) is between the thresholds", label,
                 value);
    }
    signal.raw = signal.proposed;
    signal.known = measured->known;
    *ret_signal = signal;
}

static uint32_t clamp(struct advice *advice, const char *rule, uint32_t before, uint32_t after)
{
    if (before == after || advice->n_clamps >= ADVICE_CLAMPS_MAX)
        return after;
    struct advice_clamp *entry = &advice->clamps[advice->n_clamps++];
    *entry = (struct advice_clamp){.before = before, .after = after};
    snprintf(entry->rule, sizeof(entry->rule), "%s", rule);
    return after;
}

// The signal whose proposal won: the largest, the first of equals.
static const struct advice_signal *winner(const struct advice *advice)
{
    const struct advice_signal *best = &advice->signals[0];
    for (uint32_t i = 1; i < advice->n_signals; i++) {
        if (advice->signals[i].proposed > best->proposed)
            best = &advice->signals[i];
    }
    return best;
}

static uint32_t apply_cooldown(const struct autoscaling_params *policy,
                               const struct decision_inputs *inputs, struct decision_state *state,
                               struct advice *advice, uint32_t wanted)
{
    if (state->desired == 0)
        state->desired = inputs->current;
    if (wanted == state->desired)
        return wanted;
    bool cooling = state->changed_ns != 0 &&
                   inputs->now_ns - state->changed_ns < policy->cooldown_s * NS_PER_S;
    if (cooling)
        return clamp(advice, "cooldown", wanted, state->desired);
    state->desired = wanted;
    state->changed_ns = inputs->now_ns;
    return wanted;
}

static void conclude(struct advice *advice, const struct advice_signal *best, uint32_t desired)
{
    advice->desired = desired;
    if (desired > advice->current) {
        advice->action = ADVICE_SCALE_UP;
        snprintf(advice->priority, sizeof(advice->priority), "high");
    } else if (desired < advice->current) {
        advice->action = ADVICE_SCALE_DOWN;
        snprintf(advice->priority, sizeof(advice->priority), "low");
    } else {
        advice->action = ADVICE_NONE;
        snprintf(advice->priority, sizeof(advice->priority), "low");
    }
    if (advice->n_clamps == 0 || best->action == advice->action) {
        memcpy(advice->reason, best->reason, sizeof(advice->reason));
        return;
    }
    const struct advice_clamp *last = &advice->clamps[advice->n_clamps - 1];
    snprintf(advice->reason, sizeof(advice->reason), "%.90s; %s holds it at %u", best->reason,
             last->rule, last->after);
}

static void conclude_blind(struct advice *advice, const char *why)
{
    advice->action = ADVICE_HOLD;
    advice->desired = advice->current;
    advice->valid = 0;
    snprintf(advice->priority, sizeof(advice->priority), "low");
    snprintf(advice->reason, sizeof(advice->reason), "%s", why);
}

void decision_make(const struct autoscaling_params *policy, const struct decision_inputs *inputs,
                   struct decision_state *state, struct advice *ret_advice)
{
    const struct signal_rule rps = {"rps", "", (double)policy->rps_up, (double)policy->rps_down};
    const struct signal_rule cpu = {"cpu", "%", (double)policy->cpu_up_percent,
                                    (double)policy->cpu_down_percent};
    struct advice advice = {.decided_ns = inputs->now_ns, .current = inputs->current, .valid = 1};
    propose(&rps, &inputs->rps, inputs->current, &advice.signals[advice.n_signals++]);
    propose(&cpu, &inputs->cpu, inputs->current, &advice.signals[advice.n_signals++]);
    if (!inputs->fresh) {
        conclude_blind(&advice, "no fresh measurements from the metrics-agent");
    } else if (inputs->current == 0) {
        conclude_blind(&advice, "no live instance of api-front");
    } else if (!inputs->rps.known && !inputs->cpu.known) {
        conclude_blind(&advice, advice.signals[0].reason);
    } else {
        const struct advice_signal *best = winner(&advice);
        uint32_t wanted = best->proposed;
        if (wanted < policy->min_instances)
            wanted = clamp(&advice, "min_instances", wanted, (uint32_t)policy->min_instances);
        if (wanted > policy->max_instances)
            wanted = clamp(&advice, "max_instances", wanted, (uint32_t)policy->max_instances);
        wanted = apply_cooldown(policy, inputs, state, &advice, wanted);
        conclude(&advice, best, wanted);
    }
    advice.changed_ns = state->changed_ns;
    advice.advised = state->desired;
    *ret_advice = advice;
}
