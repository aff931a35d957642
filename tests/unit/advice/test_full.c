// What is beyond an HPA: bursts, vetoes, warm-up, updates, the flap budget, memory; and for random
// loads the promises that hold always.
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advice/advise.h"
#include "base/clock.h"

static struct advice_state state;
static struct advice_policy policy;
static uint64_t now_s;

static void setup(void)
{
    policy = advice_policy_default();
    policy.cpu.is_set = policy.rps.is_set = false;
    policy.cooldown_s = 0;
    policy.max_instances = 100;
    policy.warm_up_s = 0;
    policy.targets[ADVICE_RPS].target = 10;
    advice_init(&state, &policy);
    now_s = 100000;
}
TestSuite(full, .init = setup);

static struct advice_sample sample_of(uint32_t instances, double rps)
{
    struct advice_sample sample = {
        .time_ns = now_s * NS_PER_S, .step_ns = NS_PER_S, .current = instances, .ready = instances};

    sample.usage[ADVICE_RPS] = advice_usage_total(rps, instances);
    return sample;
}

static struct advice step(const struct advice_sample *sample)
{
    struct advice advice;

    cr_assert(advice_observe(&state, &policy, sample));
    advice_decide(&state, &policy, now_s++ * NS_PER_S, &advice);
    cr_assert_eq(advice_fold(&advice), advice.desired);
    return advice;
}

static struct advice seconds(unsigned n, uint32_t instances, double rps)
{
    struct advice advice = {0};

    for (unsigned i = 0; i < n; i++) {
        struct advice_sample sample = sample_of(instances, rps);
        advice = step(&sample);
    }
    return advice;
}

static bool has_clamp(const struct advice *advice, const char *rule)
{
    for (uint32_t i = 0; i < advice->n_clamps; i++)
        if (strcmp(advice->clamps[i].rule, rule) == 0)
            return true;
    return false;
}

// Knative's facts 49 and 50: 25 wanted by the panic window where 10 are ready; it stays until one
// stable window without a crossing has passed.
Test(full, a_burst_is_answered_in_seconds_and_does_not_shrink)
{
    cr_assert_eq(seconds(70, 10, 100).desired, 10);
    struct advice advice = seconds(7, 10, 250);
    cr_assert_eq(advice.panicking, 1);
    cr_assert_eq(advice.desired, 25);
    advice = seconds(50, 25, 0);
    cr_assert_eq(advice.desired, 25);
    cr_assert_str_eq(advice.signals[1].signal, "burst");
    advice = seconds(70, 25, 0);
    cr_assert_eq(advice.panicking, 0);
    cr_assert_eq(advice.desired, 1);
}

Test(full, what_tenants_limits_refused_is_no_reason_to_grow)
{
    struct advice advice = {0};

    policy.burst.is_on = false;
    for (int i = 0; i < 70; i++) {
        struct advice_sample sample = sample_of(4, 200);
        sample.quota_refusals_per_s = 160;
        advice = step(&sample);
    }
    cr_assert_eq(advice.signals[0].raw, 20);
    cr_assert_eq(advice.desired, 4);
    cr_assert(strstr(advice.signals[0].reason, "tenants"));
}

Test(full, our_own_refusals_are)
{
    struct advice advice = {0};

    for (int i = 0; i < 70; i++) {
        struct advice_sample sample = sample_of(4, 40);
        sample.capacity_refusals_per_s = 8;
        advice = step(&sample);
    }
    cr_assert_eq(advice.desired, 5);
    cr_assert_str_eq(advice.signals[1].signal, "capacity");
}

Test(full, an_open_dependency_neither_grows_by_latency_nor_shrinks)
{
    struct advice advice = {0};

    policy.targets[ADVICE_LATENCY] = (struct advice_target){100, ADVICE_VALUE};
    for (int i = 0; i < 70; i++) {
        struct advice_sample sample = sample_of(6, 60);
        sample.usage[ADVICE_LATENCY] = advice_usage_value(100);
        advice = step(&sample);
    }
    cr_assert_eq(advice.desired, 6);
    for (int i = 0; i < 70; i++) {
        struct advice_sample sample = sample_of(6, 10);
        sample.usage[ADVICE_LATENCY] = advice_usage_value(900);
        sample.dependency_open = true;
        advice = step(&sample);
        cr_assert_eq(advice.desired, 6);
    }
    cr_assert_gt(advice.signals[1].raw, 6);
    for (int i = 0; i < 70; i++) {
        struct advice_sample sample = sample_of(6, 10);
        sample.usage[ADVICE_LATENCY] = advice_usage_value(10);
        sample.dependency_open = i < 69;
        advice = step(&sample);
        if (i > 60 && i < 69) // the window has left the first half behind
            cr_assert(has_clamp(&advice, "dependency"));
    }
    cr_assert_lt(advice.desired, 6);
}

// A shrink after an outage waits as long as any other: the little that ran meanwhile is no advice.
Test(full, after_an_outage_shrinking_waits_its_window)
{
    policy.down.stabilization_s = 120;
    policy.burst.is_on = false;
    cr_assert_eq(seconds(130, 6, 60).desired, 6);
    for (int i = 0; i < 200; i++) {
        struct advice_sample sample = sample_of(6, 10);
        sample.dependency_open = true;
        cr_assert_eq(step(&sample).desired, 6);
    }
    for (int i = 0; i < 119; i++)
        cr_assert_eq(seconds(1, 6, 10).desired, 6, "second %d", i);
    cr_assert_lt(seconds(3, 6, 10).desired, 6);
}

Test(full, after_blindness_shrinking_waits_its_window)
{
    struct advice advice;

    policy.down.stabilization_s = 120;
    policy.burst.is_on = false;
    cr_assert_eq(seconds(130, 6, 60).desired, 6);
    now_s += 10;
    for (int i = 0; i < 200; i++) {
        advice_decide(&state, &policy, now_s++ * NS_PER_S, &advice);
        cr_assert_eq(advice.valid, 0);
    }
    for (int i = 0; i < 119; i++)
        cr_assert_eq(seconds(1, 6, 10).desired, 6, "second %d", i);
    cr_assert_lt(seconds(60, 6, 10).desired, 6);
}

struct grown {
    uint32_t most, ready;
    double refused;
};

// 180 s, a decision each `step_s`, of a load that 8 instances bear where 2 are; every order is
// carried out at once and serves after 30 s. `at_once`: an instance counts as ready from its order
// on, as it does live.
static struct grown grow_by_refusals(uint32_t step_s, bool at_once)
{
    struct grown grown = {0};
    uint32_t ordered[300] = {0}, serving = 2;

    policy.targets[ADVICE_RPS].target = 1000; // asks for nothing
    policy.burst.is_on = false;
    policy.down.stabilization_s = 600;
    policy.warm_up_s = 30;
    policy.min_instances = ordered[0] = 2;
    advice_init(&state, &policy);
    for (uint32_t i = 0, last = 2; i < 300; i += step_s) {
        double rps = i < 120 ? 19 : 80;
        serving = i >= 30 ? ordered[i - 30] : 2;
        struct advice_sample sample = sample_of(last, rps);

        sample.step_ns = step_s * NS_PER_S;
        sample.ready = at_once ? last : serving;
        sample.capacity_refusals_per_s = fmax(0, rps - 10.0 * serving);
        grown.refused += sample.capacity_refusals_per_s * step_s;
        last = step(&sample).desired;
        now_s += step_s - 1;
        for (uint32_t k = i; k < i + step_s; k++)
            ordered[k] = last;
        grown.most = last > grown.most ? last : grown.most;
    }
    grown.ready = serving;
    return grown;
}

Test(full, refusals_grow_to_the_need_and_not_past_it)
{
    for (uint32_t i = 0; i < 4; i++) {
        struct grown grown = grow_by_refusals(i % 2 ? 15 : 1, i / 2);

        cr_expect_geq(grown.ready, 8, "%u: %u serve", i, grown.ready);
        cr_expect_leq(grown.most, 9, "%u: %u were ordered", i, grown.most);
        // 30 s until the first helps cost 1800; seen late or in small steps it is three times that.
        cr_expect_leq(grown.refused, 2400, "%u: %.0f were refused", i, grown.refused);
    }
}

Test(full, an_update_neither_shrinks_nor_counts_the_surge)
{
    policy.warm_up_s = 30;
    cr_assert_eq(seconds(70, 6, 60).desired, 6);
    for (int i = 0; i < 20; i++) {
        struct advice_sample sample = sample_of(i % 2 ? 7 : 5, 20);
        sample.replacing = 1;
        cr_assert_eq(step(&sample).desired, 6);
    }
    cr_assert_eq(seconds(29, 6, 20).desired, 6);
    cr_assert_lt(seconds(60, 6, 20).desired, 6);
}

Test(full, after_its_flaps_it_only_grows)
{
    policy.target_window_s = 1;
    policy.burst.is_on = false;
    policy.flaps = 2;
    advice_init(&state, &policy);
    uint32_t lowest = 100;

    seconds(5, 5, 50);
    for (int i = 0; i < 6; i++) {
        seconds(5, 5, 90);
        struct advice advice = seconds(5, 5, 10);
        if (i >= 2) {
            cr_assert(has_clamp(&advice, "flap_budget"), "round %d", i);
            lowest = advice.desired < lowest ? advice.desired : lowest;
        }
    }
    cr_assert_geq(lowest, 9);
}

Test(full, a_silent_host_stops_shrinking)
{
    seconds(70, 4, 40);
    for (int i = 0; i < 70; i++) {
        struct advice_sample sample = sample_of(4, 10);
        sample.usage[ADVICE_RPS].measured = 2;
        sample.usage[ADVICE_RPS].missing = 2;
        cr_assert_geq(step(&sample).desired, 2);
    }
    struct advice advice;
    advice_decide(&state, &policy, (now_s + 60) * NS_PER_S, &advice);
    cr_assert_eq(advice.valid, 0);
    cr_assert_geq(advice.desired, 4);
}

Test(full, nonsense_is_not_believed)
{
    struct advice_sample sample = sample_of(4, 40);

    sample.usage[ADVICE_RPS].total = -1;
    cr_assert_not(advice_observe(&state, &policy, &sample));
    sample = sample_of(4, 40);
    sample.usage[ADVICE_RPS].total = (double)INFINITY;
    cr_assert_not(advice_observe(&state, &policy, &sample));
    sample = sample_of(4, 40);
    sample.ready = 5;
    cr_assert_not(advice_observe(&state, &policy, &sample));
    sample = sample_of(4, 40);
    cr_assert(advice_observe(&state, &policy, &sample));
    cr_assert_not(advice_observe(&state, &policy, &sample), "the same moment twice");
    cr_assert_eq(state.rejected, 4);
}

// Saved and loaded it decides on as if nothing had been; a damaged or cut one is refused.
Test(full, memory_comes_back_as_it_was)
{
    char *bytes = malloc(ADVICE_STATE_BYTES);
    struct advice_state *other = calloc(1, sizeof(*other));
    const char *why;
    uint64_t wall_ns = 1700000000 * NS_PER_S;

    seconds(100, 5, 83);
    advice_state_encode(&state, now_s * NS_PER_S, wall_ns, bytes);
    cr_assert_eq(advice_state_decode(bytes, ADVICE_STATE_BYTES, (now_s + 2) * NS_PER_S,
                                     wall_ns + 2 * NS_PER_S, other, &why),
                 0);
    cr_assert_eq(memcmp(other, &state, sizeof(state)), 0);
    cr_assert_eq(advice_state_decode(bytes, ADVICE_STATE_BYTES - 1, 0, 0, other, &why), -EBADMSG);
    bytes[ADVICE_STATE_BYTES / 2] ^= 1;
    cr_assert_eq(advice_state_decode(bytes, ADVICE_STATE_BYTES, 0, 0, other, &why), -EBADMSG);
    bytes[ADVICE_STATE_BYTES / 2] ^= 1;
    bytes[8] ^= 1;
    cr_assert_eq(advice_state_decode(bytes, ADVICE_STATE_BYTES, 0, 0, other, &why), -EPROTO);
    bytes[8] ^= 1;
    // After a reboot an hour later the change is an hour ago, though this clock is younger.
    uint64_t mono_ns = 50 * NS_PER_S;
    cr_assert_eq(advice_state_decode(bytes, ADVICE_STATE_BYTES, mono_ns, wall_ns + 3600 * NS_PER_S,
                                     other, &why),
                 0);
    cr_assert_eq(mono_ns - other->changed_ns,
                 now_s * NS_PER_S - state.changed_ns + 3600 * NS_PER_S);
    cr_assert_eq(other->advised, state.advised);
    free(other);
    free(bytes);
}

static void check_chain(const struct advice *advice)
{
    uint32_t number = 0;

    for (uint32_t i = 0; i < advice->n_signals; i++) {
        const struct advice_signal *signal = &advice->signals[i];
        number = signal->proposed > number ? signal->proposed : number;
        cr_assert_leq(signal->proposed, signal->raw);
        cr_assert(signal->reason[0] != '\0');
    }
    for (uint32_t i = 0; i < advice->n_clamps; i++) {
        cr_assert_eq(advice->clamps[i].before, number);
        cr_assert(advice->clamps[i].reason[0] != '\0');
        number = advice->clamps[i].after;
    }
    cr_assert_eq(advice->desired, number);
    cr_assert(advice->reason[0] != '\0');
}

static struct advice_sample random_sample(void)
{
    uint32_t current = 1 + (uint32_t)rand() % 12;
    struct advice_sample sample = sample_of(current, rand() % 400);

    sample.usage[ADVICE_RPS].known = rand() % 10 != 0;
    sample.usage[ADVICE_CPU] = advice_usage_percent(rand() % 120, current);
    sample.usage[ADVICE_CPU].known = rand() % 10 != 0;
    sample.dependency_open = rand() % 10 == 0;
    sample.replacing = rand() % 20 == 0;
    sample.quota_refusals_per_s = rand() % 3 == 0 ? rand() % 100 : 0;
    sample.capacity_refusals_per_s = rand() % 5 == 0 ? rand() % 20 : 0;
    return sample;
}

static void pick_policy(void)
{
    setup();
    now_s = 100000 + (uint64_t)(rand() % 1000);
    policy.rps = (struct advice_threshold){rand() % 2, 30, 10, 1 + (uint32_t)rand() % 400};
    policy.cpu = (struct advice_threshold){rand() % 2, 70, 30, 1 + (uint32_t)rand() % 20};
    policy.targets[ADVICE_CPU].target = rand() % 2 ? 60 : 0;
    policy.target_window_s = 1 + (uint32_t)rand() % 30;
    policy.cooldown_s = rand() % 2 ? (uint32_t)rand() % 60 : 0;
    policy.warm_up_s = (uint32_t)rand() % 30;
    policy.flaps = (uint32_t)rand() % 4;
    policy.max_instances = 1 + (uint32_t)rand() % 40;
    policy.up.stabilization_s = rand() % 3 == 0 ? 30 : 0;
    policy.down.stabilization_s = rand() % 3 == 0 ? 60 : 0;
    if (rand() % 2)
        policy.down.rates[policy.down.n_rates++] = (struct advice_rate){ADVICE_PERCENT, 20, 30};
    if (rand() % 2)
        policy.up.rates[policy.up.n_rates++] = (struct advice_rate){ADVICE_PODS, 3, 15};
    advice_init(&state, &policy);
}

Test(full, for_random_loads_the_chain_is_whole_and_blindness_never_shrinks)
{
    srand(7);
    for (int round = 0; round < 300; round++) {
        pick_policy();
        for (int i = 0; i < 100; i++) {
            struct advice_sample sample = random_sample();
            uint32_t stood =
                state.advised < policy.max_instances ? state.advised : policy.max_instances;
            struct advice advice;

            (void)advice_observe(&state, &policy, &sample);
            now_s += rand() % 30 == 0 ? 20 : 1;
            advice_decide(&state, &policy, (now_s - 1) * NS_PER_S, &advice);
            check_chain(&advice);
            if (advice.valid)
                cr_assert(advice.desired >= policy.min_instances &&
                          advice.desired <= policy.max_instances);
            bool is_blind = !advice.valid;
            for (uint32_t k = 0; k < advice.n_signals; k++)
                is_blind |= !advice.signals[k].known;
            if (is_blind || advice.panicking || state.dependency_open)
                cr_assert_geq(advice.desired, stood);
        }
    }
}
