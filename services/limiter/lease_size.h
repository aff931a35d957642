// How many tokens to ask for, and when to ask again. Pure.
//
// A lease should be spent within its life: asking seldom needs large ones, and what is not spent
// keeps others from it until the lease has ended. So a key that asks for the first time gets what
// waits and no more; one that asks again within a life grows fourfold at most, up to what it would
// spend in three quarters of a life. The store has the last word: lease_script.lua.
#ifndef VALVECHAIN_LIMITER_LEASE_SIZE_H
#define VALVECHAIN_LIMITER_LEASE_SIZE_H

#include <stdint.h>

struct lease_history {   // of one key, by its last grant
    uint64_t granted_ns; // 0: none that is known
    uint64_t granted;    // tokens
    uint64_t unspent;    // of all its leases, now
};

// A lease may live 1/200 of its window, so long its tokens count in addition to the window, and
// that of a day (7 minutes) at most: so long others may have to wait for what nobody spends.
uint64_t lease_life_ns(uint64_t window_ns);
// The end of a lease by our clock, which may run 1/1000 slower than the store's. `sent_ns`: before
// the store's clock was read.
uint64_t lease_end_ns(uint64_t sent_ns, uint64_t life_ns);
// Tokens to ask for; `need` of them are waited for. At least max(need, 1).
uint64_t lease_want(const struct lease_history *history, uint64_t need, uint64_t life_ns,
                    uint64_t now_ns);
// With so few tokens left somebody asks ahead; 0: nobody does, the lease is too small for it.
uint32_t lease_low_mark(uint64_t tokens);

#endif
