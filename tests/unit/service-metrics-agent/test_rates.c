#include <criterion/criterion.h>
#include <math.h>

#include "base/clock.h"
#include "rates.h"

static void add(struct rates *rates, uint64_t second, uint64_t requests, uint64_t durations_ms)
{
    rates_add(rates, &(struct rates_sample){second * NS_PER_S, requests, durations_ms * NS_PER_MS});
}

Test(rates, one_sample_is_not_known)
{
    struct rates rates;
    struct rates_result result;
    rates_init(&rates);
    add(&rates, 1, 500, 1000);
    rates_read(&rates, 10 * NS_PER_S, &result);
    cr_assert_not(result.known);
}

Test(rates, rate_and_average_over_the_window)
{
    struct rates rates;
    struct rates_result result;
    rates_init(&rates);
    for (uint64_t second = 0; second <= 30; second++)
        add(&rates, second, second * 45, second * 45 * 120);
    rates_read(&rates, 10 * NS_PER_S, &result);
    cr_assert(result.known);
    cr_assert_float_eq(result.requests_per_second, 45.0, 1e-9);
    cr_assert_float_eq(result.average_response_ms, 120.0, 1e-9);
    cr_assert_eq(result.requests_last_step, 45);
}

Test(rates, a_burst_leaves_the_window)
{
    struct rates rates;
    struct rates_result result;
    rates_init(&rates);
    add(&rates, 0, 0, 0);
    add(&rates, 1, 1000, 1000);
    for (uint64_t second = 2; second <= 20; second++)
        add(&rates, second, 1000, 1000);
    rates_read(&rates, 10 * NS_PER_S, &result);
    cr_assert(result.known);
    cr_assert_float_eq(result.requests_per_second, 0.0, 1e-9);
    cr_assert(isnan(result.average_response_ms));
}

Test(rates, a_step_down_is_never_a_negative_rate)
{
    struct rates rates;
    struct rates_result result;
    rates_init(&rates);
    add(&rates, 0, 1000, 1000);
    add(&rates, 1, 1010, 1010);
    add(&rates, 2, 5, 5);
    add(&rates, 3, 15, 15);
    rates_read(&rates, 10 * NS_PER_S, &result);
    cr_assert(result.known);
    cr_assert_float_eq(result.requests_per_second, 20.0 / 3.0, 1e-9);
}
