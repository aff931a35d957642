// Rate limits as the configuration file says them; part of model.h, whose promises hold here, too.
#ifndef VALVECHAIN_CONFIG_MODEL_LIMITS_H
#define VALVECHAIN_CONFIG_MODEL_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_POLICIES_MAX    64 // with the built-in ones: limit_compile looks at that
#define CONFIG_TIERS_MAX       8  // with the built-in ones
#define CONFIG_REGIONS_MAX     64
#define CONFIG_HOSTS_MAX       8 // of one match; limit/policy.c asserts that policies have the room
#define CONFIG_HEADERS_MAX     4
#define CONFIG_KEY_HEADERS_MAX 2
#define CONFIG_OVERRIDES_MAX   256        // of all policies together: limit_compile looks at that
#define CONFIG_UNSET           UINT64_MAX // a number that the file does not set
// The largest limits, by algorithm; limit/policy.c asserts that cells count that far.
#define CONFIG_SLIDING_WINDOW_MAX 16777215
#define CONFIG_FIXED_WINDOW_MAX   16777215
#define CONFIG_GCRA_MAX_PER_MS    10000
#define CONFIG_CONCURRENCY_MAX    65535
#define CONFIG_DAY_MS             UINT64_C(86400000)    // longest window of a local policy
#define CONFIG_WINDOW_MS_MAX      UINT64_C(31622400000) // and of a distributed one

// In the order of the choices of config_fields.def.
enum policy_algorithm {
    POLICY_SLIDING_WINDOW,
    POLICY_FIXED_WINDOW,
    POLICY_GCRA,
    POLICY_CONCURRENCY
};
enum policy_mode { POLICY_ENFORCE, POLICY_SHADOW };
enum policy_scope { POLICY_LOCAL, POLICY_DISTRIBUTED };
enum policy_store_failure { POLICY_FAIL_LOCAL, POLICY_FAIL_OPEN, POLICY_FAIL_CLOSED };
enum policy_count { POLICY_COUNT_ALL, POLICY_COUNT_FAILED };
enum policy_callers { POLICY_CALLERS_ALL, POLICY_CALLERS_ANONYMOUS, POLICY_CALLERS_AUTHENTICATED };

// Names are in lower case, paths without a trailing slash, lists NULL-terminated or NULL.
struct config_header {
    char *name, *value; // value NULL: any
};
struct config_match {
    char **paths;
    unsigned methods; // 0: all
    char **tiers;
    uint32_t regions, callers;     // bit per region, 0: all; enum policy_callers
    char **hosts;                  // any of them
    struct config_header *headers; // all of them
    size_t n_headers;
};
struct config_override { // a text for each part of the policy's key
    char *subject, *api_key, *client_address, *route;
    struct config_header *headers;
    size_t n_headers;
    uint64_t limit; // or
    bool unlimited;
};
struct config_policy {
    char *name, *place; // place: "valvechain.json:3:9"
    struct config_match match;
    char **key;                                               // NULL: caller
    uint32_t algorithm, mode, scope, on_store_failure, count; // the enums above
    uint64_t limit, limit_max, window_ms, burst;              // CONFIG_UNSET where not given
    uint32_t cost;
    char *cost_header;
    bool keep_cost_header, unlimited;
    char **replaces;
    struct config_override *overrides;
    size_t n_overrides;
};
struct config_tier {
    char *name;
    uint64_t limit, window_ms; // window CONFIG_UNSET: TIER_RATE_WINDOW
    bool global;
};
struct config_region {
    char **networks;
    uint32_t region; // index into the choices
};
struct config_limits {
    struct config_tier *tiers;
    size_t n_tiers;
    struct config_policy *policies;
    size_t n_policies;
    struct config_region *regions;
    size_t n_regions;
};

#endif
