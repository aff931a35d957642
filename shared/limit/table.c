#include "limit/table.h"

#include <errno.h>

// Why a charge cannot get lost. `last` is raised before anything is added, so a cell with an
// admitted charge has a live `last` until the charge is dead. Who takes a cell has read his clock
// first, then the owner word, then a dead `last`, and swaps the owner word by CAS. Who charges a
// cell that he found dead has changed the owner word himself (claim number), so the taker's CAS
// fails; if he found it alive and the taker did not, the taker's clock is ahead of his epoch, and
// his own final clock is, too: he is not admitted. Who charged before reads the owner word again.
//
// Why a key is never confirmed in two cells. A claim is first tentative. It is confirmed only after
// a probe of the set that began after the claim and met no other cell of the key; a tentative one
// further on in the probe order is abandoned by CAS first, so that it can no longer be confirmed,
// and before one that comes earlier the claim gives way. Of two confirmed cells, the later claim's
// probe would have seen the earlier. Whoever meets a tentative claim of his key completes it, so a
// death in between strands nobody. The same probe looks at the overflow cell, and a charge there
// stands only while no cell of the set is the key's, so one of the two sees the other.
//
// Cells that were never used end a probe: claims take the first that can be taken.

#define PROBES_MAX 8

struct probe {
    struct cell *confirmed, *tentative, *claimable;
    uint64_t confirmed_owner, tentative_owner, claimable_owner;
};

static bool is_live(const struct cell *cell, uint64_t live_from)
{
    return atomic_load(&cell->last) >= live_from;
}

// Looks at the key's set in probe order. Abandons a second tentative claim. Seq_cst throughout.
static int probe_set(const struct table_key *key, uint64_t live_from, struct probe *ret_probe)
{
    *ret_probe = (struct probe){0};
    for (uint32_t i = 0; i < TABLE_WAYS; i++) {
        struct cell *cell = table_way(key, i);
        uint64_t owner = atomic_load(&cell->owner);
        if (owner_is(owner, key->print)) {
            if (owner & OWNER_CONFIRMED) {
                ret_probe->confirmed = cell;
                ret_probe->confirmed_owner = owner;
                return 0;
            }
            if (!ret_probe->tentative) {
                ret_probe->tentative = cell;
                ret_probe->tentative_owner = owner;
            } else if (!atomic_compare_exchange_strong(&cell->owner, &owner,
                                                       owner_claimed(0, owner, false))) {
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

void table_find(const struct table_key *key, uint64_t live_from, struct table_place *ret_place)
{
    for (uint32_t i = 0; i < TABLE_WAYS; i++) {
        struct cell *cell = table_way(key, i);
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

// Swaps the owner word for the next claim's.
static int swap_owner(struct cell *cell, uint64_t print, uint64_t owner, bool confirmed,
                      struct table_place *ret_place)
{
    uint64_t claimed = owner_claimed(print, owner, confirmed);
    if (!atomic_compare_exchange_strong(&cell->owner, &owner, claimed)) {
        return -EAGAIN;
    }
    *ret_place = (struct table_place){.cell = cell, .owner = claimed};
    return 0;
}

static int claim_newcomer(const struct table_key *key, uint64_t live_from,
                          struct table_place *ret_place)
{
    struct table_place claim = {0}; // the tentative claim the last probe met or we made
    for (int probes = 0; probes < PROBES_MAX; probes++) {
        struct probe probe;
        int r = probe_set(key, live_from, &probe);
        if (r < 0 || probe.confirmed) {
            return -EAGAIN; // now table_find finds it
        }
        bool overflow = is_live(key->overflow, live_from);
        if (overflow && probe.tentative) {
            struct table_place given_up;
            (void)swap_owner(probe.tentative, 0, probe.tentative_owner, false, &given_up);
            return -EAGAIN;
        }
        if (probe.tentative) {
            if (claim.cell == probe.tentative && claim.owner == probe.tentative_owner) {
                return swap_owner(probe.tentative, key->print, probe.tentative_owner, true,
                                  ret_place);
            }
            claim = (struct table_place){.cell = probe.tentative, .owner = probe.tentative_owner};
        } else if (overflow || !probe.claimable) {
            *ret_place = (struct table_place){.cell = key->overflow, .overflow = true};
            return 0;
        } else if (swap_owner(probe.claimable, key->print, probe.claimable_owner, false, &claim)) {
            return -EAGAIN;
        }
    }
    return -EAGAIN;
}

int table_claim(const struct table_key *key, uint64_t live_from, struct table_place *place)
{
    if (!place->cell) {
        return claim_newcomer(key, live_from, place);
    }
    if (place->overflow || is_live(place->cell, live_from)) {
        return 0;
    }
    return swap_owner(place->cell, key->print, place->owner, true, place);
}

bool table_stands(const struct table_key *key, const struct table_place *place)
{
    if (!place->overflow) {
        return atomic_load(&place->cell->owner) == place->owner;
    }
    for (uint32_t i = 0; i < TABLE_WAYS; i++) {
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

bool table_free_dead(struct cell *cell, uint64_t live_from)
{
    uint64_t owner = atomic_load(&cell->owner);
    if (owner >> OWNER_PRINT_SHIFT == 0 || is_live(cell, live_from)) {
        return false;
    }
    return atomic_compare_exchange_strong(&cell->owner, &owner, owner_claimed(0, owner, false));
}
