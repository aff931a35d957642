#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "breaker/call_outcome.h"
#include "valve_outcome.h"

static const struct config_outcomes usual;

Test(valve, an_upstreams_own_5xx_is_a_failure_and_4xx_none)
{
    cr_expect_eq(valve_classify(&usual, EXCHANGE_ANSWERED, 200), BREAKER_SUCCESS);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_ANSWERED, 304), BREAKER_SUCCESS);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_ANSWERED, 404), BREAKER_SUCCESS);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_ANSWERED, 429), BREAKER_SUCCESS);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_ANSWERED, 499), BREAKER_SUCCESS);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_ANSWERED, 500), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_ANSWERED, 503), BREAKER_FAILURE);
}

Test(valve, transport_ends)
{
    cr_expect_eq(valve_classify(&usual, EXCHANGE_CONNECT_FAILED, 0), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_TLS_FAILED, 0), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_NO_ADDRESS, 0), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_RESET, 200), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_BAD_ANSWER, 0), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_CONNECT_TIMEOUT, 0), BREAKER_TIMEOUT);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_FIRST_BYTE_TIMEOUT, 0), BREAKER_TIMEOUT);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_IDLE_TIMEOUT, 200), BREAKER_TIMEOUT);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_TOTAL_TIMEOUT, 200), BREAKER_TIMEOUT);
}

Test(valve, what_says_nothing_about_the_upstream_is_ignored)
{
    cr_expect_eq(valve_classify(&usual, EXCHANGE_POOL_FULL, 0), BREAKER_IGNORED);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_HEAD_TOO_LARGE, 0), BREAKER_IGNORED);
    cr_expect_eq(valve_classify(&usual, EXCHANGE_CLIENT_GONE, 500), BREAKER_IGNORED);
}

Test(valve, the_configuration_may_say_otherwise)
{
    struct config_outcomes outcomes = {0};
    outcomes.of_status[404 - CONFIG_STATUS_MIN] = OUTCOME_FAILURE;
    outcomes.of_status[503 - CONFIG_STATUS_MIN] = OUTCOME_IGNORED;
    outcomes.of_status[504 - CONFIG_STATUS_MIN] = OUTCOME_TIMEOUT;
    outcomes.of_status[501 - CONFIG_STATUS_MIN] = OUTCOME_SUCCESS;
    outcomes.of_end[CALL_END_reset] = OUTCOME_IGNORED;
    outcomes.of_end[CALL_END_idle_timeout] = OUTCOME_FAILURE;
    cr_expect_eq(valve_classify(&outcomes, EXCHANGE_ANSWERED, 404), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(&outcomes, EXCHANGE_ANSWERED, 503), BREAKER_IGNORED);
    cr_expect_eq(valve_classify(&outcomes, EXCHANGE_ANSWERED, 504), BREAKER_TIMEOUT);
    cr_expect_eq(valve_classify(&outcomes, EXCHANGE_ANSWERED, 501), BREAKER_SUCCESS);
    cr_expect_eq(valve_classify(&outcomes, EXCHANGE_ANSWERED, 502), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(&outcomes, EXCHANGE_ANSWERED, 999), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(&outcomes, EXCHANGE_RESET, 404), BREAKER_IGNORED);
    cr_expect_eq(valve_classify(&outcomes, EXCHANGE_IDLE_TIMEOUT, 0), BREAKER_FAILURE);
    cr_expect_eq(valve_classify(&outcomes, EXCHANGE_TOTAL_TIMEOUT, 0), BREAKER_TIMEOUT);
    cr_expect_eq(valve_classify(&outcomes, EXCHANGE_CLIENT_GONE, 404), BREAKER_IGNORED);
}

Test(valve, rpc_errors_in_good_answers)
{
    const struct config_outcomes outcomes = {
        .rpc = {{-32099, -32000, OUTCOME_FAILURE},
                {-32603, -32603, OUTCOME_TIMEOUT},
                {-5, -5, OUTCOME_IGNORED}},
        .n_rpc = 3,
    };
#define BAD  "{\"id\":1,\"error\":{\"code\":-32005}}"
#define LATE "{\"id\":1,\"error\":{\"code\":-32603}}"
#define OWN  "{\"id\":1,\"error\":{\"code\":-5}}"
#define HIS  "{\"id\":1,\"error\":{\"code\":-32602}}"
#define GOOD "{\"id\":1,\"result\":0}"
    static const struct {
        const char *body;
        enum breaker_outcome outcome;
    } cases[] = {
        {BAD, BREAKER_FAILURE},
        {LATE, BREAKER_TIMEOUT},
        {OWN, BREAKER_IGNORED},
        {"{\"id\":1,\"error\":{\"code\":-32603.0}}", BREAKER_TIMEOUT},
        {"{\"id\":1,\"error\":{\"code\":-32603.5}}", BREAKER_SUCCESS},
        {"{\"id\":1,\"error\":{\"code\":-5e300}}", BREAKER_SUCCESS},
        {HIS, BREAKER_SUCCESS},
        {GOOD, BREAKER_SUCCESS},
        {"[" GOOD "," BAD "," LATE "]", BREAKER_FAILURE},
        {"[" GOOD "," LATE "]", BREAKER_TIMEOUT},
        {"[" GOOD "," OWN "]", BREAKER_SUCCESS},
        {"[" OWN "," OWN "]", BREAKER_IGNORED},
        {"[]", BREAKER_SUCCESS},
        {"not JSON", BREAKER_SUCCESS},
        {"{\"error\":{\"code\":\"-32005\"}}", BREAKER_SUCCESS},
        {"{\"error\":-32005}", BREAKER_SUCCESS},
        {"", BREAKER_SUCCESS},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(
            call_outcome_of_rpc(&outcomes, BREAKER_SUCCESS, cases[i].body, strlen(cases[i].body)),
            cases[i].outcome, "%s", cases[i].body);
    cr_expect_eq(call_outcome_of_rpc(&outcomes, BREAKER_IGNORED, GOOD, strlen(GOOD)),
                 BREAKER_IGNORED);
}

static uint64_t retry_after_s(unsigned status, const char *value)
{
    const struct http_header header = {"Retry-After", 11, value, strlen(value)};
    return valve_retry_after_ns(status, &header, 1, 1700000000) / NS_PER_S;
}

Test(valve, retry_after)
{
    cr_expect_eq(retry_after_s(503, "7"), 7);
    cr_expect_eq(retry_after_s(429, "7"), 7);
    cr_expect_eq(retry_after_s(500, "7"), 0);
    cr_expect_eq(retry_after_s(503, "Tue, 14 Nov 2023 22:13:50 GMT"), 30);
    cr_expect_eq(retry_after_s(503, "Tue, 14 Nov 2023 22:13:10 GMT"), 0);
    cr_expect_eq(retry_after_s(503, "Tue, 14 Nov 2034 22:13:10 GMT"), 86400);
    cr_expect_eq(retry_after_s(503, "99999999999999999999999"), 86400);
    cr_expect_eq(retry_after_s(503, "soon"), 0);
    cr_expect_eq(valve_retry_after_ns(503, NULL, 0, 0), 0);
}
