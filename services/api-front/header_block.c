#include "header_block.h"

// `count` overwritten line-end bytes and nothing else between two places.
static bool is_gap(const char *from, const char *to, size_t count)
{
    if (to < from || (size_t)(to - from) != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (from[i] != '\0')
            return false;
    }
    return true;
}

bool header_block_is_plain(const char *start, const char *end, const struct http_header *headers,
                           size_t n_headers)
{
    const char *at = start;
    for (size_t i = 0; i < n_headers; i++) {
        const char *name = headers[i].name, *value = headers[i].value;
        if (name < at || name >= end || value < name + headers[i].name_len + 1 || value > end ||
            headers[i].value_len > (size_t)(end - value))
            return false;
        if (!is_gap(at, name, 2))
            return false;
        at = value + headers[i].value_len;
    }
    return is_gap(at, end, 4);
}
