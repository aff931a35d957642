// What lease_desk.c (asks and orders) and lease_stock.c (cells and returns) share.
#ifndef VALVECHAIN_LIMITER_LEASE_DESK_INTERNAL_H
#define VALVECHAIN_LIMITER_LEASE_DESK_INTERNAL_H

#include "lease_desk.h"
#include "lease_order.h"

#define DESK_BUCKETS     4096
#define DESK_RETURNS_MAX 4096 // kept while the store is away

struct desk_policy { // as it was when the order was made
    char name[LIMIT_NAME_MAX];
    uint64_t window_ns;
};
struct desk_return {
    struct lease_key key;
    uint64_t lease;
    uint32_t tokens;
};
struct flight; // lease_desk.c: a key that somebody asks for

struct lease_desk {
    struct lease_desk_options options;
    char *key_prefix;
    struct lease_counts counts;
    struct flight *buckets[DESK_BUCKETS];
    uint64_t orders_open;
    bool closing;
    // The store's clock, as of its last answer: `store_us` was it after `seen_ns` of ours.
    uint64_t store_us, seen_ns;
    // Cells with leases that are not collected yet, each once.
    struct lease_cell **busy;
    size_t n_busy, busy_cap;
    struct desk_return *kept; // a ring; the oldest gives way
    size_t kept_first, n_kept;
};

// False: no such policy is in force.
bool desk_policy_of(const struct lease_desk *desk, uint64_t identity,
                    struct desk_policy *ret_policy);
void desk_fill_order(const struct lease_desk *desk, const struct desk_policy *policy,
                     const struct lease_key *key, struct lease_order *ret_order);
uint64_t desk_random(void);

// ---- lease_stock.c
// Puts a lease into the key's cell; what does not find room goes back to the store.
void stock_put(struct lease_desk *desk, const struct lease_key *key, uint64_t lease,
               uint64_t tokens, uint64_t end_ns);
// What the store said beside the grant: refusals are remembered until it is of use to ask again.
void stock_note(struct lease_desk *desk, const struct lease_key *key,
                const struct lease_word_of_store *word, uint64_t granted, uint64_t sent_ns,
                uint64_t now_ns);
// Leases of the cell that are over, as returns of the order that is being made.
void stock_collect_ended(struct lease_desk *desk, struct lease_cell *cell, uint64_t now_ns,
                         struct lease_order *order);
// Back into the cell when the lease still lies there, else back to the store.
void stock_give_back(struct lease_desk *desk, const struct lease_key *key, uint64_t lease,
                     uint32_t tokens);
// What lies here of a key that the store has forgotten goes, refusals included.
void stock_forget(struct lease_desk *desk, const struct lease_key *key);
void stock_return(struct lease_desk *desk, const struct lease_key *key, uint64_t lease,
                  uint32_t tokens);

#endif
