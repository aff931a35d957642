// An open time that the dependency itself has asked for (Retry-After).
#include "base/assert.h"
#include "breaker/cell.h"
#include "breaker/state.h"
#include "breaker/tag.h"
#include "breaker/view.h"

bool breaker_keep_open(struct breaker_view *view, const struct breaker_permit *permit,
                       uint64_t for_ns, uint64_t now_ns)
{
    ASSERT(view->slot != NULL && permit->breaker < BREAKER_MAX);
    uint64_t most_ns = view->table.items[permit->breaker].reset_timeout_max_ns;
    uint64_t until_ns = now_ns + (for_ns < most_ns ? for_ns : most_ns);
    struct breaker_cell *cell = &view->state->cells[permit->breaker];
    uint64_t word = atomic_load(&cell->state);
    for (;;) {
        // Only what this call, or one that began beside it, has opened.
        uint64_t next = state_open_longer(word, until_ns, now_ns);
        if (next == word || state_generation(word) != generation_next(permit->generation))
            return false;
        if (atomic_compare_exchange_strong(&cell->state, &word, next))
            return true;
    }
}
