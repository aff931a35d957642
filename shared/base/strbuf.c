#include "base/strbuf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

void strbuf_fini(struct strbuf *sb)
{
    free(sb->text);
    *sb = STRBUF_INIT;
}

void strbuf_clear(struct strbuf *sb)
{
    sb->len = 0;
    sb->failed = false;
    if (sb->text)
        sb->text[0] = '\0';
}

bool strbuf_ok(const struct strbuf *sb)
{
    return !sb->failed;
}

const char *strbuf_text(const struct strbuf *sb)
{
    return sb->text ? sb->text : "";
}

// Room for `more` bytes and the NUL, or the sticky failure.
static bool reserve(struct strbuf *sb, size_t more)
{
    if (sb->failed)
        return false;
    if (more < sb->cap - sb->len) // cap > len whenever text exists, and 0 - 0 is 0
        return true;
    size_t wanted = 64, needed;
    if (__builtin_add_overflow(sb->len, more, &needed) || needed >= SIZE_MAX / 2) {
        sb->failed = true;
        return false;
    }
    while (wanted <= needed)
        wanted *= 2;
    char *text = realloc(sb->text, wanted);
    if (!text) {
        sb->failed = true;
        return false;
    }
    sb->text = text;
    sb->cap = wanted;
    sb->text[sb->len] = '\0';
    return true;
}

char *strbuf_take(struct strbuf *sb)
{
    char *text = reserve(sb, 0) ? sb->text : NULL;
    if (!text)
        free(sb->text);
    *sb = STRBUF_INIT;
    return text;
}

void strbuf_append(struct strbuf *sb, const void *bytes, size_t len)
{
    if (len == 0 || !reserve(sb, len))
        return;
    memcpy(sb->text + sb->len, bytes, len);
    sb->len += len;
    sb->text[sb->len] = '\0';
}

void strbuf_puts(struct strbuf *sb, const char *text)
{
    strbuf_append(sb, text, strlen(text));
}

void strbuf_printf(struct strbuf *sb, const char *format, ...)
{
    if (!reserve(sb, 0))
        return;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(sb->text + sb->len, sb->cap - sb->len, format, args);
    va_end(args);
    if (len < 0) {
        sb->text[sb->len] = '\0';
        sb->failed = true;
        return;
    }
    if ((size_t)len >= sb->cap - sb->len) {
        sb->text[sb->len] = '\0'; // what fitted is no part of the text unless all fits
        if (!reserve(sb, (size_t)len))
            return;
        va_start(args, format);
        vsnprintf(sb->text + sb->len, sb->cap - sb->len, format, args);
        va_end(args);
    }
    sb->len += (size_t)len;
}

static void json_escape(struct strbuf *sb, unsigned char c)
{
    switch (c) {
    case '"':
        strbuf_append(sb, "\\\"", 2);
        break;
    case '\\':
        strbuf_append(sb, "\\\\", 2);
        break;
    case '\n':
        strbuf_append(sb, "\\n", 2);
        break;
    case '\r':
        strbuf_append(sb, "\\r", 2);
        break;
    case '\t':
        strbuf_append(sb, "\\t", 2);
        break;
    default:
        strbuf_printf(sb, "\\u%04x", c);
    }
}

void strbuf_json_string(struct strbuf *sb, const char *bytes, size_t len)
{
    const unsigned char *p = (const unsigned char *)bytes;
    size_t plain = 0; // start of the run that needs no change
    strbuf_append(sb, "\"", 1);
    for (size_t i = 0; i < len;) {
        size_t bad, n = utf8_sequence(p + i, len - i, &bad);
        if (n > 1 || (n == 1 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')) {
            i += n;
            continue;
        }
        strbuf_append(sb, bytes + plain, i - plain);
        if (n == 1) {
            json_escape(sb, p[i]);
            i++;
        } else {
            strbuf_append(sb, "\xEF\xBF\xBD", 3);
            i += bad;
        }
        plain = i;
    }
    strbuf_append(sb, bytes + plain, len - plain);
    strbuf_append(sb, "\"", 1);
}
