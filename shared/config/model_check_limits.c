// What the rows of config_fields.def cannot say about rate limits. What depends on the parameters
// (how many policies there are with the built-in ones) is limit_compile's to refuse.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/reader.h"

static const char *const builtin_tiers[] = {"free", "premium", "enterprise"};
static const char *const builtin_policies[] = {
    "auth",           "tier-free",      "tier-premium",  "tier-enterprise", "global",
    "region-us-east", "region-us-west", "region-europe", "region-asia"};
static const char *const algorithm_names[] = {"sliding_window", "fixed_window", "gcra",
                                              "concurrency"};

static bool is_one_of(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static const struct config_tier *find_tier(const struct config_limits *limits, const char *name)
{
    for (size_t i = 0; i < limits->n_tiers; i++)
        if (limits->tiers[i].name && strcmp(limits->tiers[i].name, name) == 0)
            return &limits->tiers[i];
    return NULL;
}

bool config_is_builtin_policy(const struct config_limits *limits, const char *name)
{
    return is_one_of(builtin_policies, sizeof(builtin_policies) / sizeof(builtin_policies[0]),
                     name) ||
           (strncmp(name, "tier-", 5) == 0 && find_tier(limits, name + 5));
}

static const struct config_policy *find_policy(const struct config_limits *limits, size_t n,
                                               const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (limits->policies[i].name && strcmp(limits->policies[i].name, name) == 0)
            return &limits->policies[i];
    return NULL;
}

void reader_check_tier(struct reader *reader, const struct json_path *path,
                       const struct config_tier *tier)
{
    const struct config_limits *limits = &reader->model->limits;
    const struct json_path at = {.parent = path, .key = "name"};
    if (tier->limit == CONFIG_UNSET)
        reader_complain(reader, path, "the field 'limit' is missing");
    if (!tier->name)
        return;
    if (is_one_of(builtin_tiers, 3, tier->name))
        reader_complain(reader, &at,
                        "'%s' is built in; its limit is the parameter TIER_FREE_MAX, "
                        "TIER_PREMIUM_MAX or TIER_ENTERPRISE_MAX",
                        tier->name);
    else if (find_tier(limits, tier->name) != tier)
        reader_complain(reader, &at, "'%s' is already the name of another tier", tier->name);
    if (limits->n_tiers + 3 == CONFIG_TIERS_MAX + 1)
        reader_complain(reader, path, "is one tier too many, allowed are %d beyond the built-in 3",
                        CONFIG_TIERS_MAX - 3);
}

static const struct config_header *find_header(const struct config_header *headers, size_t n,
                                               const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (headers[i].name && strcmp(headers[i].name, name) == 0)
            return &headers[i];
    return NULL;
}

// ---- match ----------------------------------------------------------------------------------

static void check_tiers(struct reader *reader, const struct json_path *path,
                        const struct config_match *match)
{
    const struct json_path list = {.parent = path, .key = "tiers"};
    for (size_t i = 0; match->tiers && match->tiers[i]; i++) {
        const struct json_path at = {.parent = &list, .index = i};
        if (!is_one_of(builtin_tiers, 3, match->tiers[i]) &&
            !find_tier(&reader->model->limits, match->tiers[i]))
            reader_complain(reader, &at,
                            "there is no tier '%s'; allowed are free, premium, enterprise and "
                            "those of limits.tiers",
                            match->tiers[i]);
    }
}

static void check_match_headers(struct reader *reader, const struct json_path *path,
                                struct config_match *match)
{
    const struct json_path list = {.parent = path, .key = "headers"};
    for (size_t i = 0; i < match->n_headers; i++) {
        const struct json_path at = {.parent = &list, .index = i};
        const struct config_header *header = &match->headers[i];
        config_lower(header->name);
        if (header->value && strlen(header->value) > 63)
            reader_complain(reader, &at, "has a value of %zu bytes, allowed are 63",
                            strlen(header->value));
        if (header->name && find_header(match->headers, i, header->name))
            reader_complain(reader, &at, "'%s' stands here twice", header->name);
    }
}

static void check_match(struct reader *reader, const struct json_path *policy_path,
                        struct config_match *match)
{
    const struct json_path path = {.parent = policy_path, .key = "match"};
    for (char **p = match->paths; p && *p; p++)
        config_drop_last_slash(*p);
    for (char **host = match->hosts; host && *host; host++)
        config_lower_host(*host);
    check_tiers(reader, &path, match);
    check_match_headers(reader, &path, match);
}

// ---- key ------------------------------------------------------------------------------------

static bool has_key(const struct config_policy *policy, const char *word)
{
    if (!policy->key)
        return strcmp(word, "caller") == 0;
    for (char **key = policy->key; *key; key++)
        if (strcmp(*key, word) == 0)
            return true;
    return false;
}

static void check_key(struct reader *reader, const struct json_path *policy_path, json_t *json,
                      struct config_policy *policy)
{
    const struct json_path path = {.parent = policy_path, .key = "key"};
    unsigned headers = 0;
    json_t *list = json_object_get(json, "key");
    if (json_is_array(list) && json_array_size(list) == 0)
        reader_complain(reader, &path, "is empty, at least one is needed");
    for (size_t i = 0; policy->key && policy->key[i]; i++) {
        const struct json_path at = {.parent = &path, .index = i};
        config_lower(policy->key[i]);
        headers += strncmp(policy->key[i], "header:", 7) == 0;
        for (size_t j = 0; j < i; j++)
            if (strcmp(policy->key[i], policy->key[j]) == 0)
                reader_complain(reader, &at, "'%s' stands here twice", policy->key[i]);
    }
    if (headers > 2)
        reader_complain(reader, &path, "names %u headers, allowed are 2", headers);
    if (has_key(policy, "caller") && (has_key(policy, "subject") || has_key(policy, "api-key") ||
                                      has_key(policy, "client-address")))
        reader_complain(reader, &path,
                        "has 'caller' beside what it stands for (subject, else api-key, else "
                        "client-address), allowed is one or the other");
}

// ---- overrides ------------------------------------------------------------------------------

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

// Does the override say something for a word of the policy's key?
static bool has_part(json_t *json, const struct config_override *override, const char *word)
{
    bool client = json_object_get(json, "client_address") != NULL;
    bool subject = json_object_get(json, "subject") != NULL;
    bool api_key = json_object_get(json, "api_key") != NULL;
    if (strcmp(word, "client-address") == 0)
        return client;
    if (strcmp(word, "subject") == 0)
        return subject;
    if (strcmp(word, "api-key") == 0)
        return api_key;
    if (strcmp(word, "route") == 0)
        return json_object_get(json, "route") != NULL;
    if (strncmp(word, "header:", 7) == 0)
        return find_header(override->headers, override->n_headers, word + 7) != NULL;
    return client + subject + api_key == 1; // caller
}

static void check_key_headers(struct reader *reader, const struct json_path *path,
                              const struct config_policy *policy,
                              const struct config_override *override)
{
    for (size_t i = 0; i < override->n_headers; i++) {
        const struct config_header *header = &override->headers[i];
        char word[72];
        config_lower(header->name);
        snprintf(word, sizeof(word), "header:%s", header->name ? header->name : "");
        if (!has_key(policy, word))
            reader_complain(reader, path, "the policy's key has no '%s'", word);
        else if (!header->value)
            reader_complain(reader, path, "needs the value of '%s'", header->name);
        else if (find_header(override->headers, i, header->name))
            reader_complain(reader, path, "'%s' stands here twice", header->name);
    }
}

// All that the policy counts by, and nothing else.
static void check_override_key(struct reader *reader, const struct json_path *path, json_t *json,
                               const struct config_policy *policy,
                               const struct config_override *override)
{
    static const char *const single[] = {"client-address", "subject", "api-key", "route"};
    check_key_headers(reader, path, policy, override);
    bool lacks = false;
    for (size_t i = 0; policy->key ? policy->key[i] != NULL : i < 1; i++) {
        const char *word = policy->key ? policy->key[i] : "caller";
        if (has_part(json, override, word))
            continue;
        lacks = true;
        if (strcmp(word, "caller") == 0)
            reader_complain(reader, path,
                            "needs its key: one of 'subject', 'api_key' and 'client_address'");
        else
            reader_complain(reader, path, "needs all of the policy's key, there is no '%s'", word);
    }
    for (size_t i = 0; !lacks && i < 4; i++)
        if (has_part(json, override, single[i]) && !has_key(policy, single[i]) &&
            (i == 3 || !has_key(policy, "caller")))
            reader_complain(reader, path, "the policy's key has no '%s'", single[i]);
}

// Routes are read before limits.
static void check_override_route(struct reader *reader, const struct json_path *path,
                                 const struct config_policy *policy,
                                 const struct config_override *override)
{
    const struct json_path at = {.parent = path, .key = "route"};
    char names[256];
    if (!override->route || !has_key(policy, "route") ||
        config_may_be_route(reader->model, override->route))
        return;
    config_route_names(reader->model, names, sizeof(names));
    reader_complain(reader, &at, "there is no route '%s'; allowed are %s", override->route, names);
}

static bool same_key(const struct config_override *a, const struct config_override *b)
{
    for (size_t i = 0; i < a->n_headers; i++) {
        const struct config_header *other =
            a->headers[i].name ? find_header(b->headers, b->n_headers, a->headers[i].name) : NULL;
        if (!other || !same_text(a->headers[i].value, other->value))
            return false;
    }
    return same_text(a->subject, b->subject) && same_text(a->api_key, b->api_key) &&
           same_text(a->client_address, b->client_address) && same_text(a->route, b->route);
}

static void check_overrides(struct reader *reader, const struct json_path *policy_path,
                            json_t *json, const struct config_policy *policy)
{
    const struct json_path path = {.parent = policy_path, .key = "overrides"};
    json_t *list = json_object_get(json, "overrides");
    for (size_t i = 0; i < policy->n_overrides; i++) {
        const struct config_override *override = &policy->overrides[i];
        const struct json_path at = {.parent = &path, .index = i};
        check_override_key(reader, &at, json_array_get(list, i), policy, override);
        check_override_route(reader, &at, policy, override);
        if (override->unlimited == (override->limit != CONFIG_UNSET))
            reader_complain(reader, &at, "needs either 'limit' or 'unlimited'");
        for (size_t j = 0; j < i; j++) {
            if (same_key(override, &policy->overrides[j]))
                reader_complain(reader, &at, "has the key of overrides[%zu], too", j);
        }
    }
}

// ---- limit, window, burst -------------------------------------------------------------------

static void refuse_present(struct reader *reader, const struct json_path *path, json_t *json,
                           const char *const *keys, size_t n, const char *why)
{
    for (size_t i = 0; i < n; i++) {
        const struct json_path at = {.parent = path, .key = keys[i], .at_key = true};
        if (json_object_get(json, keys[i]))
            reader_complain(reader, &at, "%s", why);
    }
}

static void check_window(struct reader *reader, const struct json_path *path,
                         const struct config_policy *policy)
{
    const struct json_path at = {.parent = path, .key = "window_ms"};
    if (policy->window_ms == CONFIG_UNSET)
        reader_complain(reader, path, "the field 'window_ms' is missing");
    else if (policy->scope == POLICY_LOCAL && policy->window_ms > CONFIG_DAY_MS)
        reader_complain(reader, &at,
                        "'%" PRIu64 "' is out of range, allowed 1000 to %" PRIu64
                        " ms with scope local (its counts do not outlive a restart of the "
                        "machine), up to %" PRIu64 " with scope distributed",
                        policy->window_ms, CONFIG_DAY_MS, CONFIG_WINDOW_MS_MAX);
}

static uint64_t most_of(const struct config_policy *policy)
{
    static const uint64_t most[] = {
        [POLICY_SLIDING_WINDOW] = CONFIG_SLIDING_WINDOW_MAX,
        [POLICY_FIXED_WINDOW] = CONFIG_FIXED_WINDOW_MAX,
        [POLICY_CONCURRENCY] = CONFIG_CONCURRENCY_MAX,
    };
    if (policy->algorithm != POLICY_GCRA)
        return most[policy->algorithm];
    return policy->window_ms < CONFIG_UNSET / CONFIG_GCRA_MAX_PER_MS
               ? policy->window_ms * CONFIG_GCRA_MAX_PER_MS
               : CONFIG_UNSET;
}

static void check_counts(struct reader *reader, const struct json_path *limit_path,
                         const struct config_policy *policy, uint64_t limit)
{
    bool has_burst = policy->algorithm == POLICY_GCRA && policy->burst != CONFIG_UNSET;
    uint64_t at_once = has_burst && limit != 0 ? policy->burst : limit;
    uint64_t most = most_of(policy);
    if (limit > most)
        reader_complain(reader, limit_path,
                        "'%" PRIu64 "' is above what a %s counts%s, allowed 0 to %" PRIu64 "%s",
                        limit, algorithm_names[policy->algorithm],
                        policy->algorithm == POLICY_GCRA ? " in this window" : "", most,
                        policy->algorithm == POLICY_SLIDING_WINDOW ? "; gcra counts further" : "");
    else if (limit != 0 && policy->cost > at_once)
        reader_complain(reader, limit_path,
                        "'%" PRIu64 "' is below the cost of one request (%" PRIu32
                        "), so that none would ever pass; 0 is how to refuse all",
                        at_once, policy->cost);
}

static void check_limits(struct reader *reader, const struct json_path *path,
                         const struct config_policy *policy)
{
    const struct json_path limit = {.parent = path, .key = "limit"};
    const struct json_path max = {.parent = path, .key = "limit_max"};
    const struct json_path overrides = {.parent = path, .key = "overrides"};
    if (policy->limit == CONFIG_UNSET)
        reader_complain(reader, path, "needs either 'limit' or 'unlimited'");
    else
        check_counts(reader, &limit, policy, policy->limit);
    if (policy->limit_max != CONFIG_UNSET && policy->limit != CONFIG_UNSET &&
        policy->limit_max < policy->limit)
        reader_complain(reader, &max, "'%" PRIu64 "' is below the limit itself (%" PRIu64 ")",
                        policy->limit_max, policy->limit);
    for (size_t i = 0; i < policy->n_overrides; i++) {
        const struct json_path item = {.parent = &overrides, .index = i};
        const struct json_path at = {.parent = &item, .key = "limit"};
        if (policy->overrides[i].limit != CONFIG_UNSET)
            check_counts(reader, &at, policy, policy->overrides[i].limit);
    }
}

static void check_algorithm(struct reader *reader, const struct json_path *path, json_t *json,
                            const struct config_policy *policy)
{
    static const char *const gcra_only[] = {"burst"};
    static const char *const sliding_only[] = {"limit_max"};
    static const char *const not_concurrency[] = {"window_ms", "cost_header", "count", "cost"};
    char why[96];
    if (policy->algorithm != POLICY_GCRA) {
        snprintf(why, sizeof(why), "only the algorithm gcra has a burst, this is %s",
                 algorithm_names[policy->algorithm]);
        refuse_present(reader, path, json, gcra_only, 1, why);
    }
    if (policy->algorithm != POLICY_SLIDING_WINDOW)
        refuse_present(reader, path, json, sliding_only, 1,
                       "only the algorithm sliding_window lays its cells out by a limit");
    if (policy->algorithm == POLICY_CONCURRENCY)
        refuse_present(reader, path, json, not_concurrency, 4,
                       "the algorithm concurrency counts requests in flight, without this");
    else
        check_window(reader, path, policy);
    check_limits(reader, path, policy);
}

// ---- the policy -----------------------------------------------------------------------------

static void check_name(struct reader *reader, const struct json_path *path,
                       const struct config_policy *policy)
{
    static const char *const reserved[] = {"deny", "allow"};
    const struct config_limits *limits = &reader->model->limits;
    const struct json_path at = {.parent = path, .key = "name"};
    if (!policy->name)
        return;
    if (is_one_of(reserved, sizeof(reserved) / sizeof(reserved[0]), policy->name))
        reader_complain(reader, &at,
                        "'%s' stands in answers for the networks that are denied or allowed; "
                        "allowed is any other name",
                        policy->name);
    else if (config_is_builtin_policy(limits, policy->name))
        reader_complain(reader, &at,
                        "'%s' is a built-in policy; change it by its parameters, or take another "
                        "name and list it in 'replaces'",
                        policy->name);
    else if (find_policy(limits, limits->n_policies, policy->name) != policy)
        reader_complain(reader, &at, "'%s' is already the name of another policy", policy->name);
}

// The field does not reach the client, and these frame the answer or belong to one connection
// (RFC 9110 7.6.1, 8.4, 8.6; RFC 9112 6).
static void check_cost_header(struct reader *reader, const struct json_path *path,
                              const struct config_policy *policy)
{
    static const char *const framing[] = {
        "connection",   "content-encoding", "content-length",   "content-range",
        "content-type", "keep-alive",       "proxy-connection", "set-cookie",
        "te",           "trailer",          "upgrade",          "transfer-encoding"};
    const struct json_path at = {.parent = path, .key = "cost_header"};
    if (policy->cost_header &&
        is_one_of(framing, sizeof(framing) / sizeof(framing[0]), policy->cost_header))
        reader_complain(reader, &at,
                        "'%s' says how the answer is to be read, and a cost is taken out of it; "
                        "allowed is a field of your own, such as X-Cost",
                        policy->cost_header);
}

void reader_check_policy(struct reader *reader, const struct json_path *path, json_t *json,
                         struct config_policy *policy)
{
    static const char *const limiting[] = {
        "limit", "limit_max", "window_ms", "burst", "algorithm",        "overrides",  "cost",
        "count", "scope",     "key",       "mode",  "on_store_failure", "cost_header"};
    policy->place = reader_place(reader, path);
    check_name(reader, path, policy);
    check_match(reader, path, &policy->match);
    config_lower(policy->cost_header);
    if (policy->unlimited) {
        refuse_present(reader, path, json, limiting, sizeof(limiting) / sizeof(limiting[0]),
                       "does not go with 'unlimited', which binds nobody");
        if (!policy->replaces || !policy->replaces[0])
            reader_complain(reader, path,
                            "is unlimited and replaces nothing, so it does nothing; "
                            "name what it takes the place of in 'replaces'");
        return;
    }
    check_key(reader, path, json, policy);
    check_algorithm(reader, path, json, policy);
    check_overrides(reader, path, json, policy);
    check_cost_header(reader, path, policy);
    const struct json_path failure = {.parent = path, .key = "on_store_failure", .at_key = true};
    if (policy->scope == POLICY_LOCAL && json_object_get(json, "on_store_failure"))
        reader_complain(reader, &failure, "only a policy of scope distributed has a store");
    const struct json_path scope = {.parent = path, .key = "scope"};
    if (policy->scope == POLICY_DISTRIBUTED && policy->algorithm != POLICY_SLIDING_WINDOW)
        reader_complain(reader, &scope,
                        "only the algorithm sliding_window is distributed, this is %s",
                        algorithm_names[policy->algorithm]);
    const struct json_path keep = {.parent = path, .key = "keep_cost_header", .at_key = true};
    if (!policy->cost_header && json_object_get(json, "keep_cost_header"))
        reader_complain(reader, &keep, "there is no 'cost_header' to keep");
}

// ---- replaces, once all names are known -----------------------------------------------------

// Does `policy` replace `name`, over others or directly? `depth` ends a circle of others.
static bool reaches(const struct config_limits *limits, const struct config_policy *policy,
                    const char *name, size_t depth)
{
    for (char **p = policy->replaces; depth > 0 && p && *p; p++) {
        const struct config_policy *next = find_policy(limits, limits->n_policies, *p);
        if (strcmp(*p, name) == 0 || (next && reaches(limits, next, name, depth - 1)))
            return true;
    }
    return false;
}

static void check_replaces(struct reader *reader, const struct json_path *path,
                           const struct config_limits *limits, const struct config_policy *policy)
{
    const struct json_path list = {.parent = path, .key = "replaces"};
    for (size_t i = 0; policy->replaces && policy->replaces[i]; i++) {
        const struct json_path at = {.parent = &list, .index = i};
        const char *name = policy->replaces[i];
        const struct config_policy *other = find_policy(limits, limits->n_policies, name);
        if (policy->name && strcmp(name, policy->name) == 0)
            reader_complain(reader, &at, "'%s' is the policy itself", name);
        else if (!other && !config_is_builtin_policy(limits, name))
            reader_complain(reader, &at,
                            "there is no policy '%s'; allowed are those of limits.policies and "
                            "auth, tier-NAME, global, region-NAME",
                            name);
        else if (other && policy->name && reaches(limits, other, policy->name, 8))
            reader_complain(reader, &at,
                            "'%s' replaces this policy in turn, so that neither would bind", name);
    }
}

void reader_check_limits(struct reader *reader, const struct json_path *path,
                         const struct config_limits *limits)
{
    const struct json_path list = {.parent = path, .key = "policies"};
    for (size_t i = 0; i < limits->n_policies; i++) {
        const struct json_path at = {.parent = &list, .index = i};
        check_replaces(reader, &at, limits, &limits->policies[i]);
    }
    reader_check_regions(reader, path, limits);
}
