#include "limit/layout.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "limit/limit_key.h"
#include "limit/match.h"
#include "limit/meter.h"
#include "limit/policy.h"
#include "limit/table.h"

#define OVERFLOW_SHARE  64 // one cell in so many is an overflow cell
#define OVERFLOW_MIN    4
#define EXTENT_MIN      (1 + TABLE_WAYS + OVERFLOW_MIN) // one set, tags included
#define EXTENTS_MAX     (POLICY_RETIRED_MAX + 2 * LIMIT_POLICIES_MAX)
#define SHARE_NUMERATOR 3 // of four quarters

struct extents { // occupied, sorted by `first`
    uint32_t n;
    struct policy_range items[EXTENTS_MAX];
};

static void occupy(struct extents *extents, uint32_t first, uint32_t n)
{
    uint32_t at = extents->n++;
    for (; at > 0 && extents->items[at - 1].first > first; at--) {
        extents->items[at] = extents->items[at - 1];
    }
    extents->items[at] = (struct policy_range){.first = first, .n = n};
}

// The smallest gap that has `wanted` cells, else the largest there is.
static struct policy_range find_gap(const struct extents *extents, uint64_t cells, uint64_t wanted)
{
    struct policy_range best = {0};
    uint64_t from = 0;
    for (uint32_t i = 0; i <= extents->n; i++) {
        uint64_t to = i < extents->n ? extents->items[i].first : cells;
        uint64_t size = to > from ? to - from : 0;
        bool better = best.n >= wanted ? size >= wanted && size < best.n : size > best.n;
        if (better) {
            best = (struct policy_range){.first = (uint32_t)from, .n = (uint32_t)size};
        }
        if (i < extents->n) {
            uint64_t end = (uint64_t)extents->items[i].first + extents->items[i].n;
            from = end > from ? end : from;
        }
    }
    return best;
}

static struct policy_range extent_of(const struct limit_policy *policy)
{
    return (struct policy_range){.first = policy->first_cell,
                                 .n = policy->n_cells + policy->n_overflow_cells};
}

static void set_extent(struct limit_policy *policy, uint32_t first, uint32_t n)
{
    uint32_t overflow = n / OVERFLOW_SHARE > OVERFLOW_MIN ? n / OVERFLOW_SHARE : OVERFLOW_MIN;
    policy->first_cell = first;
    uint32_t set_cells = table_set_cells(meter_is_slim(policy));
    policy->n_cells = (n - overflow) / set_cells * set_cells;
    policy->overflow_cell = first + policy->n_cells;
    policy->n_overflow_cells = n - policy->n_cells;
}

static const struct limit_policy *find_identity(const struct limit_policy *policies, uint32_t n,
                                                uint64_t identity)
{
    for (uint32_t i = 0; i < n; i++) {
        if (policies[i].identity == identity) {
            return &policies[i];
        }
    }
    return NULL;
}

static bool is_sound(const struct limit_policy_set *set)
{
    if (set->n > LIMIT_POLICIES_MAX || set->n_tiers > LIMIT_TIER_MAX ||
        set->n_overrides > LIMIT_OVERRIDES_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < set->n_overrides; i++) {
        const struct limit_override *override = &set->overrides[i];
        const struct limit_policy *policy = &set->policies[override->policy % LIMIT_POLICIES_MAX];
        if (override->policy >= set->n || !policy_can_count(policy, override->limit) ||
            !policy_can_count(policy, override->limit_after) ||
            !limit_key_is_sound(&override->key)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < set->n; i++) {
        const struct limit_policy *policy = &set->policies[i];
        if (!policy_is_sound(policy) || policy->identity != policy_identity(policy) ||
            find_identity(set->policies, i, policy->identity)) {
            return false;
        }
    }
    struct matcher matcher;
    matcher_init(&matcher, set->policies, set->n);
    return matcher_most(&matcher, set->policies, set->n) <= LIMIT_MATCHED_MAX;
}

// A policy that goes on with another limit keeps its cells as they are laid out, if they can count
// that far: no count is forgotten. Else it begins anew.
static void keep_layouts(const struct policy_book *current, struct policy_book *next)
{
    for (uint32_t i = 0; i < next->n; i++) {
        struct limit_policy *policy = &next->policies[i];
        for (uint32_t j = 0; j < current->n; j++) {
            const struct limit_policy *old = &current->policies[j];
            if (policy_lineage(old) == policy_lineage(policy) &&
                policy_can_count(old, policy_reach(policy))) {
                policy->algorithm = old->algorithm;
                policy->count_bits = old->count_bits;
                policy->identity = old->identity;
            }
        }
    }
}

// Carries retired ranges over and retires those of policies that are gone.
static int retire(const struct policy_book *current, uint64_t left_generation,
                  struct policy_book *next, struct extents *extents)
{
    for (uint32_t i = 0; i < current->n_retired; i++) {
        if (current->retired[i].retired_in > left_generation) {
            next->retired[next->n_retired++] = current->retired[i];
            occupy(extents, current->retired[i].first, current->retired[i].n);
        }
    }
    for (uint32_t i = 0; i < current->n; i++) {
        struct policy_range range = extent_of(&current->policies[i]);
        if (range.n == 0) {
            continue; // unlimited
        }
        occupy(extents, range.first, range.n);
        if (find_identity(next->policies, next->n, current->policies[i].identity)) {
            continue;
        }
        if (next->n_retired == POLICY_RETIRED_MAX) {
            return -ENOSPC;
        }
        range.retired_in = next->generation;
        next->retired[next->n_retired++] = range;
    }
    return 0;
}

static uint64_t weight_of(const struct limit_policy *policy)
{
    return policy->unlimited ? 0 : policy->weight ? policy->weight : 1;
}

static uint64_t free_cells(const struct extents *extents, uint64_t cells)
{
    for (uint32_t i = 0; i < extents->n; i++) { // they do not overlap
        cells -= extents->items[i].n < cells ? extents->items[i].n : cells;
    }
    return cells;
}

// A policy's share by weight of three quarters of the table; less when all that are new would not
// find so much, so that none of them takes what the next one needs.
static uint64_t wanted_cells(const struct limit_policy *policy, uint64_t cells, uint64_t weights,
                             uint64_t free, uint64_t new_weights)
{
    ASSERT(weights > 0 && new_weights > 0); // the policy's own is in both
    uint64_t weight = weight_of(policy);
    uint64_t wanted = cells * SHARE_NUMERATOR / 4 * weight / weights;
    uint64_t most = free * weight / new_weights;
    wanted = wanted < most ? wanted : most;
    return wanted > EXTENT_MIN ? wanted : EXTENT_MIN;
}

static int place_new(const struct policy_book *current, uint64_t cells, struct policy_book *next,
                     struct extents *extents)
{
    uint64_t weights = 0, new_weights = 0, free = free_cells(extents, cells);
    for (uint32_t i = 0; i < next->n; i++) {
        uint64_t weight = weight_of(&next->policies[i]);
        weights += weight;
        new_weights +=
            find_identity(current->policies, current->n, next->policies[i].identity) ? 0 : weight;
    }
    for (uint32_t i = 0; i < next->n; i++) {
        struct limit_policy *policy = &next->policies[i];
        if (policy->unlimited) {
            continue;
        }
        const struct limit_policy *old =
            find_identity(current->policies, current->n, policy->identity);
        if (old) {
            policy->first_cell = old->first_cell;
            policy->n_cells = old->n_cells;
            policy->overflow_cell = old->overflow_cell;
            policy->n_overflow_cells = old->n_overflow_cells;
            continue;
        }
        uint64_t wanted = wanted_cells(policy, cells, weights, free, new_weights);
        struct policy_range gap = find_gap(extents, cells, wanted);
        uint64_t n = gap.n < wanted ? gap.n : wanted;
        if (n < EXTENT_MIN) {
            return -ENOSPC;
        }
        set_extent(policy, gap.first, (uint32_t)n);
        occupy(extents, gap.first, (uint32_t)n);
    }
    return 0;
}

int layout_place(const struct policy_book *current, const struct limit_policy_set *set,
                 uint64_t cells, uint64_t left_generation, struct policy_book *ret_next)
{
    if (!is_sound(set) || cells > UINT32_MAX) {
        return -EINVAL;
    }
    struct extents extents = {0};
    memset(ret_next, 0, sizeof(*ret_next));
    ret_next->generation = current->generation + 1;
    ret_next->n = set->n;
    ret_next->n_tiers = set->n_tiers;
    memcpy(ret_next->tiers, set->tiers, sizeof(set->tiers));
    memcpy(ret_next->policies, set->policies, set->n * sizeof(set->policies[0]));
    keep_layouts(current, ret_next);
    int r = retire(current, left_generation, ret_next, &extents);
    return r < 0 ? r : place_new(current, cells, ret_next, &extents);
}
