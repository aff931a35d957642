// What the end of a submission means: to the breaker as a status of HTTP would, so that `outcomes`
// of the configuration need no other words, and to the client. Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_MAIL_OUTCOME_H
#define VALVECHAIN_API_FRONT_MAIL_OUTCOME_H

#include "config/model.h"
#include "exchange_result.h"
#include "net/smtp_send.h"
#include "valve_outcome.h"

struct mail_outcome {
    enum exchange_result result;
    unsigned status; // of EXCHANGE_ANSWERED: 200 taken; 422 refused for good, and no failure of the
                     // server's; 503 later (4xx); 502 refused before MAIL (5xx)
    bool unknown;    // the message's end went out, and no word came: it may have been taken
};
struct mail_outcome mail_outcome_of(const struct smtp_result *result);
enum breaker_outcome mail_classify(const struct config_outcomes *outcomes,
                                   const struct mail_outcome *outcome);

#endif
