// The nearest of some names to a mistyped one, for "did you mean". Thread: any.
#ifndef VALVECHAIN_CONFIG_NEAREST_H
#define VALVECHAIN_CONFIG_NEAREST_H

#include <stddef.h>

// Fewest single-byte insertions, deletions, replacements and swaps of neighbours that turn one into
// the other, letter case ignored. Names longer than 63 bytes are compared by their first 63.
unsigned nearest_distance(const char *a, const char *b);
// NULL when none is near enough to be meant (more than a third of the letters are wrong).
const char *nearest_name(const char *name, const char *const *names, size_t n);

#endif
