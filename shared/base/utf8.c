#include "base/utf8.h"

size_t utf8_sequence(const unsigned char *p, size_t len, size_t *ret_bad)
{
    unsigned char low = 0x80, high = 0xBF;
    size_t n;
    *ret_bad = 1;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF)
        n = 2;
    else if (p[0] >= 0xE0 && p[0] <= 0xEF)
        n = 3;
    else if (p[0] >= 0xF0 && p[0] <= 0xF4)
        n = 4;
    else
        return 0;
    if (p[0] == 0xE0)
        low = 0xA0;
    else if (p[0] == 0xED)
        high = 0x9F; // surrogates
    else if (p[0] == 0xF0)
        low = 0x90;
    else if (p[0] == 0xF4)
        high = 0x8F;
    for (size_t i = 1; i < n; i++) {
        if (i >= len || p[i] < low || p[i] > high)
            return 0;
        low = 0x80;
        high = 0xBF;
        *ret_bad = i + 1;
    }
    return n;
}
