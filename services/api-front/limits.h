// The limits' part in a request's life. What it was charged stands in request->limits.
// Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_LIMITS_H
#define VALVECHAIN_API_FRONT_LIMITS_H

#include "request.h"

// Asks all policies that bind the request, charges it, and says so in the answer's fields; or gives
// the 429 answer. Needs identity and request->match.
enum step limits_apply(struct request *request);
// The same with another cost (0 looks without charging) and status of a refusal.
enum step limits_ask(struct request *request, uint32_t cost, unsigned denied_status);
// Retry-After by the verdict's wait, which is none of LIMIT_NEVER.
void limits_add_retry_after(struct request *request);
// The verdict has taken places: limits_end must follow.
void limits_hold(struct request *request);

// limits_settle.c. The status of the answer is known, and its headers when it is the upstream's:
// gives back what only failures cost, and charges what only the answer tells. Once a request.
void limits_settle(struct request *request);
// The request is over, in whatever way: gives back the places that it held.
void limits_end(struct request *request);
// Extends the lease of all places held, every few seconds. For the tick.
void limits_renew(struct valves *valves);
// Is this header of the upstream's answer a cost that is for the gateway alone?
bool limits_hide_header(const struct request *request, const char *name, size_t name_len);

#endif
