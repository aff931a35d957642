// What an answer says about limits: the RateLimit fields in the generations that clients know,
// Retry-After (RFC 9110 10.2.3) and the members of the problem body.
//
//   ietf     RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers (08 to 11 have
//            one wire form: structured-field lists of strings with parameters), every policy
//   draft-7  RateLimit: limit=, remaining=, reset= of the tightest policy; RateLimit-Policy
//   draft-6  RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset of the tightest;
//   RateLimit-Policy legacy   X-RateLimit-Limit, -Remaining, and -Reset as a Unix time, of the
//   tightest
//
// Pure text. Thread: any.
#ifndef VALVECHAIN_API_FRONT_RATELIMIT_FIELDS_H
#define VALVECHAIN_API_FRONT_RATELIMIT_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

enum ratelimit_style { // bits
    RATELIMIT_IETF = 1,
    RATELIMIT_DRAFT_7 = 2,
    RATELIMIT_DRAFT_6 = 4,
    RATELIMIT_LEGACY = 8,
};

struct ratelimit_item {
    const char *policy; // name
    uint64_t limit, remaining;
    uint64_t cost; // of this request: what remains below that admits no second one
    uint64_t window_ns;
    // Until one more such request fits; remaining above that: until it grows. LIMIT_NEVER: no wait
    // is known to help, and no field says one.
    uint64_t reset_ns;
    bool violated;
    bool concurrent; // requests in flight: no window, and nobody knows when one ends
};

// A comma-separated list of the names above, at most one of the first three, or `none`. -EINVAL:
// *ret_why says what is allowed.
int ratelimit_styles_parse(const char *text, uint32_t *ret_styles, const char **ret_why);

// Calls `add` for each field of the styles. When any item is violated, RateLimit lists only those,
// because Retry-After should not point earlier than any t that stands beside it, and the tightest
// is the one with the longest wait. `wall_ns`: now; `scratch` is overwritten.
typedef void ratelimit_add_fn(void *arg, const char *name, const char *value);
void ratelimit_fields(const struct ratelimit_item *items, size_t n, uint32_t styles,
                      uint64_t wall_ns, struct strbuf *scratch, ratelimit_add_fn *add, void *arg);
// Whole seconds, rounded up, at least 1: a client that comes back then is not early.
uint64_t ratelimit_seconds(uint64_t ns);
// JSON members: "violated-policies":["tier-free"],"policy":"tier-free","limit":100,"window":900,
// "retry-after":12; policy, limit and window (if it has one) are those of the longest wait. Of
// LIMIT_NEVER there is no "retry-after".
void ratelimit_problem_members(const struct ratelimit_item *items, size_t n,
                               uint64_t retry_after_ns, struct strbuf *out);

#endif
