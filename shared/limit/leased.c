// Distributed policies in a decision: tokens from the key's cell, from the limiter's answer, or
// what on_store_failure says.
//
// Why no trailing window holds more than the limit. The store counts a lease from its grant until a
// window after its end. Tokens from a cell are spent before that end: the decision's last clock
// reading says so. Tokens granted to a request itself were granted between its arrival and its
// answer, and that instant is the one of its admission.
#include <errno.h>

#include "limit/decision.h"
#include "limit/key.h"

#define AWAY_RETRY_NS (2 * NS_PER_S) // when a client of a closed policy may try again
#define ASK_AHEAD_NS  (100 * NS_PER_MS)

static const struct limit_policy *policy_of(const struct decision *decision,
                                            const struct trial *trial)
{
    return &decision->view->book.policies[trial->policy];
}

static void find_grant(const struct decision *decision, struct trial *trial)
{
    trial->leased.grant = NULL;
    for (size_t i = 0; i < decision->n_grants; i++) {
        if (decision->grants[i].identity == policy_of(decision, trial)->identity) {
            trial->leased.grant = &decision->grants[i];
        }
    }
}

static uint8_t state_when_away(const struct decision *decision, const struct trial *trial)
{
    switch (policy_of(decision, trial)->on_store_failure) {
    case POLICY_FAIL_OPEN:
        return LEASED_OPEN;
    case POLICY_FAIL_CLOSED:
        return LEASED_CLOSED;
    default:
        return LEASED_NOT;
    }
}

static uint8_t state_by_grant(const struct decision *decision, struct trial *trial)
{
    const struct limit_grant *grant = trial->leased.grant;
    trial->leased.left = grant->left;
    trial->leased.fits_at_ns = decision->now_ns + grant->fits_after_ns;
    trial->leased.refused_until_ns = UINT64_MAX; // said to this request
    return grant->kind == LIMIT_GRANTED   ? LEASED_GRANTED
           : grant->kind == LIMIT_REFUSED ? LEASED_REFUSED
                                          : state_when_away(decision, trial);
}

// The key is read again after what the cell says: it may have become another's.
static uint8_t state_by_cell(const struct decision *decision, struct trial *trial)
{
    const struct lease_view *view = &decision->view->leases;
    struct leased *leased = &trial->leased;
    leased->cell = lease_find(view, leased->print);
    leased->left = 0;
    if (leased->cell) {
        uint64_t tokens = lease_tokens(leased->cell, decision->now_ns);
        uint64_t refused_until_ns = atomic_load(&leased->cell->refused_until_ns);
        leased->fits_at_ns = atomic_load(&leased->cell->fits_at_ns);
        leased->left = tokens + atomic_load(&leased->cell->left);
        leased->refused_until_ns = refused_until_ns;
        if (lease_find(view, leased->print) != leased->cell) {
            leased->cell = NULL;
        } else if (lease_has(leased->cell, trial->cost, decision->now_ns)) {
            return LEASED_TOKENS;
        } else if (refused_until_ns > decision->now_ns) {
            return LEASED_REFUSED;
        }
    }
    if (lease_store_is_up(view, decision->now_ns)) {
        return LEASED_ASK;
    }
    uint8_t state = state_when_away(decision, trial);
    if (state == LEASED_CLOSED && leased->cell && leased->fits_at_ns > decision->now_ns) {
        leased->refused_until_ns = leased->fits_at_ns; // used up, by the store's last word
        return LEASED_REFUSED;
    }
    return state;
}

bool leased_weigh(const struct decision *decision, struct trial *trial)
{
    struct leased *leased = &trial->leased;
    leased->print = lease_print(trial->hash, policy_of(decision, trial)->identity);
    trial->most = trial->limit;
    trial->ignored = decision->enforcing_only && trial->shadow;
    find_grant(decision, trial);
    if (trial->cost > trial->limit) { // whatever the store has
        leased->state = LEASED_REFUSED;
        leased->refused_until_ns = UINT64_MAX;
        leased->fits_at_ns = decision->now_ns + policy_of(decision, trial)->window_ns;
        leased->left = trial->limit;
    } else {
        leased->state =
            leased->grant ? state_by_grant(decision, trial) : state_by_cell(decision, trial);
    }
    if (leased->state == LEASED_NOT) {
        return false;
    }
    trial->place = (struct table_place){0};
    trial->reading = (struct cell_reading){0};
    trial->denied = leased->state == LEASED_REFUSED || leased->state == LEASED_CLOSED;
    return true;
}

int leased_charge(const struct decision *decision, struct trial *trial)
{
    struct leased *leased = &trial->leased;
    if (leased->state != LEASED_TOKENS) {
        return 0;
    }
    int r = lease_take(&decision->view->leases, leased->cell, leased->print, trial->cost,
                       decision->now_ns, &leased->taken);
    trial->charged = r == 0;
    return r < 0 ? -EAGAIN : 0;
}

void leased_take_back(struct trial *trial)
{
    (void)lease_put_back(trial->leased.cell, &trial->leased.taken, trial->cost);
}

bool leased_has(const struct trial *trial, uint64_t now_ns)
{
    const struct leased *leased = &trial->leased;
    if (leased->state == LEASED_REFUSED) {
        return now_ns < leased->refused_until_ns;
    }
    return !trial->charged || now_ns < leased->taken.end_ns;
}

static bool was_granted(const struct leased *leased)
{
    return leased->grant && leased->grant->kind == LIMIT_GRANTED;
}

void leased_fill_charge(const struct decision *decision, const struct trial *trial,
                        struct limit_charge *ret_charge)
{
    const struct leased *leased = &trial->leased;
    uint64_t now_ns = decision->now_ns;
    uint64_t fits_ns = leased->fits_at_ns > now_ns ? leased->fits_at_ns - now_ns : 1;
    uint64_t window_ns = policy_of(decision, trial)->window_ns;
    *ret_charge = (struct limit_charge){
        .policy = (uint16_t)trial->policy,
        .shadow = trial->shadow,
        .denied = trial->denied,
        .limit = trial->limit,
        .remaining = trial->denied || leased->left < trial->cost ? 0 : leased->left,
        // What others spent, and when it ages out, is not known here; ours has by then.
        .reset_ns = trial->denied ? fits_ns
                                  : window_ns + window_ns / LEASE_LIVES_A_WINDOW +
                                        window_ns / LEASE_GRAINS_A_WINDOW,
        .identity = policy_of(decision, trial)->identity,
        .hash = trial->hash,
        .leased = true,
        .store_away = leased->state == LEASED_CLOSED,
    };
    if (trial->denied && trial->cost > trial->limit) {
        ret_charge->reset_ns = view_never_fits_ns(decision->view, trial->policy, trial->hash,
                                                  trial->cost, NULL, now_ns);
    } else if (leased->state == LEASED_CLOSED) {
        ret_charge->reset_ns = AWAY_RETRY_NS;
    } else if (leased->state == LEASED_ASK && !decision->only_looks) {
        ret_charge->ask = trial->shadow ? LIMIT_ASK_SHADOW : LIMIT_ASK_WAIT;
        ret_charge->cost = (uint32_t)trial->cost;
    } else if (leased->state == LEASED_OPEN || leased->state == LEASED_ASK) {
        ret_charge->remaining = trial->limit; // nobody knows
    } else if (was_granted(leased)) {
        ret_charge->lease = leased->grant->lease;
        ret_charge->key_id[0] = leased->grant->key_id[0];
        ret_charge->key_id[1] = leased->grant->key_id[1];
        ret_charge->cost = (uint32_t)trial->cost;
    } else if (trial->charged) {
        ret_charge->remaining -= trial->cost;
        ret_charge->bucket = leased->taken.slot;
        ret_charge->tag = leased->taken.tag;
        ret_charge->cost = (uint32_t)trial->cost;
        if (lease_should_ask(leased->cell, now_ns, now_ns + ASK_AHEAD_NS)) {
            ret_charge->ask = LIMIT_ASK_AHEAD;
        }
    }
}

int leased_charge_late(struct limit_view *view, const struct limit_charge *charge, uint64_t cost)
{
    uint64_t print = lease_print(charge->hash, charge->identity);
    struct lease_cell *cell = lease_find(&view->leases, print);
    struct lease_taken taken;
    bool has = cell && lease_take(&view->leases, cell, print, cost, view_now_ns(view), &taken) == 0;
    return has ? 0 : -EAGAIN;
}

void leased_refund(struct limit_view *view, struct limit_charge *charge)
{
    if (charge->lease != 0) {
        charge->lease_due = charge->cost;
    } else if (charge->cost > 0 && charge->ask != LIMIT_ASK_WAIT) {
        uint64_t print = lease_print(charge->hash, charge->identity);
        struct lease_cell *cell = lease_find(&view->leases, print);
        const struct lease_taken taken = {.tag = charge->tag, .slot = charge->bucket};
        if (cell) { // a tag is the filling's alone: another key's cell has another
            (void)lease_put_back(cell, &taken, charge->cost);
        }
    }
    charge->cost = 0;
}

// ---- asking ----------------------------------------------------------------------------------

size_t limit_asks(const struct limit_view *view, const struct limit_facts *facts,
                  struct limit_verdict *verdict, struct limit_ask asks[LIMIT_MATCHED_MAX])
{
    size_t n = 0;
    for (uint32_t i = 0; i < verdict->n; i++) {
        struct limit_charge *charge = &verdict->charges[i];
        if (charge->ask == LIMIT_ASK_NOTHING || charge->policy >= view->book.n) {
            continue;
        }
        const struct limit_policy *policy = &view->book.policies[charge->policy];
        key_id(facts, key_parts_of(facts, policy->key_parts), policy, charge->key_id);
        asks[n++] = (struct limit_ask){.kind = charge->ask,
                                       .charge = (uint8_t)i,
                                       .identity = charge->identity,
                                       .hash = charge->hash,
                                       .key_id = {charge->key_id[0], charge->key_id[1]},
                                       .limit = charge->limit,
                                       .cost = charge->ask == LIMIT_ASK_AHEAD ? 0 : charge->cost,
                                       .shadow = charge->shadow};
    }
    return n;
}

size_t limit_returns(struct limit_verdict *verdict, struct limit_return returns[LIMIT_MATCHED_MAX])
{
    size_t n = 0;
    for (uint32_t i = 0; i < verdict->n; i++) {
        struct limit_charge *charge = &verdict->charges[i];
        if (charge->lease_due > 0) {
            returns[n++] = (struct limit_return){.identity = charge->identity,
                                                 .hash = charge->hash,
                                                 .key_id = {charge->key_id[0], charge->key_id[1]},
                                                 .lease = charge->lease,
                                                 .tokens = charge->lease_due};
            charge->lease_due = 0;
        }
    }
    return n;
}
