// The RateLimit-Policy and RateLimit fields of draft-ietf-httpapi-ratelimit-headers (08 to 11 have
// one wire form: structured-field lists of strings with parameters), Retry-After (RFC 9110 10.2.3)
// and the members of the problem body. Pure text. Thread: any.
#ifndef VALVECHAIN_API_FRONT_RATELIMIT_FIELDS_H
#define VALVECHAIN_API_FRONT_RATELIMIT_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

struct ratelimit_item {
    const char *policy; // name
    const char *key;    // what it counts by, for people: "client-address"
    uint64_t limit, remaining;
    uint64_t window_ns;
    uint64_t reset_ns; // until the remaining grows; denied: until one request fits
    bool violated;
};

// "tier-free";q=100;w=900, "global";q=1000;w=900
void ratelimit_policy_field(const struct ratelimit_item *items, size_t n, struct strbuf *out);
// "tier-free";r=99;t=900, ... ; when any is violated, only those, because Retry-After should not
// point earlier than any t that stands beside it.
void ratelimit_field(const struct ratelimit_item *items, size_t n, struct strbuf *out);
// Whole seconds, rounded up, at least 1: a client that comes back then is not early.
uint64_t ratelimit_seconds(uint64_t ns);
// JSON members: "violated-policies":["tier-free"],"limit":100,"window":900,"retry-after":12,
// "key":"client-address" of the violated item with the longest wait.
void ratelimit_problem_members(const struct ratelimit_item *items, size_t n,
                               uint64_t retry_after_ns, struct strbuf *out);

#endif
