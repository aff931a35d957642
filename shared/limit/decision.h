// A decision under way, and one policy's part in it. Inside of shared/limit.
#ifndef VALVECHAIN_LIMIT_DECISION_H
#define VALVECHAIN_LIMIT_DECISION_H

#include "limit/limit_lease.h"
#include "limit/view.h"

#define TRIES_MAX 8

// Where a distributed policy's tokens come from in this try (leased.c).
enum leased_state {
    LEASED_NOT,     // local, or counted here while the store is away: the meter decides
    LEASED_TOKENS,  // from the key's cell
    LEASED_GRANTED, // the limiter granted them to this request
    LEASED_ASK,     // it has to be asked
    LEASED_REFUSED, // the store said no, or the limit is 0
    LEASED_OPEN,    // the store is away: admit, count nothing
    LEASED_CLOSED,  // the store is away: refuse
};
struct leased { // a distributed policy's part in a decision
    bool distributed;
    uint8_t state; // enum leased_state
    uint64_t print;
    struct lease_cell *cell;
    struct lease_taken taken;
    uint64_t refused_until_ns, fits_at_ns, left;
    const struct limit_grant *grant;
};

struct trial { // one matching policy
    struct meter *meter;
    struct table_key key;
    struct table_place place;
    struct cell_reading reading;
    struct meter_charge charge;
    uint64_t hash, cost;
    uint64_t limit, most; // the policy's or the key's own; what `used` is held against
    uint32_t policy, parts, ipv6_prefix_bits;
    bool shadow, denied, charged;
    bool ignored; // a shadow policy that could not be charged and must not be in the way
    bool is_new;  // the key was not in the table, and now it has a cell
    struct leased leased;
};
struct decision {
    struct limit_view *view;
    struct trial trials[LIMIT_MATCHED_MAX];
    uint32_t n;
    uint64_t now_ns;
    uint64_t lasts_ns; // by_epoch: the first of this try's epochs ends then
    const struct limit_grant *grants;
    size_t n_grants;
    bool is_alone;       // no others are decided meanwhile that could hide waiting for memory
    bool only_looks;     // cost 0
    bool needs_clock;    // the guess would be too old for a meter
    bool by_epoch;       // no policy needs to know the instant, only that its epoch lasts
    bool enforcing_only; // shadow policies have cost enough tries
};

// Finds or makes the key's place and charges there. `trial` has been looked at (table_find), with
// its meter's clock set. -EDQUOT, -EAGAIN: nothing is charged.
int trial_charge(struct trial *trial, uint64_t cost, bool is_late);

// ---- leased.c
// Where this try's tokens of a distributed policy would come from; sets `denied`. False: the
// policy's meter decides.
bool leased_weigh(const struct decision *decision, struct trial *trial);
// Takes them. -EAGAIN: somebody was faster.
int leased_charge(const struct decision *decision, struct trial *trial);
void leased_take_back(struct trial *trial);
// Do they stand at this last clock reading, or does the refusal?
bool leased_has(const struct trial *trial, uint64_t now_ns);
void leased_fill_charge(const struct decision *decision, const struct trial *trial,
                        struct limit_charge *ret_charge);
// More tokens for an admitted charge, from the cell. -EAGAIN: it has not so many.
int leased_charge_late(struct limit_view *view, const struct limit_charge *charge, uint64_t cost);
// A charge's tokens go back into the cell, or are noted for limit_returns.
void leased_refund(struct limit_view *view, struct limit_charge *charge);

#endif
