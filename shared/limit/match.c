#include "limit/match.h"

#include <string.h>

void matcher_init(struct matcher *matcher, const struct limit_policy *policies, uint32_t n)
{
    *matcher = (struct matcher){0};
    for (uint32_t i = 0; i < n; i++) {
        const struct limit_policy *policy = &policies[i];
        uint64_t bit = UINT64_C(1) << i;
        for (uint32_t j = 0; j < MATCH_METHODS; j++) {
            matcher->by_method[j] |= policy->methods >> j & 1 ? bit : 0;
            matcher->by_tier[j] |= policy->tiers == 0 || policy->tiers >> j & 1 ? bit : 0;
            matcher->by_region[j] |= policy->regions == 0 || policy->regions >> j & 1 ? bit : 0;
            matcher->not_verified[j] |= policy->skip_verified_tiers >> j & 1 ? 0 : bit;
        }
        for (uint32_t j = 0; j < 2; j++) {
            matcher->by_caller[j] |= policy->callers == 0 || policy->callers >> j & 1 ? bit : 0;
        }
        matcher->with_paths |= policy->n_paths > 0 ? bit : 0;
        matcher->with_more |= policy->n_hosts > 0 || policy->n_headers > 0 ? bit : 0;
        matcher->unlimited |= policy->unlimited ? bit : 0;
        matcher->with_replaces |= policy->replaces != 0 ? bit : 0;
    }
}
_Static_assert(MATCH_METHODS == LIMIT_TIER_MAX, "one loop fills all masks");

bool match_path(const char *prefix, const char *path, size_t path_len)
{
    size_t len = strnlen(prefix, LIMIT_PATH_MAX);
    if (len == 0) {
        return true;
    }
    return path_len >= len && memcmp(prefix, path, len) == 0 &&
           (path_len == len || path[len] == '/');
}

static bool has_path(const struct limit_policy *policy, const char *path, size_t path_len)
{
    for (uint32_t i = 0; i < policy->n_paths; i++) {
        if (match_path(policy->paths[i], path, path_len)) {
            return true;
        }
    }
    return false;
}

static bool is_text(const char *wanted, size_t max, const char *text, size_t len)
{
    return strnlen(wanted, max) == len && memcmp(wanted, text, len) == 0;
}

static bool has_host(const struct limit_policy *policy, const char *host, size_t len)
{
    for (uint32_t i = 0; i < policy->n_hosts; i++) {
        if (is_text(policy->hosts[i], LIMIT_HOST_MAX, host, len)) {
            return true;
        }
    }
    return policy->n_hosts == 0;
}

static bool has_host_and_headers(const struct limit_policy *policy, const struct limit_facts *facts)
{
    if (!has_host(policy, facts->host, facts->host_len)) {
        return false;
    }
    for (uint32_t i = 0; i < policy->n_headers; i++) {
        const struct limit_header *header = &policy->headers[i];
        size_t len = 0;
        const char *value =
            facts->header ? facts->header(facts->header_arg, header->name, &len) : NULL;
        if (!value ||
            (header->value[0] != '\0' && !is_text(header->value, LIMIT_HEADER_MAX, value, len))) {
            return false;
        }
    }
    return true;
}

// Each that matches replaces what it names, also when it is replaced itself: the order in which
// policies stand changes nothing.
static uint64_t without_replaced(const struct matcher *matcher, const struct limit_policy *policies,
                                 uint64_t bits)
{
    uint64_t replaced = 0;
    for (uint64_t from = bits & matcher->with_replaces; from != 0; from &= from - 1) {
        replaced |= policies[__builtin_ctzll(from)].replaces;
    }
    return bits & ~replaced;
}

uint64_t matcher_look_closer(const struct matcher *matcher, const struct limit_policy *policies,
                             const struct limit_facts *facts, uint64_t bits)
{
    for (uint64_t paths = bits & matcher->with_paths; paths != 0; paths &= paths - 1) {
        if (!has_path(&policies[__builtin_ctzll(paths)], facts->path, facts->path_len)) {
            bits &= ~(paths & -paths);
        }
    }
    for (uint64_t more = bits & matcher->with_more; more != 0; more &= more - 1) {
        if (!has_host_and_headers(&policies[__builtin_ctzll(more)], facts)) {
            bits &= ~(more & -more);
        }
    }
    return without_replaced(matcher, policies, bits) & ~matcher->unlimited;
}

static uint32_t most_of(const struct matcher *matcher, uint64_t bits)
{
    uint32_t most = 0;
    for (uint32_t m = 0; m < MATCH_METHODS; m++) {
        for (uint32_t t = 0; t < LIMIT_TIER_MAX; t++) {
            for (uint32_t r = 0; r < LIMIT_REGIONS; r++) {
                uint64_t both = matcher->by_method[m] & matcher->by_tier[t] &
                                matcher->by_region[r] & bits & ~matcher->unlimited;
                for (uint32_t c = 0; c < 2; c++) {
                    uint32_t n = (uint32_t)__builtin_popcountll(both & matcher->by_caller[c]);
                    most = n > most ? n : most;
                }
            }
        }
    }
    return most;
}

// The policies that a request to this path, and to this host, can meet.
static uint64_t bits_of_path(const struct limit_policy *policies, uint32_t n, const char *path)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool fits =
            policies[i].n_paths == 0 || has_path(&policies[i], path, strnlen(path, LIMIT_PATH_MAX));
        bits |= fits ? UINT64_C(1) << i : 0;
    }
    return bits;
}

static uint64_t bits_of_host(const struct limit_policy *policies, uint32_t n, const char *host)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool fits = has_host(&policies[i], host, strnlen(host, LIMIT_HOST_MAX));
        bits |= fits ? UINT64_C(1) << i : 0;
    }
    return bits;
}

struct masks { // each once
    uint64_t bits[1 + LIMIT_POLICIES_MAX * LIMIT_PATHS_MAX];
    uint32_t n;
};
_Static_assert(LIMIT_HOSTS_MAX <= LIMIT_PATHS_MAX, "masks have room for hosts, too");

static void add_mask(struct masks *masks, uint64_t bits)
{
    for (uint32_t i = 0; i < masks->n; i++) {
        if (masks->bits[i] == bits) {
            return;
        }
    }
    masks->bits[masks->n++] = bits;
}

// No path meets more policies than the longest prefix that it lies under, and no host more than one
// that is named.
uint32_t matcher_most(const struct matcher *matcher, const struct limit_policy *policies,
                      uint32_t n)
{
    struct masks paths = {.n = 0}, hosts = {.n = 0};
    uint32_t most = 0;
    add_mask(&paths, bits_of_path(policies, n, ""));
    add_mask(&hosts, bits_of_host(policies, n, ""));
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < policies[i].n_paths; j++) {
            add_mask(&paths, bits_of_path(policies, n, policies[i].paths[j]));
        }
        for (uint32_t j = 0; j < policies[i].n_hosts; j++) {
            add_mask(&hosts, bits_of_host(policies, n, policies[i].hosts[j]));
        }
    }
    for (uint32_t i = 0; i < hosts.n; i++) {
        for (uint32_t j = 0; j < paths.n; j++) {
            uint64_t bits = hosts.bits[i] & paths.bits[j];
            uint32_t here =
                (uint32_t)__builtin_popcountll(bits) > most ? most_of(matcher, bits) : 0;
            most = here > most ? here : most;
        }
    }
    return most;
}
