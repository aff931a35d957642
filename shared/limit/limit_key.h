// A key by name, as operators and the configuration file give it. As text:
//   client:192.0.2.7   subject:alice   api-key:abc   route:reports   header:x-account=17
// For a policy that counts by several, all its parts, in any order, separated by a blank; a part
// ends where the next one begins, so a text may have blanks of its own. Thread: any.
#ifndef VALVECHAIN_LIMIT_LIMIT_KEY_H
#define VALVECHAIN_LIMIT_LIMIT_KEY_H

#include "limit/limit.h"

#define KEY_TEXT_MAX LIMIT_KEY_TEXTS_MAX // of a key as text, its end included

// One part of a key that is being made; `name` only of a header, in lower case.
struct limit_key_text {
    uint32_t part; // one bit of enum limit_key_part, not LIMIT_KEY_CALLER
    const char *name, *value;
};
#define LIMIT_KEY_PARTS_MAX (4 + LIMIT_KEY_HEADERS_MAX)
// In any order. NULL, or what is wrong and what is allowed.
const char *limit_key_make(const struct limit_key_text *parts, size_t n, struct limit_key *ret_key);
const char *limit_key_read(const char *text, struct limit_key *ret_key);
// Could limit_key_make have made it?
bool limit_key_is_sound(const struct limit_key *key);
// As a request would have it; the facts point into the key.
void limit_key_facts(const struct limit_key *key, struct limit_facts *ret_facts);
// Does the key say all that this policy counts by, and nothing else?
bool limit_key_fits(const struct limit_key *key, const struct limit_policy *policy);
bool limit_key_is_same(const struct limit_key *a, const struct limit_key *b);
// Does the policy count both as one? Two IPv6 clients of one subnet (IPV6_SUBNET) are.
bool limit_key_is_one(const struct limit_key *a, const struct limit_key *b,
                      const struct limit_policy *policy);

#endif
