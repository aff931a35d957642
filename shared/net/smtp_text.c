#include "net/smtp_text.h"

#include <string.h>

#define WORD_BYTES                                                                                 \
    39 // "Subject: =?UTF-8?B?...?=" is then at most 76 characters, as RFC 2047 2 has it
#define LINE_CHARS 76 // of an encoded body (RFC 2045 6.7, 6.8)

bool smtp_text_is_line(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
            return false;
    return true;
}

bool smtp_text_is_ascii(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] > 0x7e)
            return false;
    return true;
}

static void append_base64(struct strbuf *out, const unsigned char *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        unsigned value = (unsigned)bytes[i] << 16;
        value |= n > 1 ? (unsigned)bytes[i + 1] << 8 : 0;
        value |= n > 2 ? (unsigned)bytes[i + 2] : 0;
        const char four[4] = {digits[value >> 18], digits[value >> 12 & 63],
                              n > 1 ? digits[value >> 6 & 63] : '=',
                              n > 2 ? digits[value & 63] : '='};
        strbuf_append(out, four, 4);
    }
}

void smtp_text_words(struct strbuf *out, const char *text, size_t len)
{
    for (size_t at = 0, n; at < len; at += n) {
        n = len - at < WORD_BYTES ? len - at : WORD_BYTES;
        while (at + n < len && n > 1 && ((unsigned char)text[at + n] & 0xc0) == 0x80)
            n--; // no character in two words
        strbuf_puts(out, at > 0 ? "\r\n =?UTF-8?B?" : "=?UTF-8?B?");
        append_base64(out, (const unsigned char *)text + at, n);
        strbuf_puts(out, "?=");
    }
}

void smtp_text_unstructured(struct strbuf *out, const char *text, size_t len)
{
    bool plain = len <= 60 && smtp_text_is_ascii(text, len) &&
                 memmem(text, len, "=?", 2) == NULL && // would be taken for a word
                 (len == 0 || (text[0] > ' ' && text[len - 1] > ' '));
    if (plain)
        strbuf_append(out, text, len);
    else
        smtp_text_words(out, text, len);
}

// A line break in the text; 0: none here.
static size_t break_at(const char *text, size_t len, size_t at)
{
    if (text[at] == '\n')
        return 1;
    return text[at] == '\r' && at + 1 < len && text[at + 1] == '\n' ? 2 : 0;
}

static void append_quoted(struct strbuf *out, const char *text, size_t len)
{
    size_t column = 0;
    for (size_t at = 0, n; at < len; at += n) {
        unsigned char c = (unsigned char)text[at];
        n = break_at(text, len, at);
        if (n > 0) {
            strbuf_puts(out, "\r\n");
            column = 0;
            continue;
        }
        n = 1;
        bool blank = c == ' ' || c == '\t';
        bool last = at + 1 == len || break_at(text, len, at + 1) > 0;
        bool as_is = blank ? !last : c > ' ' && c <= 0x7e && c != '=';
        size_t width = as_is ? 1 : 3;
        if (column + width > LINE_CHARS - 1) { // with room for the "=" that says: goes on
            strbuf_puts(out, "=\r\n");
            column = 0;
        }
        if (as_is)
            strbuf_append(out, text + at, 1);
        else
            strbuf_printf(out, "=%02X", (unsigned)c);
        column += width;
    }
}

static void append_lines(struct strbuf *out, const char *text, size_t len)
{
    const size_t piece = (size_t)LINE_CHARS / 4 * 3;
    struct strbuf crlf = STRBUF_INIT; // canonical form first (RFC 2045 6.8)
    for (size_t at = 0, n; at < len; at += n) {
        n = break_at(text, len, at);
        if (n > 0)
            strbuf_puts(&crlf, "\r\n");
        else
            strbuf_append(&crlf, text + at, n = 1);
    }
    out->failed = out->failed || !strbuf_ok(&crlf);
    for (size_t at = 0; at < crlf.len; at += piece) {
        size_t n = crlf.len - at < piece ? crlf.len - at : piece;
        append_base64(out, (const unsigned char *)crlf.text + at, n);
        strbuf_puts(out, "\r\n");
    }
    strbuf_fini(&crlf);
}

void smtp_text_part(struct strbuf *out, const char *subtype, const char *text, size_t len,
                    bool closed)
{
    size_t foreign = 0;
    for (size_t i = 0; i < len; i++)
        foreign += (unsigned char)text[i] > 0x7e ||
                   ((unsigned char)text[i] < 0x20 && strchr("\t\r\n", text[i]) == NULL);
    bool quoted = foreign * 6 <= len; // then it is the shorter one, and legible
    strbuf_printf(out,
                  "Content-Type: text/%s; charset=utf-8\r\n"
                  "Content-Transfer-Encoding: %s\r\n\r\n",
                  subtype, quoted ? "quoted-printable" : "base64");
    if (!quoted) {
        append_lines(out, text, len);
        return;
    }
    append_quoted(out, text, len);
    bool ended = len == 0 || text[len - 1] == '\n';
    if (closed)
        strbuf_puts(out, "\r\n"); // belongs to the boundary
    else if (!ended)
        strbuf_puts(out, "=\r\n"); // a message ends with a line; this one is not the text's
}
