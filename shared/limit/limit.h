// Rate limits on the shared table: the face that api-front, limiter and later libvalvechain use.
// A decision reads the clock, touches two cache lines a policy, takes no lock, never waits.
//
// All or nothing: a request is charged to all matching policies or, when one denies, to none.
// The strict sliding window never admits more than the limit in any trailing window.
// Thread: any process, one thread each; kill -9 at any instruction leaves the table valid.
#ifndef VALVECHAIN_LIMIT_LIMIT_H
#define VALVECHAIN_LIMIT_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "limit/policy_set.h"
#include "shm/segment.h"
#include "shm/slot.h"

#define LIMIT_TABLE_SECTION  "limit-table"
#define LIMIT_POLICY_SECTION "limit-policy"

// What one request is, as policies see it. Texts need not be NUL-terminated; nothing is kept.
struct limit_facts {
    struct address client;
    const char *subject;
    size_t subject_len; // 0: none
    const char *api_key;
    size_t api_key_len;
    const char *path; // normalized
    size_t path_len;
    const char *route; // name, may be NULL before routing
    unsigned method;   // http_method_bit
    uint32_t tier;     // index, see limit_tier_name
    bool tier_verified;
    uint32_t region; // enum limit_region
    // 1 for an ordinary request, n for one that counts n times a policy's cost; 0 looks without
    // charging.
    uint32_t cost;
    const char *host; // lower case, without port
    size_t host_len;
    // The value of a header of the request by its name in lower case, NULL: it has none. NULL
    // itself: the request has no headers.
    const char *(*header)(const void *arg, const char *name, size_t *ret_len);
    const void *header_arg;
};

struct segment_section_spec limit_table_section_spec(uint64_t cells);
struct segment_section_spec limit_policy_section_spec(void);

struct limit_view; // one process's eye on the table, with its private copy of the policies
// `slot` NULL: only looks (limit_policy_at, limit_generation, limit_fill); nothing is written.
// -ENOENT: the segment has no limit sections; -EPROTO: what they hold is damaged; -ENOMEM.
int limit_attach(struct segment *segment, struct slot *slot, struct limit_view **ret_view);
void limit_detach(struct limit_view **view);
// Takes a newer generation over now. limit_decide does so by itself; a process that may be idle
// calls it once a second, because ranges of removed policies are only given to new ones when every
// live process has left them.
void limit_refresh(struct limit_view *view);

enum limit_publish_rule { LIMIT_PUBLISH_IF_ABSENT, LIMIT_PUBLISH_REPLACE }; // a front; the owner
// Double-buffered, with a generation. Cells of a policy whose identity did not change keep their
// counts. -EALREADY: if-absent and there is one; -ENOSPC: the table is too small for the set, or a
// live process has not left the ranges it would need (later it may fit); -EINVAL: a set that
// limit_compile would not make; -EBUSY: another live process has been publishing for 200 ms;
// -EROFS: the view has no slot.
int limit_publish(struct limit_view *view, const struct limit_policy_set *set,
                  enum limit_publish_rule rule);
uint64_t limit_generation(const struct limit_view *view); // 0: none published

#define LIMIT_NEVER UINT64_MAX // of a wait: none is known to help (limit 0, cost above the limit)

struct limit_charge {
    uint16_t policy;           // index in the view's set
    bool shadow, denied;       // denied: this policy would refuse
    uint64_t limit, remaining; // gcra: the burst and what remains of it, as redis-cell says it
    // Until one more such request fits, or LIMIT_NEVER; if one does: until the remaining grows.
    uint64_t reset_ns;
    // Where it was charged, for what may follow; cost 0: not charged.
    uint32_t cell, bucket, cost;
    uint64_t tag, owner, hash;
    uint64_t identity; // the policy's
    // Of a distributed policy (limit_lease.h): `ask` is what it wants of the limiter; `leased` that
    // it was charged to a lease, `lease` to which one if the limiter granted it to this request.
    uint8_t ask;             // enum limit_ask_kind
    bool leased, store_away; // store_away: denied because the store does not answer
    uint64_t lease, key_id[2];
    uint32_t lease_due; // tokens of `lease` that must go back
};
struct limit_verdict {
    bool admitted;
    bool waits;              // nothing is decided or charged: the limiter has to be asked first
    bool asks;               // some charge has an `ask`
    bool contended;          // refused because 8 tries met other processes' changes, not the limit
    uint16_t n;              // charges, in policy order
    uint16_t denied_by;      // index into charges of the enforcing policy with the longest wait
    uint64_t retry_after_ns; // 0 when admitted; may be LIMIT_NEVER
    uint64_t generation;
    uint32_t overflow_cells_used; // newcomers that share an overflow cell
    uint32_t new_keys;            // that got a cell of the table with this decision
    struct limit_charge charges[LIMIT_MATCHED_MAX];
};
// Decides and charges. Refreshes the private copy when a newer generation is published. Without any
// policy everything is admitted (n 0). retry_after_ns is true: who waits that long is admitted if
// nothing else arrives for the key. Where only the end of the key's own limit helps (limit.set, one
// of 0), it is that; where nothing is known to help, LIMIT_NEVER. Cost 0 tells what a request of
// cost 1 would get.
void limit_decide(struct limit_view *view, const struct limit_facts *facts,
                  struct limit_verdict *ret_verdict);
// Decides `n` requests one after the other, as so many limit_decide would, while the memory of the
// next ones is being fetched: with a table that no cache holds, several times as many in the same
// time.
void limit_decide_batch(struct limit_view *view, const struct limit_facts *facts, size_t n,
                        struct limit_verdict *ret_verdicts);
// Gives back what a verdict charged, where it still stands (refused later on the way), holds
// included. Once: a second call, or limit_release, finds nothing more to give back.
void limit_refund(struct limit_view *view, struct limit_verdict *verdict);
// The same for one of its charges.
void limit_refund_charge(struct limit_view *view, struct limit_verdict *verdict, uint32_t charge);
// Ends the holds the verdict took (`concurrency`), at the end of the request; once, as above.
void limit_release(struct limit_view *view, struct limit_verdict *verdict);
// Extends the lease of the verdict's holds by hold_ns from now, to be called before that time has
// passed. -ENOENT: one of them has ended before (this process stood still), and others may be
// admitted in its place.
int limit_renew(struct limit_view *view, const struct limit_verdict *verdict);
// Charges a cost that is known only from the response to one of an admitted verdict's charges, if
// that policy did not refuse; never refused. It may bring the key above its limit, which then
// refuses until that has aged out: a window at most for a sliding or fixed one, at most a window
// after the whole burst has drained for gcra. -EAGAIN: other processes' changes were in the way 8
// times, or a distributed policy has not so many tokens here: nothing is charged.
int limit_charge_late_at(struct limit_view *view, const struct limit_verdict *verdict,
                         uint32_t charge, uint32_t extra_cost);
// The same for all of them. -EAGAIN: one is not charged.
int limit_charge_late(struct limit_view *view, const struct limit_verdict *verdict,
                      uint32_t extra_cost);
const struct limit_policy *limit_policy_at(const struct limit_view *view,
                                           uint32_t index); // NULL past the end

bool limit_looks_at_regions(const struct limit_view *view); // any policy does

// Owner's sweep: zeroes dead cells of `budget` cells from where it stopped. Returns cells freed.
uint32_t limit_sweep(struct limit_view *view, uint32_t budget);
struct limit_fill {
    uint64_t cells, live; // live is exact up to 131072 cells a policy, else estimated
};
void limit_fill(const struct limit_view *view, struct limit_fill *ret_fill);

// The tiers of the policies in force, built-in ones first. NULL past the end.
const char *limit_tier_name(const struct limit_view *view, uint32_t tier);

#endif
