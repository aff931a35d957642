// The chain of fallbacks: what is answered when the upstream cannot. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_FALLBACK_H
#define VALVECHAIN_API_FRONT_FALLBACK_H

#include "request.h"

// Refused by the breaker (`grant`, `retry_ns`), or the call ended so (`why`) with nothing of its
// answer given: the first of the chain that has an answer gives it, else it is an error.
enum step fallback_answer(struct request *request, enum exchange_result why,
                          enum breaker_grant grant, uint64_t retry_ns);
// The chain but its error: true when one has answered, or will.
bool fallback_tries(struct request *request);
// As the errors that fallback_answer() gives, of another text; `members` are JSON text, or "".
enum step fallback_error(struct request *request, unsigned status, const char *code,
                         const char *detail, const char *members);
// The upstream's answer has this status and nothing of it was given yet: when it is an error that a
// kept answer may take the place of, and the chain has one, gives that.
bool fallback_replaces(struct request *request, unsigned status);

#endif
