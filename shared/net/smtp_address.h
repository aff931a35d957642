// Addresses of mail, as far as an envelope and a header need them: without quoted local parts (RFC
// 5321 4.1.2), in ASCII or, for a server with SMTPUTF8, in UTF-8 (RFC 6531 3.3). Pure. Thread: any.
#ifndef VALVECHAIN_NET_SMTP_ADDRESS_H
#define VALVECHAIN_NET_SMTP_ADDRESS_H

#include "base/strbuf.h"

#define SMTP_ADDRESS_MAX 255 // bytes with NUL (RFC 5321 4.5.3.1.3)

// name@example.org
bool smtp_address_is_valid(const char *text, size_t len);
// "name@example.org" or "Name <name@example.org>", one: appends it as a field's value has it, with
// the name quoted or encoded as it must be (strbuf NULL: nothing is written). False: it is none.
bool smtp_address_read(const char *text, size_t len, struct strbuf *field,
                       char ret_address[SMTP_ADDRESS_MAX]);
// The addresses of a field's value (RFC 5322 3.4: names, comments, groups, folds). Calls back for
// each; false: it holds something else, or each() returned false.
bool smtp_address_list(const char *text, size_t len, bool (*each)(void *arg, const char *address),
                       void *arg);

#endif
