// A growing text buffer. Memory failure is sticky: every append after it is a no-op, and
// strbuf_ok() tells, so that a caller checks once at the end.
// Ownership: the caller's; strbuf_fini() frees. Thread: one at a time.
#ifndef VALVECHAIN_BASE_STRBUF_H
#define VALVECHAIN_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

struct strbuf {
    char *text; // NUL-terminated once anything was appended, else NULL
    size_t len;
    size_t cap;
    bool failed;
};

#define STRBUF_INIT ((struct strbuf){0})

void strbuf_fini(struct strbuf *sb);
void strbuf_clear(struct strbuf *sb); // keeps the memory, forgets the text and a failure
bool strbuf_ok(const struct strbuf *sb);
const char *strbuf_text(const struct strbuf *sb); // "" when empty
char *strbuf_take(struct strbuf *sb); // the text, now the caller's (free()); NULL on failure

void strbuf_append(struct strbuf *sb, const void *bytes, size_t len);
void strbuf_puts(struct strbuf *sb, const char *text);
void strbuf_printf(struct strbuf *sb, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// Appends a JSON string with its quotes (RFC 8259); bytes that are not UTF-8 become U+FFFD.
void strbuf_json_string(struct strbuf *sb, const char *bytes, size_t len);

#endif
