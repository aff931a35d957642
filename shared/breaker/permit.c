#include "breaker/permit.h"

#define TRIES 4 // of raising a share while others raise theirs

static struct breaker_line *line_of(const struct permit_pool *pool, uint32_t slot)
{
    return &pool->window->lines[slot][pool->breaker];
}

// Loaded anew for every sum: whoever attaches later raises later, and sees what we raised.
static uint32_t slots_of(const struct permit_pool *pool)
{
    uint64_t seen = atomic_load(pool->slots_seen);
    return seen < SLOT_COUNT ? (uint32_t)seen : SLOT_COUNT;
}

static uint32_t sum_shares(const struct permit_pool *pool)
{
    uint32_t sum = 0, n_slots = slots_of(pool);
    for (uint32_t slot = 0; slot < n_slots; slot++)
        sum += share_share(atomic_load(&line_of(pool, slot)->share));
    return sum;
}

static void raise_own(const struct permit_pool *pool, uint32_t by)
{
    _Atomic uint64_t *own = &line_of(pool, pool->slot)->share;
    uint64_t word = atomic_load(own), raised;
    do {
        uint32_t share = share_share(word) + by;
        uint32_t tag = share_tag_is_of(share_tag(word), pool->slot_generation)
                           ? share_tag(word)
                           : share_tag_of(pool->slot_generation);
        raised = share_pack(tag, share < 0xffff ? share : 0xffff, share_used(word));
    } while (!atomic_compare_exchange_weak(own, &word, raised));
}

// Takes up to `by` of what is not in use; returns how much it was.
static uint32_t lower(_Atomic uint64_t *share, uint32_t by)
{
    uint64_t word = atomic_load(share);
    for (;;) {
        uint32_t used = share_used(word), owned = share_share(word);
        uint32_t unused = owned > used ? owned - used : 0;
        uint32_t taken = by < unused ? by : unused;
        if (taken == 0)
            return 0;
        uint64_t lowered = share_pack(share_tag(word), owned - taken, used);
        if (atomic_compare_exchange_weak(share, &word, lowered))
            return taken;
    }
}

// Half of what the first process with unused share does not use: not one by one, lest two busy
// processes play ping-pong, and not all, lest it must come back for the next call.
static uint32_t take_from_others(const struct permit_pool *pool)
{
    uint32_t n_slots = slots_of(pool);
    for (uint32_t i = 1; i < n_slots; i++) {
        uint32_t slot = (pool->slot + i) % n_slots;
        _Atomic uint64_t *share = &line_of(pool, slot)->share;
        uint64_t word = atomic_load(share);
        if (share_share(word) <= share_used(word))
            continue;
        uint32_t taken = lower(share, (share_share(word) - share_used(word) + 1) / 2);
        if (taken > 0)
            return taken;
    }
    return 0;
}

static bool take_more(const struct permit_pool *pool, uint32_t capacity, uint32_t *ret_tag)
{
    _Atomic uint64_t *own = &line_of(pool, pool->slot)->share;
    for (int i = 0; i < TRIES; i++) {
        uint32_t sum = sum_shares(pool), want;
        if (sum < capacity)
            want = 1 + (capacity - sum) / 4;
        else if ((want = take_from_others(pool)) == 0)
            return false;
        raise_own(pool, want);
        sum = sum_shares(pool); // after the raise: of two who raise at once, one sees both
        if (sum > capacity)
            lower(own, sum - capacity);
        if (permit_use_own(own, ret_tag))
            return true;
    }
    return false;
}

bool permit_take(const struct permit_pool *pool, uint32_t capacity, uint32_t *ret_tag)
{
    return permit_use_own(&line_of(pool, pool->slot)->share, ret_tag) ||
           take_more(pool, capacity, ret_tag);
}

void permit_trim(const struct permit_pool *pool)
{
    lower(&line_of(pool, pool->slot)->share, UINT32_MAX);
}

uint32_t permit_in_flight(const struct permit_pool *pool)
{
    uint32_t sum = 0, n_slots = slots_of(pool);
    for (uint32_t slot = 0; slot < n_slots; slot++)
        sum += share_used(atomic_load(&line_of(pool, slot)->share));
    return sum;
}

void permit_note_probe(const struct permit_pool *pool, uint32_t generation)
{
    _Atomic uint64_t *own = &line_of(pool, pool->slot)->probes;
    uint64_t word = atomic_load(own);
    uint32_t out = probes_generation(word) == generation ? probes_out(word) : 0;
    atomic_store(own, probes_pack(pool->slot_generation, generation, out + 1));
}

void permit_strike_probe(const struct permit_pool *pool, uint32_t generation)
{
    _Atomic uint64_t *own = &line_of(pool, pool->slot)->probes;
    uint64_t word = atomic_load(own);
    if (probes_generation(word) == generation && probes_out(word) > 0)
        atomic_store(own, probes_pack(pool->slot_generation, generation, probes_out(word) - 1));
}
