// One run of the lease script: its arguments, EVALSHA and, when the server has forgotten the
// script, EVAL, and what it answered; and a key's end. Thread: the loop's.
#ifndef VALVECHAIN_LIMITER_LEASE_ORDER_H
#define VALVECHAIN_LIMITER_LEASE_ORDER_H

#include "redis_link.h"

extern const char lease_script_text[];

#define LEASE_RETURNS_MAX 4
#define LEASE_ORDER_ALL   UINT32_MAX // tokens of a return: whatever the store has of the lease

struct lease_order {
    const char *prefix; // of keys
    const char *policy; // its name
    uint64_t key_id[2]; // the key, the same on every node
    uint64_t limit, window_ns, life_ns;
    uint64_t need, least, want; // want 0: only returns
    uint64_t not_after_us;      // by the store's clock; 0: whenever
    uint64_t lease;             // name of the new one
    size_t n_returns;
    struct {
        uint64_t lease;
        uint32_t tokens;
    } returns[LEASE_RETURNS_MAX];
};
struct lease_word_of_store {
    uint64_t granted, left;
    uint64_t fits_ns, ask_again_ns; // from now on
    uint64_t now_us;                // by the store's clock
};

// NULL word: the store did not answer, or with an error (the link is down then).
typedef void lease_order_fn(void *arg, const struct lease_word_of_store *word);
// Once, from the loop. -ENOTCONN, -ENOMEM: nothing was sent, `fn` is not called.
int lease_order_send(struct redis_link *link, const struct lease_order *order, lease_order_fn *fn,
                     void *arg);

// The store forgets all of the order's key (prefix, policy, key_id and window_ns are looked at), so
// that it begins anew. False: it did not answer, or with an error; maybe it did forget.
typedef void lease_forgotten_fn(void *arg, bool forgotten);
int lease_order_forget(struct redis_link *link, const struct lease_order *order,
                       lease_forgotten_fn *fn, void *arg);

#endif
