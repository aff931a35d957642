#include "breaker/state.h"

#include "breaker/tag.h"

#define OUT_ONE       (UINT64_C(1) << 28)
#define SUCCEEDED_ONE (UINT64_C(1) << 36)
#define FAILED_ONE    (UINT64_C(1) << 44)
#define CONTINUED     (UINT64_C(1) << 52)

static uint64_t pack(enum breaker_state state, uint32_t generation, uint32_t reopened,
                     uint64_t rest)
{
    return (uint64_t)state | (uint64_t)(generation & GENERATION_MASK) << 2 |
           (uint64_t)reopened << 22 | rest << 28;
}

static uint64_t pack_half_open(uint32_t generation, uint32_t reopened, uint32_t out,
                               uint32_t succeeded, uint32_t failed)
{
    return pack(BREAKER_HALF_OPEN, generation, reopened,
                (uint64_t)out | (uint64_t)succeeded << 8 | (uint64_t)failed << 16);
}

// splitmix64's finalizer: the jitter must differ between generations, not be unpredictable.
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t state_open_for_ns(const struct breaker_definition *definition, uint32_t reopened,
                           uint64_t random)
{
    uint64_t open_ns = definition->reset_timeout_ns;
    uint64_t max_ns = definition->reset_timeout_max_ns;
    if (open_ns >= max_ns)
        return max_ns;
    for (uint32_t i = 0; i < reopened && open_ns < max_ns; i++)
        open_ns = open_ns / 100 * definition->reset_backoff_percent +
                  open_ns % 100 * definition->reset_backoff_percent / 100;
    if (reopened > 0)
        open_ns += open_ns / 10 * (random % 1001) / 1000;
    return open_ns < max_ns ? open_ns : max_ns;
}

static uint64_t open_word(uint64_t word, uint32_t reopened,
                          const struct breaker_definition *definition, uint64_t seed,
                          uint64_t now_ns)
{
    uint32_t generation = generation_next(state_generation(word));
    uint64_t open_ns = state_open_for_ns(definition, reopened, mix(seed ^ generation));
    uint64_t deadline_ms = (now_ns + open_ns + NS_PER_MS - 1) / NS_PER_MS; // never early
    return pack(BREAKER_OPEN, generation, reopened, deadline_ms & STATE_DEADLINE_MASK);
}

uint64_t state_deadline_ns(uint64_t word, uint64_t now_ns)
{
    if (state_kind(word) != BREAKER_OPEN)
        return 0;
    uint64_t now_ms = now_ns / NS_PER_MS;
    uint64_t ahead = ((word >> 28) - now_ms) & STATE_DEADLINE_MASK;
    if (ahead <= STATE_DEADLINE_AHEAD_MAX_MS)
        return (now_ms + ahead) * NS_PER_MS;
    uint64_t behind = (STATE_DEADLINE_MASK + 1) - ahead;
    return behind < now_ms ? (now_ms - behind) * NS_PER_MS : 0;
}

uint64_t state_with_waiting(uint64_t word, bool waiting)
{
    return pack(BREAKER_CLOSED, state_generation(word), 0, waiting ? 1 : 0);
}

uint64_t state_trip(uint64_t word, const struct breaker_definition *definition, uint64_t seed,
                    uint64_t now_ns)
{
    return open_word(word, 0, definition, seed, now_ns);
}

uint64_t state_first_probe(uint64_t word)
{
    return pack_half_open(generation_next(state_generation(word)), state_reopened(word), 1, 0, 0);
}

bool state_has_permit(uint64_t word, const struct breaker_definition *definition)
{
    return state_probes_out(word) + state_probes_succeeded(word) + state_probes_failed(word) <
           definition->probes;
}

uint64_t state_next_probe(uint64_t word)
{
    return word + OUT_ONE;
}

uint64_t state_probes_back(uint64_t word, uint32_t n)
{
    uint32_t out = state_probes_out(word);
    return word - (n < out ? n : out) * OUT_ONE;
}

uint64_t state_settle(uint64_t word, const struct breaker_definition *definition, uint64_t seed,
                      uint64_t now_ns)
{
    uint32_t succeeded = state_probes_succeeded(word), failed = state_probes_failed(word);
    uint32_t judged = succeeded + failed;
    uint32_t of = judged > definition->probes ? judged : definition->probes;
    if (failed > 0 && failed * 100 >= definition->error_threshold_percent * of) {
        uint32_t reopened = state_reopened(word);
        reopened += reopened < STATE_REOPENED_MAX;
        return open_word(word, reopened, definition, seed, now_ns);
    }
    if (judged >= definition->probes)
        return pack(BREAKER_CLOSED, generation_next(state_generation(word)), 0, 0);
    return word;
}

static bool has_room(uint64_t word)
{
    return state_probes_succeeded(word) < 255 && state_probes_failed(word) < 255;
}

uint64_t state_probe_result(uint64_t word, bool success,
                            const struct breaker_definition *definition, uint64_t seed,
                            uint64_t now_ns)
{
    if (state_probes_out(word) == 0 || !has_room(word)) // damaged: no such result is awaited
        return word;
    word -= OUT_ONE;
    word += success ? SUCCEEDED_ONE : FAILED_ONE;
    return state_settle(word, definition, seed, now_ns);
}

uint64_t state_expire_probes(uint64_t word, const struct breaker_definition *definition,
                             uint64_t seed, uint64_t now_ns)
{
    uint32_t succeeded = state_probes_succeeded(word);
    uint32_t failed = state_probes_failed(word) + state_probes_out(word);
    failed = failed < 255 ? failed : 255;
    uint32_t generation = state_generation(word), reopened = state_reopened(word);
    word = pack_half_open(generation, reopened, 0, succeeded, failed);
    uint64_t settled = state_settle(word, definition, seed, now_ns);
    if (settled != word)
        return settled;
    return pack_half_open(generation_next(generation), reopened, 0, succeeded, failed) | CONTINUED;
}

enum breaker_state state_came_from(uint64_t word)
{
    if (state_kind(word) == BREAKER_OPEN)
        return state_reopened(word) > 0 ? BREAKER_HALF_OPEN : BREAKER_CLOSED;
    if (state_kind(word) == BREAKER_HALF_OPEN && !(word & CONTINUED))
        return BREAKER_OPEN;
    return BREAKER_HALF_OPEN;
}

uint64_t state_repair(uint64_t word)
{
    return pack(BREAKER_CLOSED, generation_next(state_generation(word)), 0, 0);
}
