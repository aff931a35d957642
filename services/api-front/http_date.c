#include "http_date.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define DATE_MAX 64

int http_date_parse(const char *text, size_t len, int64_t *ret_s)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT", // IMF-fixdate
        "%A, %d-%b-%y %H:%M:%S GMT", // RFC 850
        "%a %b %e %H:%M:%S %Y",      // asctime()
    };
    char copy[DATE_MAX];
    if (len == 0 || len >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm tm = {0};
        const char *end = strptime(copy, forms[i], &tm);
        if (end != NULL && *end == '\0') {
            *ret_s = timegm(&tm);
            return 0;
        }
    }
    return -EINVAL;
}
