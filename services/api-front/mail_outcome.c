#include "mail_outcome.h"

static enum exchange_result result_of_silence(const struct smtp_result *result)
{
    bool connecting = result->stage == SMTP_CONNECT;
    if (result->aborted)
        return EXCHANGE_CLIENT_GONE; // ours: it says nothing about the server
    if (result->tls_failed)
        return EXCHANGE_TLS_FAILED;
    if (result->timed_out)
        return connecting ? EXCHANGE_CONNECT_TIMEOUT : EXCHANGE_FIRST_BYTE_TIMEOUT;
    return connecting ? EXCHANGE_CONNECT_FAILED : EXCHANGE_RESET;
}

struct mail_outcome mail_outcome_of(const struct smtp_result *result)
{
    if (result->accepted)
        return (struct mail_outcome){.result = EXCHANGE_ANSWERED, .status = 200};
    if (smtp_result_is_refusal(result))
        return (struct mail_outcome){.result = EXCHANGE_ANSWERED, .status = 422};
    if (result->code != 0)
        return (struct mail_outcome){.result = EXCHANGE_ANSWERED,
                                     .status = result->code < 500 ? 503 : 502};
    return (struct mail_outcome){.result = result_of_silence(result),
                                 .unknown = result->stage == SMTP_ENDED};
}

enum breaker_outcome mail_classify(const struct config_outcomes *outcomes,
                                   const struct mail_outcome *outcome)
{
    if (outcome->result == EXCHANGE_ANSWERED && outcome->status == 422)
        return BREAKER_IGNORED;
    return valve_classify(outcomes, outcome->result, outcome->status);
}
