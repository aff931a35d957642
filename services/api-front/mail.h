// Routes to a mail server: what is posted there is judged here (net/smtp_message.h says what a mail
// is made of), and then either kept by the outbox, which submits it, or submitted while the client
// waits (config_mail_is_direct). The latter in a thread of its own (net/smtp_send.h), under a
// permit of the upstream's breaker, which it holds to its end also when the client has gone: the
// mail is on its way then. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_MAIL_H
#define VALVECHAIN_API_FRONT_MAIL_H

#include "request.h"

#define MAIL_BODY_MAX    (1u << 20) // bytes, submitted while the client waits: they take memory
#define MAIL_THREADS_MAX 64         // of a process

// Always STEP_ANSWERED. A body that was not read ahead (body_complete) is judged by the outbox.
enum step mail_answer(struct request *request);
// How much of a request's body is read ahead, before valve_enter().
size_t mail_body_kept_max(const struct request *request);
void mail_cancel(struct mail *mail); // the request goes

#endif
