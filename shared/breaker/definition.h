// Definitions: compiled from parameters and model, merged by name into the published table.
// Pure. Ownership: the caller's.
#ifndef VALVECHAIN_BREAKER_DEFINITION_H
#define VALVECHAIN_BREAKER_DEFINITION_H

#include <stdbool.h>
#include <stdint.h>

#include "breaker/layout.h"

// The table as it will be after publishing `set` over `old` (see breaker_publish). -ENOSPC when a
// new name finds no index. `ret_changed`: false, and nothing is worth publishing.
int definition_merge(const struct breaker_table *old, const struct breaker_definition_set *set,
                     enum breaker_publish_rule rule, struct breaker_table *ret_table,
                     bool *ret_changed);
// Index of a name that is not retired, or -ENOENT.
int definition_find(const struct breaker_table *table, const char *name);
// Brings whatever the segment says into the ranges that this library computes with.
void definition_clamp(struct breaker_table *table);

#endif
