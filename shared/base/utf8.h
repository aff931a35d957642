// Well-formed UTF-8 (Unicode 15, table 3-7: no surrogates, nothing overlong). Thread: any.
#ifndef VALVECHAIN_BASE_UTF8_H
#define VALVECHAIN_BASE_UTF8_H

#include <stddef.h>

// Length of the well-formed sequence at `p` (`len` > 0 bytes are there), or 0; `*ret_bad` is then
// how many bytes one U+FFFD stands for (the maximal subpart).
size_t utf8_sequence(const unsigned char *p, size_t len, size_t *ret_bad);

#endif
