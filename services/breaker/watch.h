// Follows the breakers' changes of state and hands out each once, in order; and once for each time
// a breaker is observed, as a change to itself, that a rule would have opened it.
#ifndef VALVECHAIN_BREAKER_WATCH_H
#define VALVECHAIN_BREAKER_WATCH_H

#include "breaker/breaker.h"

struct watch {
    uint32_t seen[BREAKER_MAX];  // newest generation handed out
    uint32_t would[BREAKER_MAX]; // newest generation of which it was told that it would have opened
};
typedef void watch_fn(void *arg, uint32_t index, const struct breaker_definition *definition,
                      const struct breaker_transition *transition);

// From now on: what happened before is nobody's news (the previous owner published it, or nobody
// listened).
void watch_init(struct watch *watch, struct breaker_view *view);
void watch_poll(struct watch *watch, struct breaker_view *view, watch_fn *each, void *arg);

#endif
