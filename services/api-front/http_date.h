// HTTP-date (RFC 9110 5.6.7) as seconds since 1970. Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_HTTP_DATE_H
#define VALVECHAIN_API_FRONT_HTTP_DATE_H

#include <stddef.h>
#include <stdint.h>

// Takes the form of today and the two obsolete ones, which recipients must take, too. -EINVAL.
int http_date_parse(const char *text, size_t len, int64_t *ret_s);

#endif
