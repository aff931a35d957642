// A message that comes whole (message/rfc822), and what it has in common with a composed one.
// Only smtp_*.c include this.
#ifndef VALVECHAIN_NET_SMTP_ORIGINAL_H
#define VALVECHAIN_NET_SMTP_ORIGINAL_H

#include "net/smtp_message.h"

// As smtp_message_compose(); the caller frees also what a failure left in `message`.
int smtp_original_read(const struct smtp_source *source, struct smtp_message *message,
                       char error[SMTP_ERROR_MAX]);

// smtp_message.c: one more recipient, which `field` names. 0 or -EINVAL with `error`.
int smtp_message_add(struct smtp_message *message, const char *address, const char *field,
                     char error[SMTP_ERROR_MAX]);
void smtp_message_date(struct strbuf *out, int64_t date_s); // the field
void smtp_message_own_id(struct smtp_message *message, const char *id);

#endif
