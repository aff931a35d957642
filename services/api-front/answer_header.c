#include "answer_header.h"

#include "base/parse.h"

bool answer_header_passes(const struct http_header *headers, size_t n, size_t i)
{
    const struct http_header *h = &headers[i];
    if (!http_is_token(h->name, h->name_len) || !http_is_field_value(h->value, h->value_len)) {
        return false;
    }
    if (http_is_hop_by_hop(h->name, h->name_len) ||
        http_name_is(h->name, h->name_len, "content-length")) {
        return false;
    }
    return !http_connection_names(headers, n, h->name, h->name_len);
}

static bool is_only_chunked(const struct http_header *h)
{
    return http_name_is(h->value, h->value_len, "chunked");
}

enum answer_framing answer_header_framing(const struct http_header *headers, size_t n,
                                          unsigned status, bool head_request, uint64_t *ret_length)
{
    uint64_t length = UINT64_MAX;
    bool coded = false;
    for (size_t i = 0; i < n; i++) {
        const struct http_header *h = &headers[i];
        if (http_name_is(h->name, h->name_len, "content-length")) {
            uint64_t value;
            if (parse_u64_n(h->value, h->value_len, 0, INT64_MAX, &value) != 0 ||
                (length != UINT64_MAX && length != value)) {
                return ANSWER_BAD;
            }
            length = value;
        } else if (http_name_is(h->name, h->name_len, "transfer-encoding")) {
            if (coded || !is_only_chunked(h)) {
                return ANSWER_BAD;
            }
            coded = true;
        }
    }
    if (coded && length != UINT64_MAX) {
        return ANSWER_BAD;
    }
    *ret_length = length;
    if (head_request || status < 200 || status == 204 || status == 304) {
        return ANSWER_NO_BODY;
    }
    return length != UINT64_MAX ? ANSWER_BY_LENGTH : ANSWER_OPEN;
}
