// What a request owes its limits later on (limits_settle.c). Part of struct request.
#ifndef VALVECHAIN_API_FRONT_LIMITS_AFTER_H
#define VALVECHAIN_API_FRONT_LIMITS_AFTER_H

#include <stdbool.h>

struct request;
struct limits_after {
    bool settled; // what depends on the answer is charged or given back
    bool holds;   // places of concurrency policies, and stands in the list of those that do
    struct request *previous, *next;
};

#endif
