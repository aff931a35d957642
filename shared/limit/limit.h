// Rate limits on the shared table: the face that api-front, limiter and later libvalvechain use.
// A decision reads the clock, touches one or two cache lines a policy, takes no lock, never waits.
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
#include "base/problems.h"
#include "config/model.h"
#include "config/params.h"
#include "shm/segment.h"
#include "shm/slot.h"

#define LIMIT_POLICIES_MAX   64
#define LIMIT_MATCHED_MAX    8
#define LIMIT_NAME_MAX       24
#define LIMIT_TIER_MAX       8
#define LIMIT_PATH_MAX       128
#define LIMIT_PATHS_MAX      8
#define LIMIT_WINDOW_MAX_NS  (UINT64_C(86400) * 1000000000) // the segment does not survive a reboot
#define LIMIT_TABLE_SECTION  "limit-table"
#define LIMIT_POLICY_SECTION "limit-policy"

enum limit_algorithm { LIMIT_SLIDING_WINDOW = 1, LIMIT_RING, LIMIT_GCRA, LIMIT_FIXED_WINDOW };
enum limit_mode { LIMIT_ENFORCE, LIMIT_SHADOW };
enum limit_key_part {      // bits; a key is the hash of the parts in this order
    LIMIT_KEY_CLIENT = 1,  // client address, IPv6 by prefix
    LIMIT_KEY_SUBJECT = 2, // verified subject of the token
    LIMIT_KEY_API_KEY = 4,
    LIMIT_KEY_ROUTE = 8,
    LIMIT_KEY_CALLER = 16, // subject, else API key, else client address
};
enum limit_tier { LIMIT_TIER_FREE, LIMIT_TIER_PREMIUM, LIMIT_TIER_ENTERPRISE };
enum limit_region {
    LIMIT_REGION_US_EAST,
    LIMIT_REGION_US_WEST,
    LIMIT_REGION_EUROPE,
    LIMIT_REGION_ASIA
};

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
    uint32_t tier;     // enum limit_tier
    bool tier_verified;
    uint32_t region; // enum limit_region
    uint32_t cost;   // 1 for an ordinary request; 0 looks without charging
};

// A compiled policy, as it lies in the segment (plain data, fixed size).
struct limit_policy {
    char name[LIMIT_NAME_MAX];
    uint32_t algorithm, mode, key_parts;
    uint32_t methods;             // http_method_bit mask
    uint32_t tiers;               // bit per tier, 0: all
    uint32_t regions;             // bit per region, 0: all
    uint32_t skip_verified_tiers; // bit per tier: a verified caller of it is not bound (global)
    uint32_t ipv6_prefix_bits;
    uint64_t limit, window_ns, burst;
    uint32_t n_paths;                            // 0: any path
    char paths[LIMIT_PATHS_MAX][LIMIT_PATH_MAX]; // without a trailing slash; "" is every path
    // Hash of name, algorithm, window, key and count_bits: counts survive a reload if equal.
    uint64_t identity;
    uint32_t first_cell, n_cells, overflow_cell, n_overflow_cells; // set by limit_publish
    uint32_t endpoint_type; // enum limit_endpoint_type, label of valvechain_rate_limit_hits_total
    uint32_t count_bits;    // sliding_window: bits of a sub-bucket's count; else 0
    uint32_t weight;        // its share of the table among all policies
    uint32_t reserved;
};
enum limit_endpoint_type { LIMIT_ENDPOINT_API, LIMIT_ENDPOINT_AUTH, LIMIT_ENDPOINT_SYSTEM };

struct limit_policy_set {
    uint32_t n;
    struct limit_policy policies[LIMIT_POLICIES_MAX];
};

// Built-in policies from the parameters: auth, tier-free, tier-premium, tier-enterprise, and global
// or one per region. Refuses a bad set as a whole, every reason in `problems`.
int limit_compile(const struct limits_params *params, const struct config_model *model,
                  int environment, struct problems *problems, struct limit_policy_set *ret_set);

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

struct limit_charge {
    uint16_t policy;     // index in the view's set
    bool shadow, denied; // denied: this policy would refuse
    uint64_t limit, remaining;
    uint64_t reset_ns; // until the remaining grows again (denied: until one request fits)
    // Where it was charged, for limit_refund; cost 0: not charged.
    uint32_t cell, bucket, cost;
    uint64_t tag;
};
struct limit_verdict {
    bool admitted;
    bool contended;          // refused because 8 tries met other processes' changes, not the limit
    uint16_t n;              // charges, in policy order
    uint16_t denied_by;      // index into charges of the enforcing policy with the longest wait
    uint64_t retry_after_ns; // 0 when admitted
    uint64_t generation;
    uint32_t overflow_cells_used; // newcomers that share an overflow cell
    struct limit_charge charges[LIMIT_MATCHED_MAX];
};
// Decides and charges. Refreshes the private copy when a newer generation is published. Without any
// policy everything is admitted (n 0). retry_after_ns is true: who waits that long is admitted if
// nothing else arrives for the key; when no wait would help (limit 0, cost above the limit) it is
// about a window. Cost 0 tells what a request of cost 1 would get.
void limit_decide(struct limit_view *view, const struct limit_facts *facts,
                  struct limit_verdict *ret_verdict);
// Gives back what a verdict charged, where it still stands (refused later on the way).
void limit_refund(struct limit_view *view, const struct limit_verdict *verdict);
const struct limit_policy *limit_policy_at(const struct limit_view *view,
                                           uint32_t index); // NULL past the end

// Owner's sweep: zeroes dead cells of `budget` cells from where it stopped. Returns cells freed.
uint32_t limit_sweep(struct limit_view *view, uint32_t budget);
struct limit_fill {
    uint64_t cells, live; // live is exact up to 131072 cells a policy, else estimated
};
void limit_fill(const struct limit_view *view, struct limit_fill *ret_fill);

extern const char *const limit_tier_names[3];
extern const char *const limit_region_names[4];

#endif
