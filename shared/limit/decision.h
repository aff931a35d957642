// A decision under way, and one policy's part in it. Inside of shared/limit.
#ifndef VALVECHAIN_LIMIT_DECISION_H
#define VALVECHAIN_LIMIT_DECISION_H

#include "limit/view.h"

#define TRIES_MAX 8

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
};
struct decision {
    struct limit_view *view;
    struct trial trials[LIMIT_MATCHED_MAX];
    uint32_t n;
    uint64_t now_ns;
    bool only_looks;     // cost 0
    bool needs_clock;    // the guess would be too old for a meter
    bool enforcing_only; // shadow policies have cost enough tries
};

// Finds or makes the key's place and charges there. `trial` has been looked at (table_find), with
// its meter's clock set. -EDQUOT, -EAGAIN: nothing is charged.
int trial_charge(struct trial *trial, uint64_t cost, bool is_late);
// Does this last clock reading stand for the charge?
bool trial_has(const struct trial *trial, uint64_t now_ns);

#endif
