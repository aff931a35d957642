#include "service/nearest.h"

#include <ctype.h>
#include <string.h>

#define TEXT_MAX 63

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Levenshtein's distance, one row at a time.
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[TEXT_MAX + 1], a_len = strlen(a), b_len = strlen(b);

    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            int is_same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            size_t best = least(row[j] + 1, row[j - 1] + 1);

            best = least(best, diagonal + (is_same ? 0 : 1));
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_len];
}

const char *nearest_name(const char *text, const char *const *names, size_t n_names)
{
    size_t len = strlen(text), limit = len / 3 > 2 ? len / 3 : 2;
    const char *nearest = NULL;

    if (!len || len > TEXT_MAX)
        return NULL;
    for (size_t i = 0; i < n_names; i++) {
        size_t distance;

        if (strlen(names[i]) > TEXT_MAX)
            continue;
        distance = edit_distance(text, names[i]);
        if (distance > limit || distance >= len)
            continue;
        if (!nearest || distance < edit_distance(text, nearest))
            nearest = names[i];
    }
    return nearest;
}
