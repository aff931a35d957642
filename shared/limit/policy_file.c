// The policies of the configuration file. What a policy may say was checked when it was read
// (config/model_check_limits.c); here is what depends on all of them together, and the translation.
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "limit/gcra.h"
#include "limit/limit_key.h"
#include "limit/match.h"
#include "limit/policy.h"

#define BIT64(n) (UINT64_C(1) << (n))

static void put_text(char *to, size_t max, const char *from)
{
    size_t len = from ? strnlen(from, max - 1) : 0;
    memcpy(to, from ? from : "", len);
    memset(to + len, 0, max - len);
}

static uint32_t tier_bits(char *const *names, const struct limit_policy_set *set)
{
    uint32_t bits = 0;
    for (; names && *names; names++) {
        for (uint32_t i = 0; i < set->n_tiers; i++) {
            bits |= strcmp(set->tiers[i], *names) == 0 ? UINT32_C(1) << i : 0;
        }
    }
    return bits;
}

static void put_match(const struct config_match *match, const struct limit_policy_set *set,
                      struct limit_policy *policy)
{
    static const uint32_t callers[] = {
        [POLICY_CALLERS_ALL] = 0,
        [POLICY_CALLERS_ANONYMOUS] = LIMIT_CALLERS_ANONYMOUS,
        [POLICY_CALLERS_AUTHENTICATED] = LIMIT_CALLERS_AUTHENTICATED,
    };
    for (char **path = match->paths; path && *path && policy->n_paths < LIMIT_PATHS_MAX; path++) {
        // "/" is every path: the prefix is what stands before its slash.
        put_text(policy->paths[policy->n_paths++], LIMIT_PATH_MAX,
                 strcmp(*path, "/") == 0 ? "" : *path);
    }
    policy->methods = match->methods ? match->methods : HTTP_ANY;
    policy->tiers = tier_bits(match->tiers, set);
    policy->regions = match->regions;
    policy->callers = callers[match->callers];
    for (char **host = match->hosts; host && *host && policy->n_hosts < LIMIT_HOSTS_MAX; host++) {
        put_text(policy->hosts[policy->n_hosts++], LIMIT_HOST_MAX, *host);
    }
    for (size_t i = 0; i < match->n_headers && policy->n_headers < LIMIT_HEADERS_MAX; i++) {
        struct limit_header *header = &policy->headers[policy->n_headers++];
        put_text(header->name, LIMIT_HEADER_MAX, match->headers[i].name);
        put_text(header->value, LIMIT_HEADER_MAX, match->headers[i].value);
    }
}

static void put_key(char *const *words, struct limit_policy *policy)
{
    static const struct {
        const char *word;
        uint32_t part;
    } parts[] = {{"client-address", LIMIT_KEY_CLIENT},
                 {"subject", LIMIT_KEY_SUBJECT},
                 {"api-key", LIMIT_KEY_API_KEY},
                 {"route", LIMIT_KEY_ROUTE},
                 {"caller", LIMIT_KEY_CALLER}};
    uint32_t n_headers = 0;
    for (; words && *words; words++) {
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
            policy->key_parts |= strcmp(*words, parts[i].word) == 0 ? parts[i].part : 0;
        }
        if (strncmp(*words, "header:", 7) == 0 && n_headers < LIMIT_KEY_HEADERS_MAX) {
            put_text(policy->key_headers[n_headers++], LIMIT_HEADER_MAX, *words + 7);
            policy->key_parts |= LIMIT_KEY_HEADERS;
        }
    }
    if (policy->key_parts == 0) {
        policy->key_parts = LIMIT_KEY_CALLER;
    }
}

static const char *key_of(const struct config_override *from, struct limit_key *ret_key)
{
    const struct limit_key_text texts[] = {
        {.part = LIMIT_KEY_CLIENT, .value = from->client_address},
        {.part = LIMIT_KEY_SUBJECT, .value = from->subject},
        {.part = LIMIT_KEY_API_KEY, .value = from->api_key},
        {.part = LIMIT_KEY_ROUTE, .value = from->route},
    };
    struct limit_key_text parts[LIMIT_KEY_PARTS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].value) {
            parts[n++] = texts[i];
        }
    }
    for (size_t i = 0; i < from->n_headers && n < LIMIT_KEY_PARTS_MAX; i++) {
        parts[n++] = (struct limit_key_text){.part = LIMIT_KEY_HEADERS,
                                             .name = from->headers[i].name,
                                             .value = from->headers[i].value};
    }
    return limit_key_make(parts, n, ret_key);
}

// The reader has compared what is written; `to` is the last of the policy's overrides, number
// `index` of the file. False: it is counted together with an earlier one.
static bool is_alone(const struct config_policy *from, size_t index, struct problems *problems,
                     const struct limit_policy_set *set)
{
    const struct limit_override *to = &set->overrides[set->n_overrides - 1];
    const struct limit_policy *policy = &set->policies[to->policy];
    for (size_t back = 1; back <= index; back++) {
        if (limit_key_is_one(&(to - back)->key, &to->key, policy)) {
            problems_add(problems,
                         "%s: limits.policies: '%s': overrides[%zu]: '%s' lies in the /%u of "
                         "overrides[%zu], and IPv6 clients are counted by that (IPV6_SUBNET); "
                         "allowed is one override a subnet",
                         from->place, from->name, index, from->overrides[index].client_address,
                         policy->ipv6_prefix_bits, index - back);
            return false;
        }
    }
    return true;
}

static int put_overrides(const struct config_policy *from, struct problems *problems,
                         struct limit_policy_set *set)
{
    for (size_t i = 0; i < from->n_overrides; i++) {
        const struct config_override *override = &from->overrides[i];
        if (set->n_overrides == LIMIT_OVERRIDES_MAX) {
            problems_add(problems, "%s: limits.policies: more than %d overrides in all policies",
                         from->place, LIMIT_OVERRIDES_MAX);
            return -EINVAL;
        }
        struct limit_override *to = &set->overrides[set->n_overrides++];
        *to = (struct limit_override){.policy = set->n - 1,
                                      .limit = override->unlimited ? UINT64_MAX : override->limit};
        const char *wrong = key_of(override, &to->key);
        if (wrong) {
            problems_add(problems, "%s: limits.policies: '%s': overrides[%zu]: %s", from->place,
                         from->name, i, wrong);
            return -EINVAL;
        }
        if (!is_alone(from, i, problems, set)) {
            return -EINVAL;
        }
        if (!policy_can_count(&set->policies[to->policy], to->limit)) {
            problems_add(problems,
                         "%s: limits.policies: '%s': an override of %llu cannot be counted",
                         from->place, from->name, (unsigned long long)to->limit);
            return -EINVAL;
        }
    }
    return 0;
}

static uint64_t reach_of(const struct config_policy *from)
{
    uint64_t reach = from->limit_max == CONFIG_UNSET ? from->limit : from->limit_max;
    for (size_t i = 0; i < from->n_overrides; i++) {
        const struct config_override *override = &from->overrides[i];
        reach = !override->unlimited && override->limit > reach ? override->limit : reach;
    }
    return reach;
}

static void put_counting(const struct config_policy *from, struct limit_policy *policy)
{
    static const uint32_t algorithms[] = {
        [POLICY_SLIDING_WINDOW] = LIMIT_SLIDING_WINDOW,
        [POLICY_FIXED_WINDOW] = LIMIT_FIXED_WINDOW,
        [POLICY_GCRA] = LIMIT_GCRA,
        [POLICY_CONCURRENCY] = LIMIT_CONCURRENCY,
    };
    policy->algorithm = algorithms[from->algorithm];
    policy->limit = from->limit;
    policy->limit_max = reach_of(from);
    policy->window_ns = from->window_ms == CONFIG_UNSET ? 0 : from->window_ms * NS_PER_MS;
    policy->hold_ns = from->algorithm == POLICY_CONCURRENCY ? LIMIT_HOLD_NS : 0;
    if (from->algorithm == POLICY_GCRA) {
        uint64_t unset = from->limit > 0 ? from->limit : 1; // a ban is sound with any
        policy->burst = from->burst == CONFIG_UNSET ? unset : from->burst;
    }
    policy->cost = from->cost;
    put_text(policy->cost_header, LIMIT_HEADER_MAX, from->cost_header);
    policy->keep_cost_header = from->keep_cost_header;
    policy->failed_only = from->count == POLICY_COUNT_FAILED;
    policy->scope = (uint8_t)from->scope;
    policy->on_store_failure = (uint8_t)from->on_store_failure;
    policy->weight = 3;
}

// What depends on the parameters.
static const char *missing_for(const struct limits_params *params, const struct config_policy *from)
{
    if (from->scope == POLICY_DISTRIBUTED && !params->redis_enabled) {
        return "scope distributed needs Redis: set REDIS_ENABLED=true, or the scope local";
    }
    return NULL;
}

static void add_too_far(const struct config_policy *from, const struct limit_policy *policy,
                        struct problems *problems)
{
    if (policy->algorithm == LIMIT_GCRA && from->burst != CONFIG_UNSET)
        problems_add(problems,
                     "%s: limits.policies: '%s': burst: '%" PRIu64
                     "' would take more than 73 years "
                     "to drain at this limit, allowed 1 to %" PRIu64,
                     from->place, from->name, (uint64_t)from->burst,
                     gcra_burst_max(policy->limit, policy->window_ns));
    else
        problems_add(problems, "%s: limits.policies: '%s' counts further than its algorithm can",
                     from->place, from->name);
}

static int add_policy(const struct limits_params *params, const struct config_policy *from,
                      struct problems *problems, struct limit_policy_set *set)
{
    const char *missing = missing_for(params, from);
    if (missing) {
        problems_add(problems, "%s: limits.policies: '%s': %s", from->place, from->name, missing);
        return -EINVAL;
    }
    struct limit_policy *policy = policy_add(set, "", from->name, params);
    if (!policy) {
        problems_add(problems,
                     "%s: limits.policies: '%s' is one too many: at most %d policies, the built-in "
                     "ones included",
                     from->place, from->name, LIMIT_POLICIES_MAX);
        return -EINVAL;
    }
    policy->mode = from->mode == POLICY_SHADOW ? LIMIT_SHADOW : policy->mode;
    policy->unlimited = from->unlimited;
    put_match(&from->match, set, policy);
    if (from->unlimited) {
        policy->algorithm = LIMIT_RING; // any that is sound: it is never asked
        policy->window_ns = NS_PER_S;
        return policy_finish(policy) ? 0 : -EINVAL;
    }
    put_key(from->key, policy);
    put_counting(from, policy);
    if (!policy_finish(policy)) {
        add_too_far(from, policy, problems);
        return -EINVAL;
    }
    return put_overrides(from, problems, set);
}

// A shadow policy changes nothing for anybody, so it takes the place of shadow policies only.
static int put_replaces(const struct config_policy *from, bool regional, struct problems *problems,
                        struct limit_policy_set *set, struct limit_policy *policy)
{
    int result = 0;
    for (char **name = from->replaces; name && *name; name++) {
        bool found = false;
        for (uint32_t i = 0; i < set->n; i++) {
            found |= strcmp(set->policies[i].name, *name) == 0;
            bool may = policy->mode == LIMIT_ENFORCE || set->policies[i].mode == LIMIT_SHADOW;
            if (may && strcmp(set->policies[i].name, *name) == 0) {
                policy->replaces |= BIT64(i);
            }
        }
        if (!found) { // the reader knows the name, so one of the two kinds that exclude each other
            problems_add(problems,
                         "%s: limits.policies: '%s': replaces '%s', which is not there with "
                         "REGIONAL_RATE_LIMITING=%s; allowed is %s in its place",
                         from->place, from->name, *name, regional ? "true" : "false",
                         regional ? "region-NAME" : "global");
            result = -EINVAL;
        }
    }
    return result;
}

int policy_add_file(const struct limits_params *params, const struct config_model *model,
                    struct problems *problems, struct limit_policy_set *set)
{
    const struct config_limits *limits = &model->limits;
    uint32_t first = set->n;
    int result = 0;
    for (size_t i = 0; i < limits->n_policies; i++) {
        int r = add_policy(params, &limits->policies[i], problems, set);
        result = r < 0 ? r : result;
    }
    for (size_t i = 0; set->n == first + limits->n_policies && i < limits->n_policies; i++) {
        int r = put_replaces(&limits->policies[i], params->regional, problems, set,
                             &set->policies[first + i]);
        result = r < 0 ? r : result;
    }
    struct matcher matcher;
    matcher_init(&matcher, set->policies, set->n);
    uint32_t most = result == 0 ? matcher_most(&matcher, set->policies, set->n) : 0;
    if (most > LIMIT_MATCHED_MAX) {
        problems_add(problems,
                     "%s: limits.policies: %u policies can bind one and the same request, allowed "
                     "are %d (the built-in ones included); narrow their 'match'",
                     limits->n_policies > 0 ? limits->policies[0].place : "limits", most,
                     LIMIT_MATCHED_MAX);
        result = -EINVAL;
    }
    return result;
}
