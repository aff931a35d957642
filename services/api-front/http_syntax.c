#include "http_syntax.h"

#include <string.h>
#include <strings.h>

static bool is_token_char(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
        return true;
    }
    switch (c) {
    case '!':
    case '#':
    case '$':
    case '%':
    case '&':
    case '\'':
    case '*':
    case '+':
    case '-':
    case '.':
    case '^':
    case '_':
    case '`':
    case '|':
    case '~':
        return true;
    default:
        return false;
    }
}

bool http_is_token(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!is_token_char((unsigned char)text[i])) {
            return false;
        }
    }
    return len > 0;
}

bool http_is_field_value(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

bool http_name_is(const char *text, size_t len, const char *name)
{
    // Most names differ in their first letter.
    return len > 0 && (text[0] | 0x20) == name[0] && strlen(name) == len &&
           strncasecmp(text, name, len) == 0;
}

bool http_list_next(const char *value, size_t len, size_t *position, const char **ret_item,
                    size_t *ret_item_len)
{
    size_t i = *position;
    while (i < len && (value[i] == ' ' || value[i] == '\t' || value[i] == ',')) {
        i++;
    }
    if (i >= len) {
        *position = len;
        return false;
    }
    size_t start = i;
    while (i < len && value[i] != ',') {
        i++;
    }
    size_t end = i;
    while (end > start && (value[end - 1] == ' ' || value[end - 1] == '\t')) {
        end--;
    }
    *position = i;
    *ret_item = value + start;
    *ret_item_len = end - start;
    return true;
}

bool http_is_hop_by_hop(const char *name, size_t len)
{
    // Proxy-Authorization and Proxy-Authenticate are ours to consume: we ask for neither.
    static const char *const names[] = {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "proxy-authenticate",
        "proxy-authorization",
        "http2-settings",
    };
    // Most headers are told apart by their first letter alone.
    if (len == 0 || strchr("ckptuhCKPTUH", name[0]) == NULL) {
        return false;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (http_name_is(name, len, names[i])) {
            return true;
        }
    }
    return false;
}

bool http_connection_names(const struct http_header *headers, size_t n, const char *name,
                           size_t len)
{
    for (size_t i = 0; i < n; i++) {
        if (!http_name_is(headers[i].name, headers[i].name_len, "connection")) {
            continue;
        }
        size_t position = 0;
        size_t item_len;
        const char *item;
        while (
            http_list_next(headers[i].value, headers[i].value_len, &position, &item, &item_len)) {
            if (item_len == len && strncasecmp(item, name, len) == 0) {
                return true;
            }
        }
    }
    return false;
}
