#include "base/buckets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

#define NUMBER_MAX 24

// Digits with at most one point between them: no sign, no exponent, no locale.
static int parse_number(const char *item, size_t len, double *ret_number)
{
    char text[NUMBER_MAX];
    size_t whole = strspn(item, "0123456789"), at = whole;
    if (len >= sizeof(text) || whole == 0)
        return -EINVAL;
    if (at < len && item[at] == '.') {
        size_t digits = strspn(item + at + 1, "0123456789");
        if (digits == 0)
            return -EINVAL;
        at += 1 + digits;
    }
    if (at != len)
        return -EINVAL;
    memcpy(text, item, len);
    text[len] = '\0';
    *ret_number = strtod(text, NULL); // nobody sets a locale
    return 0;
}

int buckets_parse(const char *text, struct buckets *ret_buckets)
{
    struct buckets buckets = {.n = 0};
    const char *cursor = text, *item;
    size_t len;
    while (parse_list_next(&cursor, &item, &len)) {
        double upper;
        if (buckets.n == BUCKETS_MAX || parse_number(item, len, &upper) < 0 || upper > 86400 ||
            !(upper > (buckets.n ? buckets.upper[buckets.n - 1] : 0)))
            return -EINVAL;
        buckets.upper[buckets.n++] = upper;
    }
    if (buckets.n == 0)
        return -EINVAL;
    *ret_buckets = buckets;
    return 0;
}

bool buckets_are_valid(const char *text)
{
    struct buckets buckets;
    return buckets_parse(text, &buckets) == 0;
}
