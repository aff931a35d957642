// Text as mail carries it: encoded words (RFC 2047), quoted-printable and base64 (RFC 2045).
// Pure. Thread: any.
#ifndef VALVECHAIN_NET_SMTP_TEXT_H
#define VALVECHAIN_NET_SMTP_TEXT_H

#include "base/strbuf.h"

// No control character but TAB, so that it can stand in one line of a header.
bool smtp_text_is_line(const char *text, size_t len);
bool smtp_text_is_ascii(const char *text, size_t len);
// As encoded words of whole UTF-8 characters, one a line.
void smtp_text_words(struct strbuf *out, const char *text, size_t len);
// The value of an unstructured field: as it is when that is short and ASCII, else as words.
void smtp_text_unstructured(struct strbuf *out, const char *text, size_t len);
// The rest of a part's header for UTF-8 text of this subtype ("plain"), an empty line, and the
// text, of which decoding gives every byte but that LF became CRLF. `closed`: a line of the
// envelope's own follows (a boundary), so that the last CRLF is not the text's.
void smtp_text_part(struct strbuf *out, const char *subtype, const char *text, size_t len,
                    bool closed);

#endif
