// Where tokens of distributed limits are asked for: one order a key is with the store at a time,
// and whoever asks meanwhile is served from its answer or by the next one. What nobody waits for
// goes into the key's cell in the segment, where fronts spend it; what is left there when a lease
// ends goes back.
//
// Thread: the limiter's loop. Time: CLOCK_MONOTONIC.
#ifndef VALVECHAIN_LIMITER_LEASE_DESK_H
#define VALVECHAIN_LIMITER_LEASE_DESK_H

#include "limit/lease.h"
#include "limit/limit.h"
#include "redis_link.h"

struct lease_desk;

struct lease_counts { // since the start
    uint64_t leases, tokens_granted, tokens_refused, tokens_returned, tokens_expired;
    uint64_t orders;    // runs of the script, returns included
    uint64_t away;      // asks that the store did not answer
    uint64_t forgotten; // tokens that could not be returned: they count until they age out
};

struct lease_desk_options {
    struct lease_view cells;
    const struct limit_view *policies; // read only
    struct redis_link *link;
    const char *key_prefix; // copied
    uint64_t timeout_ms;    // of a command
    bool is_owner;          // of the cells; else requests are served one by one
};

struct lease_key {
    uint64_t identity; // of the policy
    uint64_t hash;     // in this segment
    uint64_t id[2];    // on every node
};
struct lease_wish {
    struct lease_key key;
    uint64_t limit; // of this key
    uint32_t cost;  // 0: nobody waits, the key's tokens run low
    bool shadow;    // a refusal does not concern the other wishes
};
enum lease_outcome { LEASE_GRANTED, LEASE_REFUSED, LEASE_AWAY };
struct lease_answer {
    enum lease_outcome outcome;
    uint64_t lease;         // granted: for a return
    uint64_t fits_after_ns; // refused: from now on
    uint64_t left;
};
#define LEASE_WISHES_MAX LIMIT_MATCHED_MAX

int lease_desk_create(const struct lease_desk_options *options, struct lease_desk **ret_desk);
void lease_desk_destroy(struct lease_desk **desk); // after the link; open asks are forgotten
// All wishes of one request, granted together: when one that is no shadow is refused, what the
// others got goes back at once. Calls back exactly once, maybe before it returns; at the latest
// when the link's timeout is over. -ENOMEM, -EINVAL (too many).
typedef void lease_desk_fn(void *arg, const struct lease_answer *answers, size_t n);
int lease_desk_ask(struct lease_desk *desk, const struct lease_wish *wishes, size_t n,
                   lease_desk_fn *fn, void *arg);
// Tokens of an answer that were not spent after all.
void lease_desk_return(struct lease_desk *desk, const struct lease_key *key, uint64_t lease,
                       uint32_t tokens);
// Keys begin anew, in the store and here. It calls back with how
// many did: all, unless the store went away on the way. -ENOTCONN: it is away, nothing is changed;
// -EINVAL: too many, or a policy that is not in force; -ENOMEM.
typedef void lease_desk_forgotten_fn(void *arg, size_t n);
int lease_desk_forget(struct lease_desk *desk, const struct lease_key *keys, size_t n,
                      lease_desk_forgotten_fn *fn, void *arg);
// The link came up: what could not be returned before is returned now.
void lease_desk_link_up(struct lease_desk *desk);
// Ends leases whose time is over and returns what is left. To be called each LEASE_DESK_TICK_MS.
#define LEASE_DESK_TICK_MS 10
void lease_desk_tick(struct lease_desk *desk);
// Takes the cells over from an owner that is gone: leases that are in them are watched.
void lease_desk_adopt(struct lease_desk *desk);
// Ends all leases and returns what is left; from now on asks are answered with LEASE_AWAY.
void lease_desk_close(struct lease_desk *desk);
bool lease_desk_is_idle(const struct lease_desk *desk); // no order is with the store
const struct lease_counts *lease_desk_counts(const struct lease_desk *desk);

#endif
