// Limits that are distributed: asks the limiter for tokens, keeps the request meanwhile, and goes
// on with it when the answer is there (or not, within LEASE_TIMEOUT). A request that needs no
// answer pays nothing for it. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_LEASE_WAIT_H
#define VALVECHAIN_API_FRONT_LEASE_WAIT_H

#include "request.h"

// limit_decide for a request, into request->limits. False: the limiter was asked; the walk ends
// here and request_go_on() takes it up again, with another call of this.
bool lease_wait_decide(struct request *request, const struct limit_facts *facts);
// Was it denied because Redis is away and the policy says `closed`? Then 503, or `denied_status`
// for those who know no 429 either.
bool lease_wait_denies(const struct request *request);
enum step lease_wait_answer_away(struct request *request, unsigned denied_status);
// Nobody waits any more (the request ends, or was answered): what is still granted goes back.
void lease_wait_forget(struct request *request);
// Tells the limiter what limit_refund gave back.
void lease_wait_return(struct request *request);

#endif
