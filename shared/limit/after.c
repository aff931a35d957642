// What follows a decision: refunds, the end and renewal of holds, costs known only afterwards.
#include <errno.h>

#include "limit/decision.h"

// The policy a verdict was charged to, if it is still there: its cells stay with its identity.
static struct meter *meter_of(struct limit_view *view, const struct limit_verdict *verdict,
                              const struct limit_charge *charge)
{
    if (verdict->generation == view->generation) {
        return charge->policy < view->book.n ? &view->meters[charge->policy] : NULL;
    }
    for (uint32_t i = 0; i < view->book.n; i++) {
        if (view->meters[i].identity == charge->identity) {
            return &view->meters[i];
        }
    }
    return NULL;
}

static struct cell_head *cell_of(struct limit_view *view, const struct limit_charge *charge)
{
    return charge->cell < view->n_cells * CELL_HEADS ? &view->cells->head + charge->cell : NULL;
}

static void give_back(struct limit_view *view, const struct limit_verdict *verdict,
                      struct limit_charge *charge, bool holds_only)
{
    if (charge->leased) {
        if (verdict->admitted && !holds_only) {
            leased_refund(view, charge);
        }
        return;
    }
    struct meter *meter = meter_of(view, verdict, charge);
    struct cell_head *cell = cell_of(view, charge);
    if (!verdict->admitted || charge->cost == 0 || !meter || !cell ||
        (holds_only && meter->kind != METER_HOLD)) {
        return;
    }
    // Overflow cells have no owner. Another owner has found everything here dead.
    if (charge->owner == 0 || atomic_load(&cell->owner) == charge->owner) {
        struct meter_charge taken = {
            .bucket = charge->bucket, .tag = charge->tag, .owner = charge->owner};
        view_take_back(view, meter, cell, charge->cost, &taken);
    }
    charge->cost = 0;
}

void limit_refund_charge(struct limit_view *view, struct limit_verdict *verdict, uint32_t charge)
{
    give_back(view, verdict, &verdict->charges[charge], false);
}

void limit_refund(struct limit_view *view, struct limit_verdict *verdict)
{
    for (uint32_t i = 0; i < verdict->n; i++) {
        give_back(view, verdict, &verdict->charges[i], false);
    }
}

void limit_release(struct limit_view *view, struct limit_verdict *verdict)
{
    for (uint32_t i = 0; i < verdict->n; i++) {
        give_back(view, verdict, &verdict->charges[i], true);
    }
}

int limit_renew(struct limit_view *view, const struct limit_verdict *verdict)
{
    uint64_t now_ns = view_now_ns(view);
    int result = 0;
    for (uint32_t i = 0; verdict->admitted && i < verdict->n; i++) {
        const struct limit_charge *charge = &verdict->charges[i];
        struct meter *meter = meter_of(view, verdict, charge);
        struct cell_head *cell = cell_of(view, charge);
        if (charge->leased || charge->cost == 0 || !meter || !cell || meter->kind != METER_HOLD) {
            continue;
        }
        meter_set_clock(meter, now_ns);
        struct table_key key = table_key_of(&meter->range, charge->hash);
        if ((charge->owner != 0 && atomic_load(&cell->owner) != charge->owner) ||
            !hold_renew(meter_wide(cell), &meter->hold, charge->bucket, charge->tag)) {
            result = -ENOENT;
        } else if (charge->owner == 0) {
            table_note_shared(&key);
        }
    }
    return result;
}

static bool try_late(struct limit_view *view, struct trial *trial, uint64_t cost)
{
    meter_set_clock(trial->meter, view_now_ns(view));
    table_find(&trial->key, meter_live_from(trial->meter), &trial->place);
    trial->charged = trial_charge(trial, cost, true) == 0;
    bool stands = trial->charged && table_stands(&trial->key, &trial->place);
    uint64_t now_ns = view_now_ns(view);
    if (stands && meter_has(trial->meter, now_ns)) {
        return true;
    }
    if (trial->charged) {
        view_take_back(view, trial->meter, trial->place.cell, cost, &trial->charge);
    }
    return false;
}

int limit_charge_late_at(struct limit_view *view, const struct limit_verdict *verdict,
                         uint32_t index, uint32_t extra_cost)
{
    const struct limit_charge *charge = &verdict->charges[index];
    struct meter *meter = meter_of(view, verdict, charge);
    if (!verdict->admitted || extra_cost == 0 || charge->denied || !meter ||
        meter->kind == METER_HOLD) {
        return 0;
    }
    if (charge->leased) {
        return leased_charge_late(view, charge, extra_cost);
    }
    uint32_t policy = (uint32_t)(meter - view->meters);
    uint64_t limit = meter->policy->limit;
    if ((view->has_overrides >> policy & 1) && !view_override(view, policy, charge->hash, &limit)) {
        return 0; // by now this key is unlimited
    }
    meter_set_limit(meter, limit);
    struct trial trial = {.meter = meter, .key = table_key_of(&meter->range, charge->hash)};
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        if (try_late(view, &trial, extra_cost)) {
            return 0;
        }
    }
    return -EAGAIN;
}

int limit_charge_late(struct limit_view *view, const struct limit_verdict *verdict,
                      uint32_t extra_cost)
{
    int result = 0;
    for (uint32_t i = 0; i < verdict->n; i++) {
        int r = limit_charge_late_at(view, verdict, i, extra_cost);
        result = r < 0 ? r : result;
    }
    return result;
}
