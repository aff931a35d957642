#include <criterion/criterion.h>

#include "endpoint_health.h"

#define N_MAX 9

static const struct config_ejection rules = {
    .consecutive = 3, .max_percent = 50, .panic_percent = 75, .time_ms = 1000, .time_max_ms = 3500};

static enum endpoint_change call(struct endpoint_health *health, enum breaker_outcome outcome,
                                 uint64_t now_ms)
{
    return endpoint_report(health, &rules, endpoint_enter(health, &rules, now_ms), outcome, true,
                           now_ms);
}

static void eject(struct endpoint_health *health, uint64_t now_ms)
{
    while (call(health, BREAKER_FAILURE, now_ms) != ENDPOINT_EJECTED) {
    }
}

Test(endpoint_health, only_failures_in_a_row_eject)
{
    struct endpoint_health health = {0};
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(call(&health, i % 3 == 2 ? BREAKER_SUCCESS : BREAKER_TIMEOUT, 5),
                     ENDPOINT_SAME);
        cr_assert_eq(call(&health, BREAKER_IGNORED, 5), ENDPOINT_SAME);
    }
    cr_assert_eq(call(&health, BREAKER_TIMEOUT, 5), ENDPOINT_SAME); // the second in a row
    cr_assert_eq(call(&health, BREAKER_FAILURE, 5), ENDPOINT_EJECTED);
    cr_assert_not(endpoint_is_open(&health, 1004));
    cr_assert(endpoint_is_open(&health, 1005));
}

Test(endpoint_health, returns_by_one_trial_at_a_time)
{
    struct endpoint_health health = {0};
    eject(&health, 0);
    uint32_t trial = endpoint_enter(&health, &rules, 1000);
    cr_assert_not(endpoint_is_open(&health, 1000)); // the trial is under way
    cr_assert_not(endpoint_is_open(&health, 1999));
    cr_assert(endpoint_is_open(&health, 2000)); // it was never heard of again
    cr_assert_eq(endpoint_report(&health, &rules, trial, BREAKER_IGNORED, true, 1500),
                 ENDPOINT_SAME);
    cr_assert(endpoint_is_open(&health, 1500)); // it told nothing: the next one tries
    trial = endpoint_enter(&health, &rules, 1500);
    cr_assert_eq(endpoint_report(&health, &rules, trial, BREAKER_SUCCESS, true, 1600),
                 ENDPOINT_RETURNED);
    cr_assert(endpoint_is_open(&health, 1600));
    cr_assert_eq(call(&health, BREAKER_FAILURE, 1600), ENDPOINT_SAME); // the count began anew
}

Test(endpoint_health, is_out_longer_each_time_up_to_the_bound_and_forgets)
{
    struct endpoint_health health = {0};
    uint64_t now_ms = 0;
    const uint64_t expected_ms[] = {1000, 2000, 3000, 3500, 3500};
    eject(&health, now_ms);
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(health.until_ms - now_ms, expected_ms[i], "%zu", i);
        now_ms = health.until_ms;
        cr_assert_eq(call(&health, BREAKER_FAILURE, now_ms), ENDPOINT_EJECTED); // one is enough
    }
    now_ms = health.until_ms;
    cr_assert_eq(call(&health, BREAKER_SUCCESS, now_ms), ENDPOINT_RETURNED);
    cr_assert_eq(health.ejections, 6);
    eject(&health, now_ms + 4999); // four are forgotten
    cr_assert_eq(health.until_ms - now_ms - 4999, 3000);
}

Test(endpoint_health, late_results_of_one_outage_count_once)
{
    struct endpoint_health health = {0};
    uint32_t tickets[10];
    for (size_t i = 0; i < 10; i++) {
        tickets[i] = endpoint_enter(&health, &rules, 0);
    }
    unsigned ejections = 0;
    for (size_t i = 0; i < 5; i++) {
        ejections += endpoint_report(&health, &rules, tickets[i], BREAKER_FAILURE, true, 10) ==
                     ENDPOINT_EJECTED;
    }
    cr_assert_eq(ejections, 1);
    uint32_t trial = endpoint_enter(&health, &rules, 1010);
    for (size_t i = 5; i < 10; i++) { // begun before: they neither end nor fail the trial
        enum breaker_outcome outcome = i % 2 == 0 ? BREAKER_FAILURE : BREAKER_SUCCESS;
        cr_assert_eq(endpoint_report(&health, &rules, tickets[i], outcome, true, 1011),
                     ENDPOINT_SAME);
    }
    cr_assert_eq(endpoint_report(&health, &rules, trial, BREAKER_SUCCESS, true, 1012),
                 ENDPOINT_RETURNED);
}

Test(endpoint_health, a_capped_endpoint_is_ejected_when_there_is_room)
{
    struct endpoint_health health = {0};
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(endpoint_report(&health, &rules, health.ticket, BREAKER_FAILURE, false, 0),
                     ENDPOINT_SAME);
    }
    cr_assert_eq(call(&health, BREAKER_FAILURE, 0), ENDPOINT_EJECTED);
}

Test(endpoint_health, the_cap_leaves_one_and_lets_one_go)
{
    struct config_ejection tight = rules;
    tight.max_percent = 10;
    cr_assert_not(endpoint_may_eject(&rules, 1, 0));
    cr_assert(endpoint_may_eject(&tight, 2, 0)); // 10 % of two is none, and one all the same
    cr_assert_not(endpoint_may_eject(&tight, 5, 1));
    cr_assert(endpoint_may_eject(&tight, 20, 1));
    tight.max_percent = 100;
    cr_assert_not(endpoint_may_eject(&tight, 3, 2)); // never the last
    tight.max_percent = 0;
    cr_assert_not(endpoint_may_eject(&tight, 3, 0));
}

Test(endpoint_health, panics_beyond_its_share_and_when_none_is_left)
{
    cr_assert_not(endpoint_panics(&rules, 4, 3)); // 75 % is not more than 75 %
    cr_assert(endpoint_panics(&rules, 5, 4));
    struct config_ejection never = rules;
    never.panic_percent = 100;
    cr_assert_not(endpoint_panics(&never, 5, 4));
    cr_assert(endpoint_panics(&never, 5, 5));
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return *state >> 33;
}

// Whatever happens: the cap holds, one endpoint always is in, and nobody is out for longer than the
// bound.
Test(endpoint_health, holds_its_promises_under_any_traffic)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t random = seed * 2654435761u;
        size_t n = 1 + next_random(&random) % N_MAX;
        struct config_ejection r = rules;
        r.max_percent = (uint32_t)(next_random(&random) % 101);
        struct endpoint_health health[N_MAX] = {0};
        uint32_t tickets[N_MAX][4] = {0};
        uint64_t now_ms = 0;
        for (int step = 0; step < 2000; step++) {
            now_ms += next_random(&random) % 400;
            size_t at = next_random(&random) % n;
            uint32_t *ticket = &tickets[at][next_random(&random) % 4];
            if (next_random(&random) % 2 == 0) {
                *ticket = endpoint_enter(&health[at], &r, now_ms);
                continue;
            }
            size_t n_out = 0;
            for (size_t i = 0; i < n; i++) {
                n_out += health[i].state != ENDPOINT_IN;
            }
            enum breaker_outcome outcome = (enum breaker_outcome)(next_random(&random) % 4);
            bool may = endpoint_may_eject(&r, n, n_out);
            bool was_in = health[at].state == ENDPOINT_IN;
            enum endpoint_change change =
                endpoint_report(&health[at], &r, *ticket, outcome, may, now_ms);
            n_out += was_in && change == ENDPOINT_EJECTED;
            cr_assert(n_out < n && (n_out <= 1 || n_out * 100 <= n * r.max_percent));
            cr_assert(n_out == 0 || r.max_percent > 0);
            cr_assert(health[at].state == ENDPOINT_IN || health[at].until_ms <= now_ms + 3500);
        }
    }
}
