// The ramp after a recovery: the share of calls that are admitted grows from a tenth to all of
// them, evenly over the ramp's time, so that a dependency that has just come back is not met by all
// the callers that waited. Each process admits its part by carrying the rest of the share over from
// call to call: no chance, and the shares of all processes add up.
#include "base/clock.h"
#include "breaker/cell.h"
#include "breaker/state.h"
#include "breaker/view.h"

#define WHOLE 1000 // thousandths
#define FIRST 100

static uint32_t share_of(uint64_t elapsed_ns, uint64_t ramp_ns)
{
    return FIRST + (uint32_t)((WHOLE - FIRST) * (elapsed_ns / NS_PER_MS) / (ramp_ns / NS_PER_MS));
}

static uint64_t begun_ns(struct breaker_cell *cell, uint64_t word, uint64_t now_ns)
{
    struct cell_entry entry;
    if (cell_entry_at(cell, state_generation(word), &entry))
        return entry.at_ns;
    cell_note(cell, word, now_ns); // who closed it died before the note: it begins now
    return now_ns;
}

bool ramp_admits(struct breaker_view *view, uint32_t index, uint64_t word, uint64_t now_ns)
{
    struct breaker_cell *cell = &view->state->cells[index];
    struct ramp_credit *credit = &view->ramps[index];
    uint64_t ramp_ns = view->table.items[index].ramp_ns, since_ns = begun_ns(cell, word, now_ns);
    uint64_t elapsed_ns = now_ns > since_ns ? now_ns - since_ns : 0;
    if (elapsed_ns >= ramp_ns || ramp_ns < NS_PER_MS) {
        atomic_compare_exchange_strong(&cell->state, &word, state_without_ramp(word));
        return true;
    }
    if (credit->generation != state_generation(word))
        *credit = (struct ramp_credit){.generation = state_generation(word), .thousandths = WHOLE};
    else
        credit->thousandths += share_of(elapsed_ns, ramp_ns);
    if (credit->thousandths < WHOLE)
        return false;
    credit->thousandths -= WHOLE;
    return true;
}
