// HPA v2's own facts (replica_calculator_test.go, horizontal_test.go and its documentation) on the
// mode that decides as it does. The numbers in the names of rows are those of the project's notes.
#include <criterion/criterion.h>
#include <math.h>

#include "advice/advise.h"
#include "advice/replicas.h"
#include "advice/shape.h"
#include "base/clock.h"

#define START_S 100000U

struct replica_fact {
    const char *name;
    enum advice_form form;
    double target;
    uint32_t current, ready;
    struct advice_seen_usage usage; // known, measured, missing, unready, total, capacities
    uint32_t wanted;
    double value; // as reported
};

static const struct replica_fact replica_facts[] = {
    {"1: 300/500/700m of 1000m each, target 30 %",
     ADVICE_UTILIZATION,
     30,
     3,
     3,
     {1, 3, 0, 0, 1.5, 3, 0, 0},
     5,
     50},
    {"2: pod 0 unready", ADVICE_UTILIZATION, 30, 3, 2, {1, 2, 0, 1, 1.2, 2, 0, 1}, 4, 60},
    {"4: 100/300/500/250/250m, target 50 %",
     ADVICE_UTILIZATION,
     50,
     5,
     5,
     {1, 5, 0, 0, 1.4, 5, 0, 0},
     3,
     28},
    {"6: in the band", ADVICE_UTILIZATION, 100, 3, 3, {1, 3, 0, 0, 3.06, 3, 0, 0}, 3, 102},
    {"8: one of two missing, would grow",
     ADVICE_UTILIZATION,
     100,
     2,
     2,
     {1, 1, 1, 0, 1.9, 1, 1, 0},
     2,
     190},
    {"9: one of two missing, would shrink",
     ADVICE_UTILIZATION,
     100,
     2,
     2,
     {1, 1, 1, 0, 0.6, 1, 1, 0},
     2,
     60},
    {"10: four of five pending", ADVICE_UTILIZATION, 50, 5, 1, {1, 1, 0, 4, 0.1, 1, 0, 4}, 1, 10},
    {"11: qps 20/10/30, average 15", ADVICE_AVERAGE, 15, 3, 3, {1, 3, 0, 0, 60, 0, 0, 0}, 4, 20},
    {"12: value 50, target 10, one of three ready",
     ADVICE_VALUE,
     10,
     3,
     1,
     {1, 0, 0, 0, 50, 0, 0, 0},
     5,
     50},
    {"14: total 8.6, average 2.15",
     ADVICE_TOTAL,
     2.15,
     3,
     3,
     {1, 0, 0, 0, 8.6, 0, 0, 0},
     4,
     8.6 / 3},
    {"16: nothing there", ADVICE_VALUE, 10, 0, 0, {1, 0, 0, 0, 25, 0, 0, 0}, 3, 25},
    {"17: 41 of 40", ADVICE_TOTAL, 4, 10, 10, {1, 0, 0, 0, 41, 0, 0, 0}, 10, 4.1},
    {"17: 44 of 40", ADVICE_TOTAL, 4, 10, 10, {1, 0, 0, 0, 44, 0, 0, 0}, 10, 4.4},
    {"17: 45 of 40", ADVICE_TOTAL, 4, 10, 10, {1, 0, 0, 0, 45, 0, 0, 0}, 12, 4.5},
    {"23: capped, not wrapped",
     ADVICE_TOTAL,
     0.001,
     3,
     3,
     {1, 0, 0, 0, 1e300, 0, 0, 0},
     REPLICAS_MAX,
     1e300 / 3},
    {"24: total over nobody", ADVICE_TOTAL, 4, 0, 0, {1, 0, 0, 0, 9, 0, 0, 0}, 3, 9},
    {"the percentage is cut: 110.9 is 110",
     ADVICE_UTILIZATION,
     100,
     10,
     10,
     {1, 10, 0, 0, 11.09, 10, 0, 0},
     10,
     110},
    {"both ends of the band belong to it",
     ADVICE_AVERAGE,
     10,
     10,
     10,
     {1, 10, 0, 0, 90, 0, 0, 0},
     10,
     9},
    {"74: a pass-through of 11 at 10 is swallowed",
     ADVICE_TOTAL,
     1,
     10,
     10,
     {1, 0, 0, 0, 11, 0, 0, 0},
     10,
     1.1},
    {"73: of 6 at 4 it is not", ADVICE_TOTAL, 1, 4, 4, {1, 0, 0, 0, 6, 0, 0, 0}, 6, 1.5},
};

Test(parity, replica_facts)
{
    for (size_t i = 0; i < sizeof(replica_facts) / sizeof(replica_facts[0]); i++) {
        const struct replica_fact *fact = &replica_facts[i];
        const struct replicas_asked asked = {fact->form, fact->target,  0.1,
                                             0.1,        fact->current, fact->ready};
        uint32_t wanted = 0;
        double value = 0;

        cr_assert(replicas_wanted(&asked, &fact->usage, &wanted, &value), "%s", fact->name);
        cr_expect_eq(wanted, fact->wanted, "%s: %u", fact->name, wanted);
        cr_expect_lt(fabs(value - fact->value), 1e-9 * fmax(1, fact->value), "%s: %f", fact->name,
                     value);
    }
}

Test(parity, fact_20_a_pod_without_a_request_fails_the_whole_metric)
{
    const struct replicas_asked asked = {ADVICE_UTILIZATION, 50, 0.1, 0.1, 3, 3};
    const struct advice_seen_usage usage = {1, 3, 0, 0, 1.5, 0, 0, 0};
    uint32_t wanted = 77;
    double value = 77;

    cr_assert_not(replicas_wanted(&asked, &usage, &wanted, &value));
    cr_assert_eq(wanted, 77);
}

// ---- shaping --------------------------------------------------------------------------------

static struct advice_state state;

struct rate_fact {
    const char *name;
    struct advice_direction direction;
    uint32_t added, removed; // within each period
    uint32_t current, wanted, result;
};
static const struct advice_direction kubernetes_up = {
    .n_rates = 2, .rates = {{ADVICE_PERCENT, 100, 15}, {ADVICE_PODS, 4, 15}}};

static const struct rate_fact rate_facts[] = {
    {"26: the default", {0}, 0, 0, 10, 50, 20},
    {"27: 100 pods and 100 %",
     {0, ADVICE_SELECT_MAX, 2, {{ADVICE_PODS, 100, 60}, {ADVICE_PERCENT, 100, 60}}},
     0,
     0,
     10,
     500,
     110},
    {"27: 2 pods and 100 %",
     {0, ADVICE_SELECT_MAX, 2, {{ADVICE_PODS, 2, 60}, {ADVICE_PERCENT, 100, 60}}},
     0,
     0,
     10,
     500,
     20},
    {"28: one percent still grows",
     {0, ADVICE_SELECT_MAX, 1, {{ADVICE_PERCENT, 1, 60}}},
     0,
     0,
     3,
     1000,
     4},
    {"30: 200 % of 85, 15 added since",
     {0, ADVICE_SELECT_MAX, 1, {{ADVICE_PERCENT, 200, 120}}},
     15,
     0,
     100,
     500,
     255},
    {"33: the largest change wins",
     {0, ADVICE_SELECT_MAX, 2, {{ADVICE_PODS, 20, 60}, {ADVICE_PERCENT, 1, 60}}},
     0,
     0,
     100,
     2,
     80},
    {"33: 2 pods and 1 %",
     {0, ADVICE_SELECT_MAX, 2, {{ADVICE_PODS, 2, 60}, {ADVICE_PERCENT, 1, 60}}},
     0,
     0,
     100,
     2,
     98},
    {"34: half of 112", {0, ADVICE_SELECT_MAX, 1, {{ADVICE_PERCENT, 50, 120}}}, 0, 12, 100, 0, 56},
    {"35: 117 is above what is there",
     {0, ADVICE_SELECT_MAX, 1, {{ADVICE_PERCENT, 10, 120}}},
     0,
     30,
     100,
     1,
     100},
    {"39: disabled up", {0, ADVICE_SELECT_DISABLED, 0, {{0, 0, 0}}}, 0, 0, 10, 50, 10},
    {"39: disabled down", {0, ADVICE_SELECT_DISABLED, 0, {{0, 0, 0}}}, 0, 0, 10, 5, 10},
    {"39: the smallest change up",
     {0, ADVICE_SELECT_MIN, 2, {{ADVICE_PODS, 4, 60}, {ADVICE_PERCENT, 100, 60}}},
     0,
     0,
     10,
     50,
     14},
    {"39: the smallest change down",
     {0, ADVICE_SELECT_MIN, 2, {{ADVICE_PODS, 4, 60}, {ADVICE_PERCENT, 10, 60}}},
     0,
     0,
     80,
     10,
     76},
};

static uint32_t limited(const struct rate_fact *fact, const struct advice_direction *direction)
{
    uint64_t now_ns = START_S * NS_PER_S;
    uint32_t limit;

    state.n_events = 0;
    advice_events_add(state.events, &state.n_events, ADVICE_EVENTS, now_ns - 5 * NS_PER_S, 0,
                      fact->added);
    advice_events_add(state.events, &state.n_events, ADVICE_EVENTS, now_ns - 5 * NS_PER_S,
                      fact->removed, 0);
    if (fact->wanted > fact->current) {
        limit = shape_up_limit(&state, direction, now_ns, fact->current);
        return fact->wanted > limit ? limit : fact->wanted;
    }
    limit = shape_down_limit(&state, direction, now_ns, fact->current);
    return fact->wanted < limit ? limit : fact->wanted;
}

Test(parity, rate_facts)
{
    for (size_t i = 0; i < sizeof(rate_facts) / sizeof(rate_facts[0]); i++) {
        const struct rate_fact *fact = &rate_facts[i];
        uint32_t result = limited(fact, i == 0 ? &kubernetes_up : &fact->direction);

        cr_expect_eq(result, fact->result, "%s: %u", fact->name, result);
    }
}

// 37: 80 to 10 by 4 pods or 10 % a minute: 72, 64 (7.2 rounded up), 57, 51, 45, 40, then -4 each.
Test(parity, fact_37_percent_then_pods)
{
    static const uint32_t steps[] = {72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10, 10};
    const struct advice_direction down = {
        .n_rates = 2, .rates = {{ADVICE_PODS, 4, 60}, {ADVICE_PERCENT, 10, 60}}};
    uint32_t current = 80;

    state.n_events = 0;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        uint64_t now_ns = (START_S + i * 60) * NS_PER_S;
        uint32_t least = shape_down_limit(&state, &down, now_ns, current);
        uint32_t next = least > 10 ? least : 10;

        cr_assert_eq(next, steps[i], "minute %zu: %u", i, next);
        advice_events_add(state.events, &state.n_events, ADVICE_EVENTS, now_ns, current, next);
        current = next;
        // Within the same minute nothing more, as far as the rates went.
        if (least >= 10)
            cr_assert_eq(shape_down_limit(&state, &down, now_ns + NS_PER_S, current), current);
    }
}

struct window_fact {
    const char *name;
    uint32_t up_s, down_s;
    uint32_t ago_s[2], before[2]; // recommendations
    uint32_t current, wanted, result;
};
static const struct window_fact window_facts[] = {
    {"40: the most of the down window", 0, 180, {120, 60}, {4, 5}, 100, 3, 5},
    {"42: too old to count", 0, 300, {600, 540}, {10, 9}, 100, 3, 3},
    {"the least of the up window", 180, 0, {120, 60}, {8, 6}, 4, 10, 6},
    {"an end of the window is outside", 0, 60, {120, 60}, {9, 9}, 100, 3, 3},
    {"what is there lies between", 180, 180, {120, 60}, {8, 3}, 5, 6, 5},
};

Test(parity, stabilization_facts)
{
    for (size_t i = 0; i < sizeof(window_facts) / sizeof(window_facts[0]); i++) {
        const struct window_fact *fact = &window_facts[i];
        struct advice_policy policy = advice_policy_hpa(50, 1, 1000);
        uint64_t now_ns = START_S * NS_PER_S;

        policy.up.stabilization_s = fact->up_s;
        policy.down.stabilization_s = fact->down_s;
        state.n_runs = 0;
        for (int k = 0; k < 2; k++)
            advice_runs_add(&state, now_ns - fact->ago_s[k] * NS_PER_S, fact->before[k]);
        uint32_t result = shape_stabilize(&state, &policy, now_ns, fact->current, fact->wanted);

        cr_expect_eq(result, fact->result, "%s: %u", fact->name, result);
    }
}

// ---- whole decisions ------------------------------------------------------------------------

static struct advice decide_cpu(const struct advice_policy *policy, uint64_t time_s,
                                uint32_t current, double percent)
{
    struct advice_sample sample = {.time_ns = time_s * NS_PER_S,
                                   .step_ns = 15 * NS_PER_S,
                                   .current = current,
                                   .ready = current};
    struct advice advice;

    sample.usage[ADVICE_CPU] = advice_usage_percent(percent, current);
    cr_assert(advice_observe(&state, policy, &sample));
    advice_decide(&state, policy, sample.time_ns, &advice);
    cr_assert_eq(advice_fold(&advice), advice.desired);
    return advice;
}

Test(parity, fact_45_what_is_there_is_the_first_recommendation)
{
    struct advice_policy policy = advice_policy_hpa(50, 1, 100);

    advice_init(&state, &policy);
    struct advice advice = decide_cpu(&policy, START_S, 10, 5);
    cr_assert_eq(advice.desired, 10, "held by the first sight for 300 s");
    cr_assert_str_eq(advice.clamps[0].rule, "stabilization_down");
    for (uint64_t time_s = START_S + 15; time_s < START_S + 300; time_s += 15)
        cr_assert_eq(decide_cpu(&policy, time_s, 10, 5).desired, 10);
    cr_assert_eq(decide_cpu(&policy, START_S + 300, 10, 5).desired, 1);
}

Test(parity, fact_26_doubles_each_fifteen_seconds_and_38_says_what_limits)
{
    struct advice_policy policy = advice_policy_hpa(50, 1, 45);

    advice_init(&state, &policy);
    struct advice advice = decide_cpu(&policy, START_S, 10, 100 * 50);
    cr_assert_eq(advice.desired, 20);
    cr_assert_str_eq(advice.clamps[0].rule, "rate_up");
    advice = decide_cpu(&policy, START_S + 15, 20, 100 * 50);
    cr_assert_eq(advice.desired, 40);
    advice = decide_cpu(&policy, START_S + 30, 40, 100 * 50);
    cr_assert_eq(advice.desired, 45);
    cr_assert_str_eq(advice.clamps[advice.n_clamps - 1].rule, "max_instances");
    advice = decide_cpu(&policy, START_S + 45, 60, 50);
    cr_assert_eq(advice.desired, 45, "above the bounds: at once, without a look at metrics");
    cr_assert_str_eq(decide_cpu(&policy, START_S + 60, 45, 52).reason,
                     "CPU usage (52%) is near its target (50%)");
}

Test(parity, facts_18_and_21_nothing_to_judge_by_is_no_change)
{
    struct advice_policy policy = advice_policy_hpa(50, 1, 45);
    struct advice_sample sample = {
        .time_ns = START_S * NS_PER_S, .step_ns = NS_PER_S, .current = 7, .ready = 7};
    struct advice advice;

    advice_init(&state, &policy);
    cr_assert(advice_observe(&state, &policy, &sample));
    advice_decide(&state, &policy, sample.time_ns, &advice);
    cr_assert_eq(advice.valid, 0);
    cr_assert_eq(advice.desired, 7);
    sample = (struct advice_sample){.time_ns = (START_S + 1) * NS_PER_S, .step_ns = NS_PER_S};
    cr_assert(advice_observe(&state, &policy, &sample));
    advice_decide(&state, &policy, sample.time_ns, &advice);
    cr_assert_eq(advice.valid, 0);
}

// Several metrics: the largest wins; one failed and the rest down: nothing; the rest up: up.
Test(parity, several_metrics)
{
    struct advice_policy policy = advice_policy_hpa(50, 1, 100);
    struct advice_sample sample = {
        .time_ns = START_S * NS_PER_S, .step_ns = NS_PER_S, .current = 10, .ready = 10};
    struct advice advice;

    policy.targets[ADVICE_RPS].target = 10;
    policy.down.stabilization_s = 0;
    advice_init(&state, &policy);
    sample.usage[ADVICE_CPU] = advice_usage_percent(25, 10);
    sample.usage[ADVICE_RPS] = advice_usage_total(150, 10);
    cr_assert(advice_observe(&state, &policy, &sample));
    advice_decide(&state, &policy, sample.time_ns, &advice);
    cr_assert_eq(advice.desired, 15);
    advice_init(&state, &policy);
    sample.usage[ADVICE_RPS].known = false;
    cr_assert(advice_observe(&state, &policy, &sample));
    advice_decide(&state, &policy, sample.time_ns, &advice);
    cr_assert_eq(advice.valid, 0);
    cr_assert_eq(advice.desired, 10);
    advice_init(&state, &policy);
    sample.usage[ADVICE_CPU] = advice_usage_percent(100, 10);
    cr_assert(advice_observe(&state, &policy, &sample));
    advice_decide(&state, &policy, sample.time_ns, &advice);
    cr_assert_eq(advice.desired, 20);
}
