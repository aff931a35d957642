// The keyed hash of what a policy counts by: SipHash under the segment's key, so that nobody can
// choose colliding keys. Thread: any.
#ifndef VALVECHAIN_LIMIT_KEY_H
#define VALVECHAIN_LIMIT_KEY_H

#include "limit/limit.h"

#define KEY_HASH_C 1 // SipHash-c-d; all processes of a segment must agree (view.c)
#define KEY_HASH_D 3

// LIMIT_KEY_CALLER becomes what it stands for with these facts; other parts stay.
uint32_t key_parts_of(const struct limit_facts *facts, uint32_t key_parts);
// `parts` from key_parts_of. A part the request does not have counts as an empty one. The policy
// says the IPv6 prefix and the names of headers.
uint64_t key_hash(const uint8_t hash_key[SEGMENT_KEY_BYTES], const struct limit_facts *facts,
                  uint32_t parts, const struct limit_policy *policy);
// The key's name outside of this segment: 128 bits that every node makes of the same facts.
void key_id(const struct limit_facts *facts, uint32_t parts, const struct limit_policy *policy,
            uint64_t ret_id[2]);

#endif
