// Checks that have to wait for tokens of a distributed limit: the call is kept, the desk is asked,
// and the check is decided once more with the answers. In a batch the others wait with it. Thread:
// the loop's.
#ifndef VALVECHAIN_LIMITER_CHECK_WAIT_H
#define VALVECHAIN_LIMITER_CHECK_WAIT_H

#include "base/strbuf.h"
#include "lease_desk.h"
#include "limit/limit_lease.h"
#include "net/bus.h"

struct check_wait; // one call
// Decides check number `index` of the message with the grants; appends the packed verdict. True: it
// waits (nothing is appended), and `asks` says for what.
struct check_asks {
    struct limit_ask items[LIMIT_MATCHED_MAX];
    size_t n;
};
typedef bool check_decide_fn(void *arg, const void *message, size_t len, size_t index,
                             const struct limit_grant *grants, size_t n_grants,
                             struct strbuf *verdict, struct check_asks *ret_asks);
// All verdicts are there, in order: answers the call.
typedef void check_answer_fn(void *arg, struct bus_call **call, const struct strbuf *verdicts,
                             size_t n);

struct check_wait_options {
    struct bus *bus;
    struct lease_desk *desk;
    check_decide_fn *decide;
    check_answer_fn *answer;
    void *arg;
    const void *message; // copied
    size_t len, n;       // of n checks
};
// To be called inside of the handler, once something waits. NULL: no memory, nothing is kept.
struct check_wait *check_wait_begin(const struct check_wait_options *options);
// Number `index` is decided, or asks (check_wait_end).
void check_wait_put(struct check_wait *wait, size_t index, const struct strbuf *verdict);
void check_wait_ask(struct check_wait *wait, size_t index, const struct check_asks *asks);
// Each check was put or asks: the desk is asked, and the wait ends by itself, maybe before this
// returns. The message that the handler got may be gone by then.
void check_wait_end(struct check_wait *wait);

// Tokens that were granted and not spent, and wishes nobody waits for. NULL desk: nothing.
void check_wait_settle(struct lease_desk *desk, struct limit_verdict *verdict,
                       const struct limit_view *view, const struct limit_facts *facts);

#endif
