// The keys that were refused most, with their names, in the segment: one table a process slot, of
// which only the slot's holder writes (space-saving: a new key takes the place of the one with the
// fewest refusals and its count, so a count is too high by at most `error`, and no key that was
// refused more often than a table's share is missed). A name is forgotten when its key was not
// refused for the time that the reader is asked for. Thread: one writer a slot, any readers.
#ifndef VALVECHAIN_LIMIT_TOP_H
#define VALVECHAIN_LIMIT_TOP_H

#include "limit/limit.h"

#define TOP_SECTION  "limit-top"
#define TOP_KEYS     32 // of one slot
#define TOP_NAME_MAX 72

struct top_key {
    uint64_t hash; // 0: free
    uint64_t count, error, last_ns;
    char policy[LIMIT_NAME_MAX];
    char name[TOP_NAME_MAX]; // "client:192.0.2.7"; an API key shortened, with its hash
};

struct segment_section_spec top_section_spec(void);
struct top_table; // one slot's
// NULL: the segment has none.
struct top_table *top_of_slot(struct segment *segment, uint32_t slot);
// Counts the refusals of a denied verdict, one for each policy that refused.
void top_count(struct top_table *table, const struct limit_view *view,
               const struct limit_facts *facts, const struct limit_verdict *verdict);
// The keys of all slots that were refused within `within_ns`, most refusals first, at most `cap`.
size_t top_read(const struct segment *segment, uint64_t within_ns, struct top_key *ret_keys,
                size_t cap);

// What a policy counted these facts by, as operators write it: "client:192.0.2.7",
// "subject:alice", "api-key:abcd…" for people (`secret`: the first 4 bytes and 8 digits of its
// keyed hash), parts joined by a blank.
void top_key_name(const struct limit_view *view, const struct limit_policy *policy,
                  const struct limit_facts *facts, char ret_name[TOP_NAME_MAX]);

#endif
