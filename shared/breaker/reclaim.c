#include "base/assert.h"
#include "breaker/cell.h"
#include "breaker/state.h"
#include "breaker/view.h"

// Who wins the CAS on a dead holder's word gives it back, once.
static void reclaim_share(struct breaker_line *line, uint64_t seen, bool is_dead)
{
    uint64_t left = is_dead ? 0 : share_taken_away(seen);
    atomic_compare_exchange_strong(&line->share, &seen, left);
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

// Dead is who has no lock; silent, who has it and has not beaten for the lease: stopped, or stuck.
// His probes are left to the lease of the probes, which also drops their results.
static void reclaim_silent(struct breaker_view *view, uint32_t index, uint32_t slot,
                           uint64_t now_ns)
{
    struct breaker_line *line = &view->window->lines[slot][index];
    uint64_t share = atomic_load(&line->share);
    struct slot_info info;
    if (share_share(share) == 0 || slot == view->slot_index)
        return;
    bool is_there = slot_read(view->segment, slot, &info) &&
                    share_tag_is_of(share_tag(share), info.generation) &&
                    slot_is_alive(view->segment, slot, info.generation);
    if (!is_there)
        reclaim_share(line, share, true);
    else if (now_ns > info.heartbeat_ns &&
             now_ns - info.heartbeat_ns >= view->table.items[index].permit_lease_ns)
        reclaim_share(line, share, false);
}

void reclaim_dead(struct breaker_view *view, uint32_t index, uint64_t now_ns)
{
    uint32_t n_slots = view_slots(view);
    for (uint32_t slot = 0; slot < n_slots; slot++) {
        struct breaker_line *line = &view->window->lines[slot][index];
        uint64_t probes = atomic_load(&line->probes);
        reclaim_silent(view, index, slot, now_ns);
        if (probes_out(probes) > 0 && is_dead(view, slot, probes_slot_generation(probes)))
            reclaim_probes(view, index, line, probes);
    }
}

void breaker_reclaim(struct breaker_view *view, uint64_t now_ns)
{
    ASSERT(view->slot != NULL);
    view_refresh_if_new(view);
    for (uint32_t index = 0; index < view->table.n; index++) {
        reclaim_dead(view, index, now_ns);
        cell_note(&view->state->cells[index], transition_settle(view, index, now_ns), now_ns);
    }
}
