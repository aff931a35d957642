// What an attempt's end means for its operation.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "outbox_rules.h"

#define NOW_MS      UINT64_C(1700000000000)
#define NOT_SAID    UINT64_MAX
#define HIGHEST     UINT32_MAX
#define AGE_LEFT_MS UINT64_C(3600000)

static const struct outbox_retry_rules rules = {
    .backoff_ms = 1000, .backoff_max_ms = 60000, .max_attempts = 10};

static struct config_outcomes outcomes; // each test is a process of its own

static struct outbox_call call_of(unsigned attempt, unsigned flags)
{
    return (struct outbox_call){
        .attempt = attempt, .flags = flags, .expires_ms = NOW_MS + AGE_LEFT_MS};
}

static struct outbox_attempt answered(unsigned status, const char *body)
{
    return (struct outbox_attempt){.sent = OUTBOX_ANSWERED,
                                   .status = status,
                                   .retry_after_ms = NOT_SAID,
                                   .body = body,
                                   .body_len = strlen(body),
                                   .error = ""};
}

static enum breaker_outcome outcome_of(const struct outbox_attempt *attempt)
{
    static char head[] = "POST /x HTTP/1.1\r\n";
    const struct outbox_call call = {.head = head, .head_len = strlen(head)};
    return outbox_outcome(attempt, &call, &outcomes);
}

static struct outbox_verdict judge(struct outbox_attempt attempt, struct outbox_call call,
                                   uint32_t random)
{
    struct outbox_verdict verdict;
    outbox_judge(&attempt, &call, &outcomes, &rules, NOW_MS, random, &verdict);
    return verdict;
}

Test(outbox_rules, each_status_has_its_end)
{
    static const struct {
        unsigned status;
        enum outbox_state keyed, plain;
    } table[] = {
        {200, OUTBOX_DONE, OUTBOX_DONE},     {201, OUTBOX_DONE, OUTBOX_DONE},
        {204, OUTBOX_DONE, OUTBOX_DONE},     {301, OUTBOX_DONE, OUTBOX_DONE},
        {304, OUTBOX_DONE, OUTBOX_DONE},     {400, OUTBOX_DEAD, OUTBOX_DEAD},
        {401, OUTBOX_DEAD, OUTBOX_DEAD},     {404, OUTBOX_DEAD, OUTBOX_DEAD},
        {408, OUTBOX_QUEUED, OUTBOX_QUEUED}, {409, OUTBOX_QUEUED, OUTBOX_DEAD},
        {422, OUTBOX_DEAD, OUTBOX_DEAD},     {425, OUTBOX_QUEUED, OUTBOX_QUEUED},
        {429, OUTBOX_QUEUED, OUTBOX_QUEUED}, {500, OUTBOX_QUEUED, OUTBOX_QUEUED},
        {501, OUTBOX_DEAD, OUTBOX_DEAD},     {502, OUTBOX_QUEUED, OUTBOX_QUEUED},
        {503, OUTBOX_QUEUED, OUTBOX_QUEUED}, {504, OUTBOX_QUEUED, OUTBOX_QUEUED},
        {505, OUTBOX_DEAD, OUTBOX_DEAD},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct outbox_verdict keyed =
            judge(answered(table[i].status, ""), call_of(1, OUTBOX_RESEND), 0);
        struct outbox_verdict plain = judge(answered(table[i].status, ""), call_of(1, 0), 0);
        cr_expect_eq(keyed.state, table[i].keyed, "%u, keyed", table[i].status);
        cr_expect_eq(plain.state, table[i].plain, "%u", table[i].status);
        cr_expect_eq(keyed.answer_status, table[i].status);
    }
}

Test(outbox_rules, an_unknown_outcome_is_parked_unless_it_may_arrive_twice)
{
    struct outbox_attempt lost = {.sent = OUTBOX_UNKNOWN,
                                  .end = CALL_END_total_timeout,
                                  .retry_after_ms = NOT_SAID,
                                  .error = "timed out"};
    struct outbox_verdict plain = judge(lost, call_of(1, 0), 0);
    cr_assert_eq(plain.state, OUTBOX_PARKED);
    cr_assert(strstr(plain.error, "not known: timed out") != NULL, "%s", plain.error);
    cr_assert_eq(judge(lost, call_of(1, OUTBOX_RESEND), 0).state, OUTBOX_QUEUED);
    cr_assert_eq(judge(lost, call_of(10, OUTBOX_RESEND), 0).state, OUTBOX_DEAD);
    lost.sent = OUTBOX_NOT_SENT; // surely did nothing
    cr_assert_eq(judge(lost, call_of(1, 0), 0).state, OUTBOX_QUEUED);
}

Test(outbox_rules, the_wait_is_a_random_part_of_a_bound_that_doubles)
{
    uint64_t bound_ms = rules.backoff_ms;
    for (unsigned attempt = 1; attempt < rules.max_attempts; attempt++) {
        struct outbox_call call = call_of(attempt, 0);
        uint64_t shortest = judge(answered(503, ""), call, 0).due_ms - NOW_MS;
        uint64_t middle = judge(answered(503, ""), call, HIGHEST / 2).due_ms - NOW_MS;
        uint64_t longest = judge(answered(503, ""), call, HIGHEST).due_ms - NOW_MS;
        cr_expect_eq(shortest, 0, "full jitter begins at nothing");
        cr_expect(middle + 1 >= bound_ms / 2 && middle <= bound_ms / 2 + 1, "attempt %u: %llu",
                  attempt, (unsigned long long)middle);
        cr_expect_eq(longest, bound_ms, "attempt %u: %llu", attempt, (unsigned long long)longest);
        bound_ms = bound_ms * 2 < rules.backoff_max_ms ? bound_ms * 2 : rules.backoff_max_ms;
    }
    const struct outbox_retry_rules endless = {
        .backoff_ms = 1000, .backoff_max_ms = 60000, .max_attempts = 1000000};
    struct outbox_attempt away = answered(503, "");
    struct outbox_call late = call_of(999999, 0);
    struct outbox_verdict verdict;
    outbox_judge(&away, &late, &outcomes, &endless, NOW_MS, HIGHEST, &verdict);
    cr_assert_eq(verdict.due_ms - NOW_MS, 60000);
}

Test(outbox_rules, never_before_retry_after)
{
    struct outbox_attempt busy = answered(429, "");
    busy.retry_after_ms = 5000;
    cr_assert_eq(judge(busy, call_of(1, 0), 0).due_ms, NOW_MS + 5000);
    busy.retry_after_ms = 5; // shorter than what chance says
    cr_assert_eq(judge(busy, call_of(1, 0), HIGHEST).due_ms, NOW_MS + 1000);
    busy.retry_after_ms = AGE_LEFT_MS; // then it would be too old
    struct outbox_verdict verdict = judge(busy, call_of(1, 0), 0);
    cr_assert_eq(verdict.state, OUTBOX_DEAD);
    cr_assert(strstr(verdict.error, "too old") != NULL, "%s", verdict.error);
}

Test(outbox_rules, the_last_attempt_is_the_last)
{
    cr_assert_eq(judge(answered(503, ""), call_of(9, 0), 0).state, OUTBOX_QUEUED);
    struct outbox_verdict verdict = judge(answered(503, ""), call_of(10, 0), 0);
    cr_assert_eq(verdict.state, OUTBOX_DEAD);
    cr_assert_str_eq(verdict.error, "answered 503; no attempt is left");
    cr_assert_eq(judge(answered(200, ""), call_of(10, 0), 0).state, OUTBOX_DONE);
}

Test(outbox_rules, retry_after_is_seconds_or_a_date)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } table[] = {
        {"0", 0},
        {"120", 120000},
        {"86400", 86400000},
        {"86401", NOT_SAID},
        {"-1", NOT_SAID},
        {"1.5", NOT_SAID},
        {"", NOT_SAID},
        {"soon", NOT_SAID},
        {"Tue, 14 Nov 2023 22:13:30 GMT", 10000}, // NOW_MS is 22:13:20
        {"Tue, 14 Nov 2023 22:13:10 GMT", 0},
        {"Tue, 14 Nov 2123 22:13:10 GMT", 86400000},
        {"Tue, 14 Nov 2023 22:13:30 CET", NOT_SAID},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        cr_expect_eq(outbox_retry_after_ms(table[i].text, strlen(table[i].text), NOW_MS),
                     table[i].ms, "%s", table[i].text);
}

Test(outbox_rules, a_json_rpc_answer_is_judged_by_its_error)
{
    static const struct {
        const char *body;
        enum outbox_state state;
    } table[] = {
        {"{\"result\":\"0x1\"}", OUTBOX_DONE},
        {"{\"error\":null,\"result\":1}", OUTBOX_DONE},
        {"{\"error\":{\"code\":-32000,\"message\":\"already known\"}}", OUTBOX_DONE},
        {"{\"error\":{\"code\":-32000,\"message\":\"Known transaction: 0x1\"}}", OUTBOX_DONE},
        {"{\"error\":{\"code\":-32603,\"message\":\"internal\"}}", OUTBOX_QUEUED},
        {"{\"error\":{\"code\":-32005,\"message\":\"limit\"}}", OUTBOX_QUEUED},
        {"{\"error\":{\"code\":-32000,\"message\":\"nonce too low\"}}", OUTBOX_DEAD},
        {"<html>", OUTBOX_QUEUED},
        {"", OUTBOX_QUEUED},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct outbox_call call = call_of(1, OUTBOX_RESEND | OUTBOX_RPC);
        cr_expect_eq(judge(answered(200, table[i].body), call, 0).state, table[i].state, "%s",
                     table[i].body);
    }
    cr_assert_eq(judge(answered(200, "<html>"), call_of(1, OUTBOX_RESEND), 0).state, OUTBOX_DONE,
                 "only of calls that are JSON-RPC");
}

Test(outbox_rules, the_breaker_hears_of_the_upstream_alone)
{
    struct outbox_attempt attempt = answered(404, "");
    cr_assert_eq(outcome_of(&attempt), BREAKER_SUCCESS, "it is there");
    attempt = answered(500, "");
    cr_assert_eq(outcome_of(&attempt), BREAKER_FAILURE);
    attempt.sent = OUTBOX_NOT_SENT;
    cr_assert_eq(outcome_of(&attempt), BREAKER_FAILURE);
    attempt.end = CALL_END_connect_timeout;
    cr_assert_eq(outcome_of(&attempt), BREAKER_TIMEOUT);
    attempt.gateway = true; // it ended here
    cr_assert_eq(outcome_of(&attempt), BREAKER_IGNORED);
}

Test(outbox_rules, replay_has_a_share_of_live_traffic_and_a_floor)
{
    cr_assert_float_eq(outbox_replay_rate(0, 20, 50), 50, 1e-9);
    cr_assert_float_eq(outbox_replay_rate(249, 20, 50), 50, 1e-9);
    cr_assert_float_eq(outbox_replay_rate(1000, 20, 50), 200, 1e-9);
    cr_assert_float_eq(outbox_replay_rate(1000, 0, 1), 1, 1e-9);
}

Test(outbox_rules, a_mail_refused_for_good_says_nothing_about_the_server)
{
    struct outbox_attempt attempt = answered(422, "");
    attempt.refused = true;
    attempt.reply = "550 5.1.1 no such user (RCPT)";
    struct outbox_verdict verdict = judge(attempt, call_of(1, 0), HIGHEST);
    cr_assert_eq(verdict.state, OUTBOX_DEAD);
    cr_assert_str_eq(verdict.error, attempt.reply);
    cr_assert_eq(outcome_of(&attempt), BREAKER_IGNORED);
    attempt = answered(503, "");
    attempt.reply = "451 4.3.0 later";
    cr_assert_eq(judge(attempt, call_of(1, 0), HIGHEST).state, OUTBOX_QUEUED);
    cr_assert_eq(outcome_of(&attempt), BREAKER_FAILURE);
}

static void say(unsigned status, enum config_outcome said)
{
    outcomes.of_status[status - CONFIG_STATUS_MIN] = (uint8_t)said;
}

Test(outbox_rules, outcomes_of_the_configuration_hold_for_statuses)
{
    say(404, OUTCOME_FAILURE);
    say(418, OUTCOME_TIMEOUT);
    say(503, OUTCOME_SUCCESS);
    say(429, OUTCOME_SUCCESS);
    say(500, OUTCOME_IGNORED);
    static const struct {
        unsigned status;
        enum breaker_outcome outcome;
        enum outbox_state state;
    } table[] = {
        {404, BREAKER_FAILURE, OUTBOX_QUEUED}, {418, BREAKER_TIMEOUT, OUTBOX_QUEUED},
        {503, BREAKER_SUCCESS, OUTBOX_DEAD},   {429, BREAKER_SUCCESS, OUTBOX_QUEUED},
        {500, BREAKER_IGNORED, OUTBOX_QUEUED}, {400, BREAKER_SUCCESS, OUTBOX_DEAD},
        {200, BREAKER_SUCCESS, OUTBOX_DONE},   {502, BREAKER_FAILURE, OUTBOX_QUEUED},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct outbox_attempt attempt = answered(table[i].status, "");
        cr_expect_eq(outcome_of(&attempt), table[i].outcome, "%u", table[i].status);
        cr_expect_eq(judge(attempt, call_of(1, OUTBOX_RESEND), 0).state, table[i].state, "%u",
                     table[i].status);
    }
}

Test(outbox_rules, outcomes_of_the_configuration_hold_for_ends_of_calls)
{
    struct outbox_attempt attempt = {
        .sent = OUTBOX_UNKNOWN, .end = CALL_END_reset, .retry_after_ms = NOT_SAID, .error = ""};
    outcomes.of_end[CALL_END_reset] = OUTCOME_IGNORED;
    outcomes.of_end[CALL_END_total_timeout] = OUTCOME_SUCCESS;
    cr_expect_eq(outcome_of(&attempt), BREAKER_IGNORED);
    cr_expect_eq(judge(attempt, call_of(1, 0), 0).state, OUTBOX_PARKED, "it may have arrived");
    attempt.end = CALL_END_total_timeout;
    cr_expect_eq(outcome_of(&attempt), BREAKER_SUCCESS);
    attempt = answered(200, "");
    attempt.broken = true;
    attempt.end = CALL_END_connect_failed;
    cr_expect_eq(outcome_of(&attempt), BREAKER_FAILURE, "half an answer");
    cr_expect_eq(judge(attempt, call_of(1, 0), 0).state, OUTBOX_DONE, "its status is its word");
}

Test(outbox_rules, outcomes_of_the_configuration_hold_for_json_rpc)
{
    static const char node[] = "{\"id\":1,\"error\":{\"code\":-32010,\"message\":\"syncing\"}}";
    static const char limit[] = "{\"id\":1,\"error\":{\"code\":-32005,\"message\":\"limit\"}}";
    static const char known[] =
        "{\"id\":1,\"error\":{\"code\":-32010,\"message\":\"already known\"}}";
    struct outbox_attempt attempt = answered(200, node);
    const struct outbox_call call = call_of(1, OUTBOX_RESEND | OUTBOX_RPC);
    cr_expect_eq(outcome_of(&attempt), BREAKER_SUCCESS, "nothing is said of its code");
    cr_expect_eq(judge(attempt, call, 0).state, OUTBOX_DEAD);
    outcomes.rpc[outcomes.n_rpc++] = (struct config_rpc_range){-32010, -32010, OUTCOME_FAILURE};
    outcomes.rpc[outcomes.n_rpc++] = (struct config_rpc_range){-32005, -32005, OUTCOME_SUCCESS};
    cr_expect_eq(outcome_of(&attempt), BREAKER_FAILURE);
    cr_expect_eq(judge(attempt, call, 0).state, OUTBOX_QUEUED);
    attempt = answered(200, limit);
    cr_expect_eq(outcome_of(&attempt), BREAKER_SUCCESS);
    cr_expect_eq(judge(attempt, call, 0).state, OUTBOX_DEAD, "the upstream's last word");
    cr_expect_eq(judge(answered(200, known), call, 0).state, OUTBOX_DONE, "it is there");
}
