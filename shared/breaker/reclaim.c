#include "base/assert.h"
#include "breaker/cell.h"
#include "breaker/state.h"
#include "breaker/view.h"

// Who wins the CAS on a dead holder's word gives it back, once.
static void reclaim_share(struct breaker_line *line, uint64_t seen)
{
    atomic_compare_exchange_strong(&line->share, &seen, 0);
}

static void reclaim_probes(struct breaker_view *view, uint32_t index, struct breaker_line *line,
                           uint64_t seen)
{
    if (atomic_compare_exchange_strong(&line->probes, &seen, 0))
        probe_give_back(view, index, probes_generation(seen), probes_out(seen));
}

static bool is_dead(const struct breaker_view *view, uint32_t slot, uint32_t slot_generation)
{
    return (slot != view->slot_index || slot_generation != view->slot_generation) &&
           !slot_is_alive(view->segment, slot, slot_generation);
}

void reclaim_dead(struct breaker_view *view, uint32_t index)
{
    uint32_t n_slots = view_slots(view);
    for (uint32_t slot = 0; slot < n_slots; slot++) {
        struct breaker_line *line = &view->window->lines[slot][index];
        uint64_t share = atomic_load(&line->share), probes = atomic_load(&line->probes);
        if (share_share(share) > 0 && is_dead(view, slot, share_slot_generation(share)))
            reclaim_share(line, share);
        if (probes_out(probes) > 0 && is_dead(view, slot, probes_slot_generation(probes)))
            reclaim_probes(view, index, line, probes);
    }
}

void breaker_reclaim(struct breaker_view *view, uint64_t now_ns)
{
    ASSERT(view->slot != NULL);
    view_refresh_if_new(view);
    for (uint32_t index = 0; index < view->table.n; index++) {
        reclaim_dead(view, index);
        cell_note(&view->state->cells[index], transition_settle(view, index, now_ns), now_ns);
    }
}
