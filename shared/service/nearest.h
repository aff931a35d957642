// "Did you mean ...?": the name that differs least from what was written.
#ifndef VALVECHAIN_SERVICE_NEAREST_H
#define VALVECHAIN_SERVICE_NEAREST_H

#include <stddef.h>

// The nearest of the names by edit distance (case does not count), NULL when none is near: more
// than two edits and more than a third of the text's length. Texts over 63 bytes have none.
const char *nearest_name(const char *text, const char *const *names, size_t n_names);

#endif
