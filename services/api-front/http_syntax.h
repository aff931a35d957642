// Words of HTTP's grammar (RFC 9110 section 5, RFC 9112) that several modules need.
// Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_HTTP_SYNTAX_H
#define VALVECHAIN_API_FRONT_HTTP_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// One header line, in the order of arrival; neither text is NUL-terminated for sure.
struct http_header {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

bool http_is_token(const char *text, size_t len); // RFC 9110 5.6.2; false for ""
// A field value (RFC 9110 5.5): no control but HTAB; obs-text is allowed.
bool http_is_field_value(const char *text, size_t len);
// Equal but for ASCII case; `name` in lower case.
bool http_name_is(const char *text, size_t len, const char *name);
// Walks a comma-separated field value; blanks around items are skipped, and empty items too.
// `*position` starts at 0. False at the end.
bool http_list_next(const char *value, size_t len, size_t *position, const char **ret_item,
                    size_t *ret_item_len);
// Headers that belong to one connection and are never passed on (RFC 9110 7.6.1), those named by
// Connection apart.
bool http_is_hop_by_hop(const char *name, size_t len);
// Is this name listed in one of the Connection headers?
bool http_connection_names(const struct http_header *headers, size_t n, const char *name,
                           size_t len);

#endif
