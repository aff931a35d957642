#include "idempotency.h"

static bool is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= 0x20 || text[i] >= 0x7f || text[i] == '"' || text[i] == '\\' ||
            text[i] == ',' || text[i] == ';') {
            return false;
        }
    }
    return len > 0;
}

// RFC 8941 3.3.3: printable ASCII; only the quote and the backslash may be escaped, and must be.
static bool is_string(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] >= 0x7f || text[i] == '"') {
            return false;
        }
        if (text[i] == '\\' && (++i == len || (text[i] != '"' && text[i] != '\\'))) {
            return false;
        }
    }
    return len > 0;
}

enum idempotency idempotency_read(const struct http_header *headers, size_t n_headers,
                                  const char **ret_key, size_t *ret_len)
{
    const struct http_header *field = NULL;
    for (size_t i = 0; i < n_headers; i++) {
        if (!http_name_is(headers[i].name, headers[i].name_len, "idempotency-key")) {
            continue;
        }
        if (field != NULL) {
            return IDEMPOTENCY_BAD;
        }
        field = &headers[i];
    }
    if (field == NULL) {
        return IDEMPOTENCY_NONE;
    }
    const char *text = field->value;
    size_t len = field->value_len;
    bool quoted = len >= 2 && text[0] == '"' && text[len - 1] == '"';
    text += quoted;
    len -= quoted ? 2 : 0;
    if (len > IDEMPOTENCY_KEY_MAX || !(quoted ? is_string(text, len) : is_plain(text, len))) {
        return IDEMPOTENCY_BAD;
    }
    *ret_key = text;
    *ret_len = len;
    return IDEMPOTENCY_KEY;
}
