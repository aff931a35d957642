// A collected list of complaints about input, so that a user sees all of them at once.
// Ownership: the caller's. Memory failure is sticky and shows as one more problem.
#ifndef VALVECHAIN_BASE_PROBLEMS_H
#define VALVECHAIN_BASE_PROBLEMS_H

#include <stddef.h>

struct problems {
    char **items;
    size_t n;
};

#define PROBLEMS_INIT ((struct problems){0})

// One sentence that names where, what is wrong, and what is allowed, for example
//   "PORT: '99999' is out of range, allowed 1 to 65535"
//   "valvechain.json:12:7: routes[0].upstream: no upstream named 'ap'; there are: app, database"
void problems_add(struct problems *problems, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void problems_fini(struct problems *problems);

#endif
