// One attempt over SMTP. A mail server's word as a status of HTTP, so that outbox_rules.h and
// whoever asks for the operation need no other: 202 accepted; 422 refused for good (5xx to MAIL,
// RCPT or the message, or what was posted is no mail): dead, and no failure of the server's; 503
// try again later (4xx); 502 refused before MAIL (5xx to the greeting, EHLO, STARTTLS, AUTH). A
// connection that broke before the end of the message went out: not sent. After: unknown.
// Thread: the loop's.
#ifndef VALVECHAIN_BREAKER_OUTBOX_SMTP_H
#define VALVECHAIN_BREAKER_OUTBOX_SMTP_H

#include "net/smtp_send.h"
#include "outbox_send.h"

// As outbox_send(); for what is no mail it calls back before it returns 0.
int outbox_smtp(struct smtp_sender *sender, const struct outbox_call *call,
                const struct outbox_send_options *options, outbox_sent_fn *on_sent, void *arg);

#endif
