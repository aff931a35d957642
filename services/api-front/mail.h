// Routes to a mail server: what is posted there is judged here, kept by the outbox, and submitted
// by it (net/smtp_message.h says what a mail is made of). A client waits for the disk, never for a
// mail server. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_MAIL_H
#define VALVECHAIN_API_FRONT_MAIL_H

#include "request.h"

// Always STEP_ANSWERED. A body that was not read ahead (body_complete) is judged by the outbox.
enum step mail_answer(struct request *request);

#endif
