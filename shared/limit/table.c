#include "limit/table.h"

#include <errno.h>

// Why a charge cannot get lost. A cell is counted in only while its owner word says confirmed, and
// whoever counted reads that word again. Who would take a confirmed cell whose `last` is dead by
// his clock first condemns it by CAS, which changes the word, and then reads `last` again: if it is
// live by now, he withdraws. So a charge whose owner was read before the CAS has moved `last`
// before the taker's second look, and one whose owner was read after it does not stand. If the
// taker nevertheless sees it dead, his clock, and so the present, is past what was charged. A
// condemned cell still is the key's: its next charge makes the word confirmed again, and the
// taker's second CAS fails. A tentative claim is taken at once, for nobody counts there.
//
// Why a key is never confirmed in two cells. A claim is first tentative. It is confirmed only after
// a probe of the set that began after the claim and met no other cell of the key; a tentative one
// further on in the probe order is abandoned by CAS first, so that it can no longer be confirmed,
// and before one that comes earlier the claim gives way. Of two confirmed cells, the later claim's
// probe would have seen the earlier. Whoever meets a tentative claim of his key completes it, so a
// death in between strands nobody.
//
// Why counts in an overflow cell are not forgotten. A newcomer's claim is confirmed only if, after
// it was made, the overflow cell is dead; a charge there stands only while no cell of the set is
// the key's, tentative ones included. One of the two sees the other. A returning key had a cell of
// its own all the time, so nothing of it can be there.
//
// Cells that were never used end a probe: claims take the first that can be taken.

struct probe {
    struct cell_head *confirmed, *tentative, *claimable;
    uint64_t tentative_owner, claimable_owner;
};

static bool is_live(const struct cell_head *cell, uint64_t live_from)
{
    return atomic_load(&cell->last) >= live_from;
}

// Looks at the key's set in probe order. Abandons a second tentative claim. Seq_cst throughout.
static int probe_set(const struct table_key *key, uint64_t live_from, struct probe *ret_probe)
{
    *ret_probe = (struct probe){0};
    for (uint32_t i = 0; i < key->ways; i++) {
        struct cell_head *cell = table_way(key, i);
        uint64_t owner = atomic_load(&cell->owner);
        if (owner_is(owner, key->print)) {
            if (owner & OWNER_CONFIRMED) {
                ret_probe->confirmed = cell;
                return 0;
            }
            if (!ret_probe->tentative) {
                ret_probe->tentative = cell;
                ret_probe->tentative_owner = owner;
            } else if (!atomic_compare_exchange_strong(&cell->owner, &owner,
                                                       owner_next(0, owner, 0))) {
                return -EAGAIN;
            }
        } else if (!ret_probe->claimable && (owner == 0 || !is_live(cell, live_from))) {
            ret_probe->claimable = cell;
            ret_probe->claimable_owner = owner;
        }
        if (owner == 0) {
            break;
        }
    }
    return 0;
}

void table_search(const struct table_key *key, uint64_t live_from, struct table_place *ret_place)
{
    for (uint32_t i = 0; i < key->ways; i++) {
        struct cell_head *cell = table_way(key, i);
        uint64_t owner = atomic_load(&cell->owner);
        if (owner_is(owner, key->print) && (owner & OWNER_CONFIRMED)) {
            *ret_place = (struct table_place){.cell = cell, .owner = owner};
            return;
        }
        if (owner == 0) {
            break;
        }
    }
    bool overflow = is_live(key->overflow, live_from);
    *ret_place =
        (struct table_place){.cell = overflow ? key->overflow : NULL, .overflow = overflow};
}

// Writes the next owner word. -EAGAIN when it is no longer the one that was judged.
static int swap_owner(struct cell_head *cell, uint64_t print, uint64_t owner, uint64_t state,
                      struct table_place *ret_place)
{
    uint64_t next = owner_next(print, owner, state);
    if (!atomic_compare_exchange_strong(&cell->owner, &owner, next)) {
        return -EAGAIN;
    }
    *ret_place =
        (struct table_place){.cell = cell, .owner = next, .tentative = !(state & OWNER_CONFIRMED)};
    return 0;
}

// Makes sure that nobody has counted in a confirmed cell since it was judged dead. Condemns it, and
// puts the word that stands now into `owner`. -EAGAIN: it is in use.
static int condemn(struct cell_head *cell, uint64_t live_from, uint64_t *owner)
{
    if (!(*owner & OWNER_CONFIRMED)) {
        return 0;
    }
    uint64_t print = *owner >> OWNER_PRINT_SHIFT;
    struct table_place place = {0};
    int r = swap_owner(cell, print, *owner, OWNER_CONDEMNED, &place);
    if (r == 0 && is_live(cell, live_from)) {
        (void)swap_owner(cell, print, place.owner, OWNER_CONFIRMED, &place);
        return -EAGAIN;
    }
    *owner = place.owner;
    return r;
}

static int claim_newcomer(const struct table_key *key, uint64_t live_from,
                          struct table_place *ret_place)
{
    struct probe probe;
    int r = probe_set(key, live_from, &probe);
    if (r < 0 || probe.confirmed) {
        return -EAGAIN; // now table_find finds it
    }
    if (probe.tentative) {
        *ret_place = (struct table_place){
            .cell = probe.tentative, .owner = probe.tentative_owner, .tentative = true};
        return 0;
    }
    if (!probe.claimable || is_live(key->overflow, live_from)) {
        *ret_place = (struct table_place){.cell = key->overflow, .overflow = true};
        return 0;
    }
    r = condemn(probe.claimable, live_from, &probe.claimable_owner);
    return r < 0 ? r : swap_owner(probe.claimable, key->print, probe.claimable_owner, 0, ret_place);
}

int table_claim_anew(const struct table_key *key, uint64_t live_from, struct table_place *place)
{
    if (!place->cell) {
        return claim_newcomer(key, live_from, place);
    }
    if (place->overflow) {
        return 0;
    }
    if (!is_live(place->cell, live_from)) {
        return swap_owner(place->cell, key->print, place->owner, OWNER_RETURNING, place);
    }
    bool is_condemned = (place->owner & OWNER_CONDEMNED) == OWNER_CONDEMNED;
    return is_condemned ? swap_owner(place->cell, key->print, place->owner, OWNER_CONFIRMED, place)
                        : 0;
}

int table_settle(const struct table_key *key, uint64_t live_from, struct table_place *place)
{
    struct probe probe;
    int r = probe_set(key, live_from, &probe);
    if (r < 0 || probe.confirmed || probe.tentative != place->cell ||
        probe.tentative_owner != place->owner) {
        return -EAGAIN;
    }
    if (!(place->owner & OWNER_RETURNING) && is_live(key->overflow, live_from)) {
        (void)swap_owner(place->cell, 0, place->owner, 0, place);
        return -EAGAIN; // now table_find finds the overflow cell
    }
    return swap_owner(place->cell, key->print, place->owner, OWNER_CONFIRMED, place);
}

// No cell of the set is the key's, tentative ones included.
bool table_stands_shared(const struct table_key *key)
{
    for (uint32_t i = 0; i < key->ways; i++) {
        uint64_t owner = atomic_load(&table_way(key, i)->owner);
        if (owner_is(owner, key->print)) {
            return false;
        }
        if (owner == 0) {
            break;
        }
    }
    return true;
}

bool table_free_dead(struct cell_head *cell, uint64_t live_from)
{
    uint64_t owner = atomic_load(&cell->owner);
    if (owner >> OWNER_PRINT_SHIFT == 0 || is_live(cell, live_from)) {
        return false;
    }
    return condemn(cell, live_from, &owner) == 0 &&
           atomic_compare_exchange_strong(&cell->owner, &owner, owner_next(0, owner, 0));
}
