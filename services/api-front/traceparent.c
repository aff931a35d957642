#include "traceparent.h"

#include <string.h>

// version "-" trace id "-" parent id "-" flags
enum { VERSION = 0, TRACE_ID = 3, PARENT_ID = 36, FLAGS = 53, LENGTH = 55 };
#define FLAG_SAMPLED 1

// Lower-case digits only (RFC 5234 HEXDIGLC of the standard); false when there is another byte.
static bool parse_hex(const char *text, size_t digits, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = text[i];
        if (c >= '0' && c <= '9')
            number = number << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *ret_number = number;
    return true;
}

bool traceparent_parse(const char *value, size_t len, struct traceparent *ret_parent)
{
    struct traceparent parent;
    uint64_t version, parent_id, flags;
    if (len < LENGTH || value[TRACE_ID - 1] != '-' || value[PARENT_ID - 1] != '-' ||
        value[FLAGS - 1] != '-' || !parse_hex(value + VERSION, 2, &version) ||
        !parse_hex(value + TRACE_ID, 16, &parent.trace.high) ||
        !parse_hex(value + TRACE_ID + 16, 16, &parent.trace.low) ||
        !parse_hex(value + PARENT_ID, 16, &parent_id) || !parse_hex(value + FLAGS, 2, &flags))
        return false;
    bool is_length_right = len == LENGTH || (version > 0 && value[LENGTH] == '-');
    if (version == 0xff || !is_length_right || (parent.trace.high | parent.trace.low) == 0 ||
        parent_id == 0)
        return false;
    memcpy(parent.id, value + TRACE_ID, TRACEPARENT_ID_LEN);
    parent.id[TRACEPARENT_ID_LEN] = '\0';
    parent.sampled = (flags & FLAG_SAMPLED) != 0;
    *ret_parent = parent;
    return true;
}
