// What a mail server is given, from what a client posts (RFC 5321, 5322, 2045 to 2047). Pure.
// Thread: any.
#ifndef VALVECHAIN_NET_SMTP_MESSAGE_H
#define VALVECHAIN_NET_SMTP_MESSAGE_H

#include <stdint.h>

#include "base/strbuf.h"
#include "net/smtp_address.h"

#define SMTP_RECIPIENTS_MAX 100
#define SMTP_MESSAGE_MAX    (32u << 20) // bytes, composed
#define SMTP_ERROR_MAX      128
#define SMTP_MESSAGE_ID_MAX 384

struct smtp_source {
    // application/json, {"from", "to", "cc", "bcc", "reply_to", "subject", "text", "html"}: to, cc
    // and bcc are an address or a list of them, an address is "a@b" or "Name <a@b>"; one recipient
    // and one of text and html are needed.
    // message/rfc822, a whole message: the envelope is its From, To, Cc and Bcc; Bcc is taken out,
    // LF becomes CRLF; Date and Message-ID are added if missing.
    const char *type; // parameters may follow
    const char *body;
    size_t body_len;
    const char *from; // of JSON that names none; NULL: it must
    const char *id;   // of letters, digits and '-': the same in each attempt, so that a mail that
                      // comes twice can be recognized by its Message-ID
    int64_t date_s;   // since 1970
};
struct smtp_message {
    char sender[SMTP_ADDRESS_MAX];
    char (*recipients)[SMTP_ADDRESS_MAX]; // SMTP_RECIPIENTS_MAX of them
    size_t n_recipients;
    char id[SMTP_MESSAGE_ID_MAX]; // "<ID@example.org>", or the message's own
    struct strbuf text;           // CRLF ends each line
    bool needs_utf8;              // an address of the envelope is no ASCII (RFC 6531)
};

// The media type that smtp_message_compose() takes this one for; NULL: none.
const char *smtp_message_type(const char *type, size_t len);
// 0; -EINVAL: `error` names the field and what is allowed; -EMSGSIZE, with `error`, too; -ENOMEM.
int smtp_message_compose(const struct smtp_source *source, struct smtp_message *ret_message,
                         char error[SMTP_ERROR_MAX]);
void smtp_message_fini(struct smtp_message *message);

#endif
