// The header traceparent of W3C Trace Context, level 1 (section 3.2). Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_TRACEPARENT_H
#define VALVECHAIN_API_FRONT_TRACEPARENT_H

#include <stdbool.h>
#include <stddef.h>

#include "metric/metric.h"

#define TRACEPARENT_ID_LEN 32

struct traceparent {
    char id[TRACEPARENT_ID_LEN + 1]; // lower-case hexadecimal, as sent
    struct metric_trace trace;       // the same as a number, never 0
    bool sampled;                    // somebody upstream keeps this trace
};

// `value` need not end in NUL. False when it is none, as the standard has it: another length, a
// version of ff, upper case, an id of zeros only. Of later versions the four fields known count.
bool traceparent_parse(const char *value, size_t len, struct traceparent *ret_parent);

#endif
