// Which cells belong to which policy. Pure.
#ifndef VALVECHAIN_LIMIT_LAYOUT_H
#define VALVECHAIN_LIMIT_LAYOUT_H

#include "limit/policy_store.h"

// Makes the book that follows `current` (an empty one: the first). Policies whose identity stays
// keep their cells; others get their share, by weight, of what is free. A quarter of the table
// stays free at first, so that a reload has room while the old ranges are still in use. Ranges
// retired after `left_generation` (the oldest any live process decides by) are not free. -EINVAL:
// the set is not sound; -ENOSPC: a policy finds no room for one set of cells.
int layout_place(const struct policy_book *current, const struct limit_policy_set *set,
                 uint64_t cells, uint64_t left_generation, struct policy_book *ret_next);

#endif
