#include "config/nearest.h"

#include <ctype.h>
#include <string.h>

#define NAME_MAX_BYTES 63

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static int lower(char c)
{
    return tolower((unsigned char)c);
}

// Optimal string alignment; rows[0] is the row above the one above.
unsigned nearest_distance(const char *a, const char *b)
{
    unsigned rows[3][NAME_MAX_BYTES + 1];
    size_t len_a = strnlen(a, NAME_MAX_BYTES), len_b = strnlen(b, NAME_MAX_BYTES);
    for (size_t j = 0; j <= len_b; j++)
        rows[2][j] = (unsigned)j;
    for (size_t i = 1; i <= len_a; i++) {
        memmove(rows[0], rows[1], 2 * sizeof(rows[0]));
        rows[2][0] = (unsigned)i;
        for (size_t j = 1; j <= len_b; j++) {
            unsigned replaced = rows[1][j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
            unsigned best = least(replaced, 1 + least(rows[1][j], rows[2][j - 1]));
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]))
                best = least(best, rows[0][j - 2] + 1);
            rows[2][j] = best;
        }
    }
    return rows[2][len_b];
}

const char *nearest_name(const char *name, const char *const *names, size_t n)
{
    const char *best = NULL;
    unsigned best_distance = (unsigned)strnlen(name, NAME_MAX_BYTES) / 3 + 1;
    for (size_t i = 0; i < n; i++) {
        unsigned distance = nearest_distance(name, names[i]);
        if (distance < best_distance) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}
