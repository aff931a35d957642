#include "base/parse.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

int parse_u64_n(const char *text, size_t len, uint64_t min, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    bool too_big = false;
    if (len == 0)
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        uint64_t digit = (uint64_t)(text[i] - '0');
        too_big |= __builtin_mul_overflow(value, 10, &value) ||
                   __builtin_add_overflow(value, digit, &value);
    }
    if (too_big || value < min || value > max)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
    return parse_u64_n(text, strlen(text), min, max, ret_value);
}

int parse_bool(const char *text, bool *ret_value)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"0", "1"}, {"no", "yes"}, {"off", "on"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        for (int value = 0; value < 2; value++) {
            if (strcasecmp(text, words[i][value]) == 0) {
                *ret_value = value;
                return 0;
            }
        }
    }
    return -EINVAL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool parse_list_next(const char **cursor, const char **ret_item, size_t *ret_len)
{
    const char *p = *cursor;
    while (*p == ',' || is_blank(*p))
        p++;
    if (*p == '\0') {
        *cursor = p;
        return false;
    }
    size_t len = strcspn(p, ",");
    *cursor = p + len;
    while (is_blank(p[len - 1])) // stops at the item's first byte, which is none
        len--;
    *ret_item = p;
    *ret_len = len;
    return true;
}
