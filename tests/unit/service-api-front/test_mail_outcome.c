#include <criterion/criterion.h>

#include "mail_outcome.h"

static const struct config_outcomes no_rules;

static void expect(struct smtp_result result, enum exchange_result end, unsigned status,
                   enum breaker_outcome counted)
{
    const struct mail_outcome outcome = mail_outcome_of(&result);
    cr_expect_eq(outcome.result, end, "code %u at %s", result.code, smtp_stage_names[result.stage]);
    cr_expect_eq(outcome.status, status, "code %u at %s", result.code,
                 smtp_stage_names[result.stage]);
    cr_expect_eq(mail_classify(&no_rules, &outcome), counted, "code %u at %s", result.code,
                 smtp_stage_names[result.stage]);
    cr_expect_eq(outcome.unknown, result.stage == SMTP_ENDED && result.code == 0);
}

Test(mail_outcome, what_the_server_says_counts_by_its_class_and_place)
{
    expect((struct smtp_result){.stage = SMTP_ENDED, .code = 250, .accepted = true},
           EXCHANGE_ANSWERED, 200, BREAKER_SUCCESS);
    for (enum smtp_stage stage = SMTP_CONNECT; stage <= SMTP_ENDED; stage++) {
        bool of_the_mail = stage >= SMTP_MAIL;
        expect((struct smtp_result){.stage = stage, .code = 451}, EXCHANGE_ANSWERED, 503,
               BREAKER_FAILURE);
        expect((struct smtp_result){.stage = stage, .code = 554}, EXCHANGE_ANSWERED,
               of_the_mail ? 422 : 502, of_the_mail ? BREAKER_IGNORED : BREAKER_FAILURE);
    }
    expect((struct smtp_result){.stage = SMTP_EHLO, .lack = SMTP_LACKS_SIZE}, EXCHANGE_ANSWERED,
           422, BREAKER_IGNORED);
    expect((struct smtp_result){.stage = SMTP_EHLO, .lack = SMTP_LACKS_UTF8}, EXCHANGE_ANSWERED,
           422, BREAKER_IGNORED);
}

Test(mail_outcome, silence_counts_by_its_place)
{
    expect((struct smtp_result){.stage = SMTP_CONNECT}, EXCHANGE_CONNECT_FAILED, 0,
           BREAKER_FAILURE);
    expect((struct smtp_result){.stage = SMTP_CONNECT, .timed_out = true}, EXCHANGE_CONNECT_TIMEOUT,
           0, BREAKER_TIMEOUT);
    expect((struct smtp_result){.stage = SMTP_STARTTLS, .tls_failed = true}, EXCHANGE_TLS_FAILED, 0,
           BREAKER_FAILURE);
    expect((struct smtp_result){.stage = SMTP_RCPT}, EXCHANGE_RESET, 0, BREAKER_FAILURE);
    expect((struct smtp_result){.stage = SMTP_ENDED}, EXCHANGE_RESET, 0, BREAKER_FAILURE);
    expect((struct smtp_result){.stage = SMTP_ENDED, .timed_out = true},
           EXCHANGE_FIRST_BYTE_TIMEOUT, 0, BREAKER_TIMEOUT);
    expect((struct smtp_result){.stage = SMTP_DATA, .aborted = true}, EXCHANGE_CLIENT_GONE, 0,
           BREAKER_IGNORED);
}
