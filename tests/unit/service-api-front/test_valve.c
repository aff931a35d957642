#include <criterion/criterion.h>

#include "valve_outcome.h"

Test(valve, an_upstreams_own_5xx_is_a_failure_and_4xx_none)
{
    cr_expect_eq(valve_classify(EXCHANGE_ANSWERED, 200), BREAKER_SUCCESS);
    cr_expect_eq(valve_classify(EXCHANGE_ANSWERED, 304), BREAKER_SUCCESS);
    cr_expect_eq(valve_classify(EXCHANGE_ANSWERED, 404), BREAKER_SUCCESS);
    cr_expect_eq(valve_classify(EXCHANGE_ANSWERED, 429), BREAKER_SUCCESS);
    cr_expect_eq(valve_classify(EXCHANGE_ANSWERED, 499), BREAKER_SUCCESS);
    cr_expect_eq(valve_classify(EXCHANGE_ANSWERED, 500), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(EXCHANGE_ANSWERED, 503), BREAKER_FAILURE);
}

Test(valve, transport_ends)
{
    cr_expect_eq(valve_classify(EXCHANGE_CONNECT_FAILED, 0), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(EXCHANGE_TLS_FAILED, 0), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(EXCHANGE_NO_ADDRESS, 0), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(EXCHANGE_RESET, 200), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(EXCHANGE_BAD_ANSWER, 0), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(EXCHANGE_CONNECT_TIMEOUT, 0), BREAKER_TIMEOUT);
    cr_expect_eq(valve_classify(EXCHANGE_FIRST_BYTE_TIMEOUT, 0), BREAKER_TIMEOUT);
    cr_expect_eq(valve_classify(EXCHANGE_IDLE_TIMEOUT, 200), BREAKER_TIMEOUT);
    cr_expect_eq(valve_classify(EXCHANGE_TOTAL_TIMEOUT, 200), BREAKER_TIMEOUT);
}

Test(valve, what_says_nothing_about_the_upstream_is_ignored)
{
    cr_expect_eq(valve_classify(EXCHANGE_POOL_FULL, 0), BREAKER_IGNORED);
    cr_expect_eq(valve_classify(EXCHANGE_HEAD_TOO_LARGE, 0), BREAKER_IGNORED);
    cr_expect_eq(valve_classify(EXCHANGE_CLIENT_GONE, 500), BREAKER_IGNORED);
}
