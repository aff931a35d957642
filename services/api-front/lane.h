// The ordering key of an operation: the values of what a queue's `order_by` names, header fields
// and members of a JSON body. Operations with the same values form a lane. Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_LANE_H
#define VALVECHAIN_API_FRONT_LANE_H

#include "http_syntax.h"

#define LANE_MAX 256 // bytes of its text, with NUL

struct lane_source {
    const struct http_header *headers;
    size_t n_headers;
    const char *body; // NULL: none, or not all of it is here
    size_t body_len;
};

// "X-Account=7 json:/params/0/from=\"0xab\"": of the names in `order_by` (NULL-terminated; NULL:
// none) those that are there. "" when none is. A JSON pointer (RFC 6901) counts when it leads to a
// string, a number or a truth value. A text that is too long is cut, and ends with a hash of all.
void lane_read(char *const *order_by, const struct lane_source *source, char ret_lane[LANE_MAX]);

#endif
