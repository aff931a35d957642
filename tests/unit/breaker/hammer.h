// What the hammering tests share: calls at random through breaker 0, and the check, made with every
// grant, that neither capacity nor probes are ever exceeded. The tallies are single words with a
// field for each caller, so that every look at them is a true snapshot.
#ifndef VALVECHAIN_TESTS_HAMMER_H
#define VALVECHAIN_TESTS_HAMMER_H

#include "breaker/tag.h"
#include "breaker_fixture.h"

#define HAMMERS     4
#define CAPACITY    5
#define PROBES      2
#define PERMITS_MAX 3 // of one caller at a time

struct tally {
    _Atomic uint64_t held;                      // 16 bits a caller
    _Atomic uint32_t doomed;                    // bit a caller: about to be killed, counts no more
    _Atomic uint32_t births;                    // changes before `doomed` loses a bit
    _Atomic uint64_t operations[HAMMERS];       // progress
    _Atomic uint64_t grants, probes, refusals;  // what was seen at all
    _Atomic uint64_t probing[GENERATION_COUNT]; // probes out of each generation, 16 bits a caller
};

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, "\n");                                                                 \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 33;
}

static inline struct breaker_definition hammer_definition(void)
{
    struct breaker_definition definition = definition_named("hammered");
    definition.reset_timeout_ns = MS / 2;
    definition.reset_timeout_max_ns = 2 * MS;
    definition.probe_lease_ns = 30 * MS;
    definition.error_threshold_percent = 25;
    definition.rolling_timeout_ns = 100 * MS;
    definition.volume_threshold = 8;
    definition.probes = PROBES;
    definition.capacity = CAPACITY;
    return definition;
}

// Adds one to the caller's field; returns the sum of all callers who are not doomed. 0 when one was
// born in between: the snapshot may show what its predecessor left.
static inline uint64_t tally_add(struct tally *tally, _Atomic uint64_t *word, int who)
{
    uint32_t births = atomic_load(&tally->births);
    uint64_t now = atomic_fetch_add(word, UINT64_C(1) << 16 * who) + (UINT64_C(1) << 16 * who);
    uint32_t doomed = atomic_load(&tally->doomed);
    uint64_t sum = 0;
    for (int i = 0; i < HAMMERS; i++)
        if (!(doomed >> i & 1))
            sum += now >> 16 * i & 0xffff;
    return atomic_load(&tally->births) == births ? sum : 0;
}

static inline bool hammer_acquire(struct process *process, struct tally *tally, int who,
                                  struct breaker_permit *permit)
{
    uint64_t now_ns = clock_mono_ns();
    enum breaker_grant grant = breaker_acquire(process->view, 0, now_ns, permit, NULL);
    if (grant > BREAKER_GRANTED_PROBE) {
        atomic_fetch_add(&tally->refusals, 1);
        return false;
    }
    uint64_t held = tally_add(tally, &tally->held, who);
    CHECK(held <= CAPACITY, "%llu calls, capacity %d", (unsigned long long)held, CAPACITY);
    atomic_fetch_add(grant == BREAKER_GRANTED ? &tally->grants : &tally->probes, 1);
    if (grant == BREAKER_GRANTED)
        return true;
    uint64_t out = tally_add(tally, &tally->probing[permit->generation], who);
    CHECK(out <= PROBES, "%llu probes, permitted %d", (unsigned long long)out, PROBES);
    return true;
}

static inline void hammer_report(struct process *process, struct tally *tally, int who,
                                 struct breaker_permit *permit, uint64_t random)
{
    if (permit->probe)
        atomic_fetch_sub(&tally->probing[permit->generation], UINT64_C(1) << 16 * who);
    atomic_fetch_sub(&tally->held, UINT64_C(1) << 16 * who);
    uint64_t now_ns = clock_mono_ns();
    // By turns: closed and capacity is fought for, or opening and closing all the time.
    bool is_calm = atomic_load(&tally->grants) / 512 % 2 == 0;
    static const enum breaker_outcome outcomes[8] = {
        BREAKER_SUCCESS, BREAKER_SUCCESS, BREAKER_SUCCESS, BREAKER_FAILURE,
        BREAKER_FAILURE, BREAKER_TIMEOUT, BREAKER_TIMEOUT, BREAKER_IGNORED};
    breaker_report(process->view, permit, is_calm ? BREAKER_SUCCESS : outcomes[random % 8], now_ns);
}

// One to three calls at a time, held for up to some microseconds. False: all were refused.
static inline bool hammer_once(struct process *process, struct tally *tally, int who,
                               uint64_t *seed)
{
    struct breaker_permit permits[PERMITS_MAX];
    int n = 0, wanted = 1 + (int)(random_next(seed) % PERMITS_MAX);
    while (n < wanted && hammer_acquire(process, tally, who, &permits[n]))
        n++;
    if (n == 0)
        return false;
    uint64_t until_ns = clock_mono_ns() + random_next(seed) % 500;
    while (clock_mono_ns() < until_ns)
        continue;
    while (n > 0)
        hammer_report(process, tally, who, &permits[--n], random_next(seed));
    atomic_fetch_add(&tally->operations[who], 1);
    return true;
}

// After the storm: whatever was held is back, and the breaker finds its way to closed.
static inline void hammer_check_rest(struct process *owner)
{
    uint64_t deadline_ns = clock_mono_ns() + 20 * S;
    breaker_reclaim(owner->view, clock_mono_ns());
    while (state_of(owner, clock_mono_ns()) != BREAKER_CLOSED) {
        CHECK(clock_mono_ns() < deadline_ns, "the breaker is stuck");
        breaker_reclaim(owner->view, clock_mono_ns());
        call(owner, BREAKER_SUCCESS, clock_mono_ns());
    }
    struct breaker_status status = status_of(owner, 0, clock_mono_ns());
    CHECK(status.in_flight == 0, "%u calls did not come back", status.in_flight);
    CHECK(status.probes_out == 0, "%u probes did not come back", status.probes_out);
    struct breaker_permit permits[CAPACITY + 1];
    for (int i = 0; i <= CAPACITY; i++) {
        enum breaker_grant grant =
            breaker_acquire(owner->view, 0, clock_mono_ns(), &permits[i], NULL);
        CHECK((grant == BREAKER_GRANTED) == (i < CAPACITY), "call %d of %d: grant %d", i + 1,
              CAPACITY, grant);
    }
}

#endif
