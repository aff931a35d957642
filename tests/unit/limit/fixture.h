// A table and a policy store in plain memory, with a virtual clock.
#ifndef TESTS_UNIT_LIMIT_FIXTURE_H
#define TESTS_UNIT_LIMIT_FIXTURE_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "limit/policy.h"
#include "limit/view.h"

struct fixture {
    struct cell *cells;
    struct policy_store *store;
    uint64_t n_cells, now_ns;
    bool dead[SLOT_COUNT];
};

static inline uint64_t fixture_clock(void *arg)
{
    return ((struct fixture *)arg)->now_ns;
}
static inline bool fixture_is_alive(void *arg, uint32_t slot, uint32_t generation)
{
    (void)generation;
    return !((struct fixture *)arg)->dead[slot % SLOT_COUNT];
}

static inline void *fixture_memory(size_t bytes)
{
    bytes = (bytes + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes);
    cr_assert_not_null(memory);
    memset(memory, 0, bytes);
    return memory;
}

static inline void fixture_init(struct fixture *f, uint64_t n_cells)
{
    *f = (struct fixture){.n_cells = n_cells, .now_ns = 1000 * NS_PER_S};
    f->cells = fixture_memory(n_cells * sizeof(struct cell));
    f->store = fixture_memory(policy_store_bytes());
}

// One more process on the table.
static inline struct limit_view *fixture_view(struct fixture *f, uint32_t slot)
{
    static const uint8_t hash_key[SEGMENT_KEY_BYTES] = {1, 2, 3};
    struct limit_view *view = fixture_memory(sizeof(*view));
    struct policy_actor actor = {
        .slot = slot, .generation = 1, .is_alive = fixture_is_alive, .arg = f};
    cr_assert_eq(view_init(view, f->cells, f->n_cells, f->store, &actor, hash_key), 0);
    view->clock_ns = fixture_clock;
    view->clock_arg = f;
    return view;
}

static inline void fixture_fini(struct fixture *f)
{
    free(f->cells);
    free(f->store);
}

// A policy that counts by client, as a configuration might make it.
static inline void fixture_policy(struct limit_policy_set *set, const char *name, uint64_t limit,
                                  uint64_t window_ns)
{
    struct limit_policy *policy = &set->policies[set->n++];
    *policy = (struct limit_policy){.methods = HTTP_ANY,
                                    .key_parts = LIMIT_KEY_CLIENT,
                                    .ipv6_prefix_bits = 56,
                                    .limit = limit,
                                    .window_ns = window_ns,
                                    .weight = 1};
    strncpy(policy->name, name, LIMIT_NAME_MAX - 1);
    policy->algorithm = limit <= RING_LIMIT_MAX ? LIMIT_RING : LIMIT_SLIDING_WINDOW;
    policy->count_bits = limit <= RING_LIMIT_MAX ? 0 : window_count_bits(limit);
    policy->identity = policy_identity(policy);
}

// Another algorithm for the latest policy of the set; `extra` is gcra's burst, or concurrency's
// lease in ns.
static inline void fixture_algorithm(struct limit_policy_set *set, enum limit_algorithm algorithm,
                                     uint64_t extra)
{
    struct limit_policy *policy = &set->policies[set->n - 1];
    policy->algorithm = algorithm;
    policy->count_bits = 0;
    policy->burst = algorithm == LIMIT_GCRA ? extra : 0;
    policy->hold_ns = algorithm == LIMIT_CONCURRENCY ? extra : 0;
    policy->identity = policy_identity(policy);
}

static inline struct limit_facts fixture_facts(uint32_t client)
{
    struct limit_facts facts = {
        .client = {.family = 4}, .path = "/", .path_len = 1, .method = HTTP_GET, .cost = 1};
    memcpy(facts.client.bytes, &client, sizeof(client));
    return facts;
}

static inline bool fixture_ask(struct limit_view *view, uint32_t client,
                               struct limit_verdict *ret_verdict)
{
    struct limit_facts facts = fixture_facts(client);
    limit_decide(view, &facts, ret_verdict);
    return ret_verdict->admitted;
}

#endif
