// The policies as data: what limit_compile makes of parameters and configuration file, what lies in
// the segment, and what limit_decide works by.
#ifndef VALVECHAIN_LIMIT_POLICY_SET_H
#define VALVECHAIN_LIMIT_POLICY_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/problems.h"
#include "config/model.h"
#include "config/params.h"

#define LIMIT_POLICIES_MAX    64
#define LIMIT_MATCHED_MAX     8
#define LIMIT_NAME_MAX        24
#define LIMIT_TIER_MAX        8
#define LIMIT_PATH_MAX        128
#define LIMIT_PATHS_MAX       8
#define LIMIT_HEADER_MAX      64 // of a header's name, and of a value to compare with
#define LIMIT_HOST_MAX        128
#define LIMIT_KEY_HEADERS_MAX 2
#define LIMIT_OVERRIDES_MAX   256
#define LIMIT_KEY_TEXTS_MAX   512 // of all of a key's texts
#define LIMIT_HOSTS_MAX       8
#define LIMIT_HEADERS_MAX     4
#define LIMIT_HOLD_NS         (UINT64_C(30) * 1000000000) // lease of a place, renewed while it is held
#define LIMIT_WINDOW_MAX_NS   (UINT64_C(86400) * 1000000000) // the segment does not survive a reboot
#define LIMIT_WINDOW_STORE_NS (366 * LIMIT_WINDOW_MAX_NS)    // the store of distributed limits does

enum limit_algorithm {        // what each promises stands in the header named
    LIMIT_SLIDING_WINDOW = 1, // window.h
    LIMIT_RING,               // ring.h: a sliding window with a limit up to 12
    LIMIT_GCRA,               // gcra.h
    LIMIT_FIXED_WINDOW,       // fixed.h
    LIMIT_CONCURRENCY,        // hold.h
};
enum limit_mode { LIMIT_ENFORCE, LIMIT_SHADOW };
enum limit_key_part {      // bits; a key is the hash of the parts in this order
    LIMIT_KEY_CLIENT = 1,  // client address, IPv6 by prefix
    LIMIT_KEY_SUBJECT = 2, // verified subject of the token
    LIMIT_KEY_API_KEY = 4,
    LIMIT_KEY_ROUTE = 8,
    LIMIT_KEY_CALLER = 16,  // subject, else API key, else client address
    LIMIT_KEY_HEADERS = 32, // key_headers of the policy
};
enum limit_callers { LIMIT_CALLERS_ANONYMOUS = 1, LIMIT_CALLERS_AUTHENTICATED = 2 }; // bits
enum limit_tier { LIMIT_TIER_FREE, LIMIT_TIER_PREMIUM, LIMIT_TIER_ENTERPRISE }; // then the file's
enum limit_region {
    LIMIT_REGION_US_EAST,
    LIMIT_REGION_US_WEST,
    LIMIT_REGION_EUROPE,
    LIMIT_REGION_ASIA
};
#define LIMIT_REGIONS       4
#define LIMIT_TIERS_BUILTIN 3

struct limit_header {             // a request must have it
    char name[LIMIT_HEADER_MAX];  // lower case
    char value[LIMIT_HEADER_MAX]; // and be this; "": anything
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
    uint64_t limit, window_ns; // limit 0: nobody is admitted; concurrency has no window
    uint64_t burst;            // gcra: requests at once, 1 or more
    uint64_t hold_ns;          // concurrency: lease of a hold, from 1 ms to 24 h; else 0
    uint64_t limit_max; // what its cells must be able to count: at least `limit` and its overrides
    uint32_t n_paths;   // 0: any path
    char paths[LIMIT_PATHS_MAX][LIMIT_PATH_MAX]; // without a trailing slash; "" is every path
    uint32_t n_hosts, n_headers;                 // 0: any; no condition
    char hosts[LIMIT_HOSTS_MAX][LIMIT_HOST_MAX];
    struct limit_header headers[LIMIT_HEADERS_MAX];            // all must hold
    char key_headers[LIMIT_KEY_HEADERS_MAX][LIMIT_HEADER_MAX]; // lower case
    char cost_header[LIMIT_HEADER_MAX]; // of the answer: what the request cost; "": none
    uint64_t replaces;                  // bit per policy of the set that yields to this one
    // Hash of name, algorithm, window, key and count_bits: counts survive a reload if equal.
    uint64_t identity;
    uint32_t first_cell, n_cells, overflow_cell, n_overflow_cells; // set by limit_publish
    uint32_t endpoint_type; // enum limit_endpoint_type, label of valvechain_rate_limit_hits_total
    uint32_t count_bits;    // sliding_window: bits of a sub-bucket's count; else 0
    uint32_t weight;        // its share of the table among all policies
    uint32_t callers;       // enum limit_callers, 0: all
    uint32_t cost;          // what one request counts; 0 is as good as 1
    bool unlimited;         // binds nobody, only replaces; has no cells
    bool failed_only;       // only answers 401 and 403 count (AUTH_COUNT=failed)
    bool keep_cost_header;
    uint8_t scope, on_store_failure; // enum policy_scope, enum policy_store_failure
    uint8_t reserved[3];
};
enum limit_endpoint_type { LIMIT_ENDPOINT_API, LIMIT_ENDPOINT_AUTH, LIMIT_ENDPOINT_SYSTEM };

// One key by its parts (limit_key.h). Unused bytes are zero, so that equal keys are equal bytes.
struct limit_key {
    uint32_t parts, n_headers; // enum limit_key_part bits, LIMIT_KEY_CALLER is none of them
    struct address client;
    uint8_t reserved[7];
    char texts[LIMIT_KEY_TEXTS_MAX]; // of the others, each with its zero: subject, API key, route,
};                                   // headers as name=value

// One key of a policy that has a limit of its own.
struct limit_override {
    uint32_t policy, reserved;
    uint64_t limit;       // UINT64_MAX: unlimited
    uint64_t until_ns;    // CLOCK_MONOTONIC; 0: for good
    uint64_t limit_after; // from then on
    struct limit_key key;
};

struct limit_policy_set {
    uint32_t n, n_tiers, n_overrides;
    char tiers[LIMIT_TIER_MAX][LIMIT_NAME_MAX]; // names by index
    struct limit_policy policies[LIMIT_POLICIES_MAX];
    struct limit_override overrides[LIMIT_OVERRIDES_MAX];
};

// Built-in policies from the parameters: auth, one for each tier (tier-free, ...), and global or
// one per region; then those of the configuration file. Refuses a bad set as a whole, every reason
// in `problems`. `model` NULL: no file.
int limit_compile(const struct limits_params *params, const struct config_model *model,
                  int environment, struct problems *problems, struct limit_policy_set *ret_set);

extern const char *const limit_tier_names[LIMIT_TIERS_BUILTIN];
extern const char *const limit_region_names[LIMIT_REGIONS];
extern const char *const limit_algorithm_names[]; // by enum limit_algorithm

#endif
