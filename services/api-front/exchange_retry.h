// Another attempt of a call whose first one failed before the client got a byte of an answer. Only
// for what may be repeated (the method is idempotent, or has a key and the configuration allows it;
// the body is still in the buffer) or of which nothing was sent; at another endpoint; within the
// upstream's budget; never while the breaker is anything but closed. Each attempt counts for the
// breaker and its endpoint, all together have the time of one. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_EXCHANGE_RETRY_H
#define VALVECHAIN_API_FRONT_EXCHANGE_RETRY_H

#include "exchange.h"

// A call begins: sets what may be repeated, counts it for the budget.
void exchange_retry_init(struct exchange *x);
// The attempt has failed (RESET) or a head of an answer is here (ANSWERED). True: there is another
// attempt, the exchange has begun anew; false: it is the caller's.
bool exchange_retry(struct exchange *x, enum exchange_result result);
// The phase is WAITING: goes on when it is time.
void exchange_retry_tick(struct exchange *x, uint64_t now_ms);

#endif
