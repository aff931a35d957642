#include "limit/policy_store.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "limit/hold.h"
#include "limit/key.h"
#include "limit/layout.h"
#include "limit/limit_key.h"
#include "limit/policy.h"

#define PUBLISH_WAIT_NS (200 * NS_PER_MS)
#define READ_TRIES      64
#define BOOK_WORDS      (sizeof(struct policy_book) / 8)
_Static_assert(sizeof(struct policy_book) % 8 == 0, "books are copied by words");

struct policy_store {
    _Alignas(64) _Atomic uint64_t active;      // generation << 1 | index of the book
    _Alignas(64) _Atomic uint64_t publisher;   // slot + 1 << 32 | its generation; 0: nobody
    _Atomic uint64_t acknowledged[SLOT_COUNT]; // slot generation << 32 | policy generation
    _Alignas(64) _Atomic uint64_t books[2][BOOK_WORDS];
};

size_t policy_store_bytes(void)
{
    return sizeof(struct policy_store);
}

uint64_t policy_store_layout_hash(void)
{
    const size_t layout[] = {sizeof(struct policy_store),
                             offsetof(struct policy_store, books),
                             sizeof(struct policy_book),
                             offsetof(struct policy_book, policies),
                             sizeof(struct limit_policy),
                             offsetof(struct limit_policy, limit),
                             offsetof(struct limit_policy, paths),
                             offsetof(struct limit_policy, headers),
                             sizeof(struct policy_override),
                             offsetof(struct limit_policy, hold_ns),
                             offsetof(struct limit_policy, first_cell),
                             LIMIT_POLICIES_MAX};
    return segment_layout_hash(layout, sizeof(layout) / sizeof(layout[0]));
}

uint64_t policy_store_generation(const struct policy_store *store)
{
    return atomic_load_explicit(&store->active, memory_order_acquire) >> 1;
}

static void copy_out(const _Atomic uint64_t *book, struct policy_book *ret_book)
{
    for (size_t i = 0; i < BOOK_WORDS; i++) {
        uint64_t word = atomic_load_explicit(&book[i], memory_order_acquire);
        memcpy((char *)ret_book + i * 8, &word, 8);
    }
}

static void copy_in(_Atomic uint64_t *book, const struct policy_book *from)
{
    for (size_t i = 0; i < BOOK_WORDS; i++) {
        uint64_t word;
        memcpy(&word, (const char *)from + i * 8, 8);
        atomic_store_explicit(&book[i], word, memory_order_release);
    }
}

static bool is_sound(const struct policy_book *book, uint64_t generation, uint64_t cells)
{
    if (book->generation != generation || book->n > LIMIT_POLICIES_MAX ||
        book->n_retired > POLICY_RETIRED_MAX || book->n_tiers > LIMIT_TIER_MAX ||
        book->n_overrides > LIMIT_OVERRIDES_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < book->n_tiers; i++) {
        if (!memchr(book->tiers[i], 0, LIMIT_NAME_MAX)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < book->n_overrides; i++) {
        const struct policy_override *override = &book->overrides[i];
        const struct limit_policy *policy = &book->policies[override->policy % LIMIT_POLICIES_MAX];
        if (override->policy >= book->n || !policy_can_count(policy, override->limit) ||
            !policy_can_count(policy, override->limit_after)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < book->n; i++) {
        if (!policy_is_sound(&book->policies[i]) || !policy_is_placed(&book->policies[i], cells)) {
            return false;
        }
    }
    return true;
}

int policy_store_read(const struct policy_store *store, uint64_t cells,
                      struct policy_book *ret_book)
{
    for (int tries = 0; tries < READ_TRIES; tries++) {
        uint64_t active = atomic_load(&store->active);
        if (active >> 1 == 0) {
            *ret_book = (struct policy_book){0};
            return 0;
        }
        copy_out(store->books[active & 1], ret_book);
        // A publisher writes into this book only after the other one became active.
        if (atomic_load(&store->active) == active) {
            return is_sound(ret_book, active >> 1, cells) ? 0 : -EPROTO;
        }
    }
    return -EPROTO; // nobody publishes that often
}

void policy_store_acknowledge(struct policy_store *store, const struct policy_actor *actor,
                              uint64_t generation)
{
    atomic_store(&store->acknowledged[actor->slot % SLOT_COUNT],
                 (uint64_t)actor->generation << 32 | (uint32_t)generation);
}

void policy_store_leave(struct policy_store *store, const struct policy_actor *actor)
{
    uint64_t word = atomic_load(&store->acknowledged[actor->slot % SLOT_COUNT]);
    if (word >> 32 == actor->generation) {
        atomic_compare_exchange_strong(&store->acknowledged[actor->slot % SLOT_COUNT], &word, 0);
    }
}

static bool is_alive(const struct policy_actor *actor, uint32_t slot, uint32_t generation)
{
    return !actor->is_alive || actor->is_alive(actor->arg, slot, generation);
}

bool policy_store_has_left(const struct policy_store *store, const struct policy_actor *actor,
                           uint32_t slot, uint32_t generation)
{
    uint64_t word = atomic_load(&store->acknowledged[slot % SLOT_COUNT]);
    uint32_t mask = (UINT32_C(1) << HOLD_GENERATION_BITS) - 1;
    return (word >> 32 & mask) != generation || !is_alive(actor, slot, (uint32_t)(word >> 32));
}

// The oldest generation any live process decides by. Who attaches later begins with the active one.
static uint64_t left_generation(const struct policy_store *store, const struct policy_actor *actor)
{
    uint64_t oldest = policy_store_generation(store);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint64_t word = atomic_load(&store->acknowledged[slot]);
        uint64_t generation = word & UINT32_MAX;
        if (word != 0 && generation < oldest && is_alive(actor, slot, (uint32_t)(word >> 32))) {
            oldest = generation;
        }
    }
    return oldest;
}

static int become_publisher(struct policy_store *store, const struct policy_actor *actor)
{
    uint64_t me = (uint64_t)(actor->slot + 1) << 32 | actor->generation;
    uint64_t deadline = clock_mono_ns() + PUBLISH_WAIT_NS;
    for (;;) {
        uint64_t other = 0;
        if (atomic_compare_exchange_strong(&store->publisher, &other, me)) {
            return 0;
        }
        if (!is_alive(actor, (uint32_t)(other >> 32) - 1, (uint32_t)other) &&
            atomic_compare_exchange_strong(&store->publisher, &other, me)) {
            return 0;
        }
        if (clock_mono_ns() > deadline) {
            return -EBUSY;
        }
        sched_yield();
    }
}

// Sorted in, so that a decision finds a key's own limit by bisection.
static void put_overrides(const uint8_t hash_key[SEGMENT_KEY_BYTES],
                          const struct limit_policy_set *set, struct policy_book *book)
{
    for (uint32_t i = 0; i < set->n_overrides; i++) {
        const struct limit_override *from = &set->overrides[i];
        const struct limit_policy *policy = &set->policies[from->policy];
        struct limit_facts facts;
        limit_key_facts(&from->key, &facts);
        struct policy_override override = {.policy = from->policy,
                                           .limit = from->limit,
                                           .until_ns = from->until_ns,
                                           .limit_after = from->limit_after,
                                           .hash =
                                               key_hash(hash_key, &facts, from->key.parts, policy)};
        uint32_t at = book->n_overrides++;
        while (at > 0 && policy_override_compare(&book->overrides[at - 1], override.policy,
                                                 override.hash) > 0) {
            book->overrides[at] = book->overrides[at - 1];
            at--;
        }
        book->overrides[at] = override;
    }
}

// What the ranges of new policies held had the meaning of other policies, and nobody decides by
// those any more. The first policies find a table of zeroes.
static void clear_new(const struct policy_book *current, const struct policy_book *next,
                      struct cell *table)
{
    for (uint32_t i = 0; i < next->n && current->generation > 0; i++) {
        const struct limit_policy *policy = &next->policies[i];
        bool is_new = !policy->unlimited;
        for (uint32_t j = 0; j < current->n && is_new; j++) {
            is_new = current->policies[j].identity != policy->identity;
        }
        uint32_t end = policy->overflow_cell + policy->n_overflow_cells;
        for (uint32_t cell = policy->first_cell; is_new && cell < end; cell++) {
            cell_clear(&table[cell]);
        }
    }
}

static int publish_as_publisher(struct policy_store *store, const struct policy_actor *actor,
                                struct cell *table, uint64_t cells,
                                const uint8_t hash_key[SEGMENT_KEY_BYTES],
                                const struct limit_policy_set *set, enum limit_publish_rule rule)
{
    struct policy_book current, next;
    uint64_t active = atomic_load(&store->active);
    if (rule == LIMIT_PUBLISH_IF_ABSENT && active >> 1 != 0) {
        return -EALREADY;
    }
    int r = policy_store_read(store, cells, &current);
    if (r < 0) {
        return r;
    }
    r = layout_place(&current, set, cells, left_generation(store, actor), &next);
    if (r < 0) {
        return r;
    }
    put_overrides(hash_key, set, &next);
    clear_new(&current, &next, table);
    uint64_t book = (active & 1) ^ 1;
    copy_in(store->books[book], &next);
    return atomic_compare_exchange_strong(&store->active, &active, next.generation << 1 | book)
               ? 0
               : -EBUSY;
}

int policy_store_publish(struct policy_store *store, const struct policy_actor *actor,
                         struct cell *table, uint64_t cells,
                         const uint8_t hash_key[SEGMENT_KEY_BYTES],
                         const struct limit_policy_set *set, enum limit_publish_rule rule)
{
    if (rule == LIMIT_PUBLISH_IF_ABSENT && policy_store_generation(store) != 0) {
        return -EALREADY;
    }
    int r = become_publisher(store, actor);
    if (r < 0) {
        return r;
    }
    r = publish_as_publisher(store, actor, table, cells, hash_key, set, rule);
    uint64_t me = (uint64_t)(actor->slot + 1) << 32 | actor->generation;
    atomic_compare_exchange_strong(&store->publisher, &me, 0);
    return r;
}
