#include "breaker/state.h"

#include "breaker/tag.h"

#define OUT_ONE       (UINT64_C(1) << 28)
#define SUCCEEDED_ONE (UINT64_C(1) << 36)
#define FAILED_ONE    (UINT64_C(1) << 44)
#define SLOW_ONE      (UINT64_C(1) << 52)
#define WAITING       (UINT64_C(1) << 28)
#define RAMPING       (UINT64_C(1) << 29)
#define FROM_HALF     UINT64_C(1) // of an open word's rest
#define ENDLESS       (UINT64_C(1) << 31)
#define WOULD_OPEN    (UINT64_C(1) << 35)
#define END_BITS      28
#define END_MASK      ((UINT64_C(1) << END_BITS) - 1)
#define END_UNIT_MS   256

static uint64_t pack(uint32_t kind, uint32_t generation, uint32_t reopened, uint64_t rest)
{
    return (uint64_t)kind | (uint64_t)(generation & GENERATION_MASK) << 2 |
           (uint64_t)reopened << 22 | rest << 28;
}

static uint64_t pack_half_open(uint32_t generation, uint32_t reopened, uint32_t out,
                               enum breaker_state from)
{
    return pack(BREAKER_HALF_OPEN, generation, reopened, (uint64_t)out | (uint64_t)from << 32);
}

static uint64_t pack_closed(uint64_t word, uint32_t reopened, bool ramps)
{
    return pack(BREAKER_CLOSED, generation_next(state_generation(word)), reopened,
                (uint64_t)ramps << 1 | (uint64_t)state_shown(word) << 2);
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
    uint64_t from = state_kind(word) == BREAKER_HALF_OPEN ? FROM_HALF : 0;
    uint32_t generation = generation_next(state_generation(word));
    uint64_t open_ns = state_open_for_ns(definition, reopened, mix(seed ^ generation));
    uint64_t deadline_ms = (now_ns + open_ns + NS_PER_MS - 1) / NS_PER_MS; // never early
    return pack(BREAKER_OPEN, generation, reopened,
                from | (deadline_ms & STATE_DEADLINE_MASK) << 1);
}

static uint64_t forced_end_ns(uint64_t word, uint64_t now_ns)
{
    uint64_t now = now_ns / NS_PER_MS / END_UNIT_MS;
    uint64_t ahead = ((word >> 36) - now) & END_MASK;
    if (ahead <= END_MASK / 2)
        return (now + ahead) * END_UNIT_MS * NS_PER_MS;
    uint64_t behind = END_MASK + 1 - ahead;
    return behind < now ? (now - behind) * END_UNIT_MS * NS_PER_MS : 1;
}

uint64_t state_deadline_ns(uint64_t word, uint64_t now_ns)
{
    if (state_kind(word) == STATE_FORCED)
        return state_is_damaged(word) || (word & ENDLESS) != 0 ? 0 : forced_end_ns(word, now_ns);
    if (state_kind(word) != BREAKER_OPEN)
        return 0;
    uint64_t now_ms = now_ns / NS_PER_MS;
    uint64_t ahead = ((word >> 29) - now_ms) & STATE_DEADLINE_MASK;
    if (ahead <= STATE_DEADLINE_AHEAD_MAX_MS)
        return (now_ms + ahead) * NS_PER_MS;
    uint64_t behind = (STATE_DEADLINE_MASK + 1) - ahead;
    return behind < now_ms ? (now_ms - behind) * NS_PER_MS : 0;
}

uint64_t state_open_longer(uint64_t word, uint64_t until_ns, uint64_t now_ns)
{
    if (state_kind(word) != BREAKER_OPEN || until_ns <= state_deadline_ns(word, now_ns))
        return word;
    uint64_t until_ms = (until_ns + NS_PER_MS - 1) / NS_PER_MS;
    return (word & ~(STATE_DEADLINE_MASK << 29)) | (until_ms & STATE_DEADLINE_MASK) << 29;
}

uint64_t state_with_waiting(uint64_t word, bool waiting)
{
    return waiting ? word | WAITING : word & ~WAITING;
}

uint64_t state_without_ramp(uint64_t word)
{
    return word & ~RAMPING;
}

uint64_t state_trip(uint64_t word, const struct breaker_definition *definition, uint64_t seed,
                    uint64_t held_ns, uint64_t now_ns)
{
    uint32_t reopened = state_reopened(word);
    while (reopened > 0) {
        uint64_t open_ns = state_open_for_ns(definition, reopened, 0);
        if (held_ns < open_ns)
            break;
        held_ns -= open_ns;
        reopened--;
    }
    return open_word(word, reopened, definition, seed, now_ns);
}

uint64_t state_force(uint64_t word, enum breaker_state state, uint64_t until_ns)
{
    uint64_t unit_ns = END_UNIT_MS * NS_PER_MS;
    uint64_t end = (until_ns / unit_ns + (until_ns % unit_ns != 0)) & END_MASK;
    uint64_t endless = until_ns == 0 ? ENDLESS >> 28 : 0;
    return pack(STATE_FORCED, generation_next(state_generation(word)), 0,
                (uint64_t)state | endless | (uint64_t)state_shown(word) << 4 | end << 8);
}

bool state_is_forced_over(uint64_t word, uint64_t now_ns)
{
    return state_kind(word) == STATE_FORCED && !state_is_damaged(word) && (word & ENDLESS) == 0 &&
           forced_end_ns(word, now_ns) <= now_ns;
}

uint64_t state_unforce(uint64_t word)
{
    if (state_shown(word) != BREAKER_FORCED_OPEN)
        return state_reset(word);
    return pack_half_open(generation_next(state_generation(word)), 0, 0, BREAKER_FORCED_OPEN);
}

uint64_t state_reset(uint64_t word)
{
    return pack_closed(word, 0, false);
}

uint64_t state_with_would_open(uint64_t word)
{
    return word | WOULD_OPEN;
}

uint64_t state_first_probe(uint64_t word)
{
    return pack_half_open(generation_next(state_generation(word)), state_reopened(word), 1,
                          BREAKER_OPEN);
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

bool state_share_opens(uint64_t bad, uint64_t all, uint32_t threshold_percent,
                       const struct breaker_definition *definition)
{
    if (bad == 0 || threshold_percent == 0)
        return false;
    uint64_t at = threshold_percent * all;
    return definition->trip_exceeds ? bad * 100 > at : bad * 100 >= at;
}

uint64_t state_settle(uint64_t word, const struct breaker_definition *definition, uint64_t seed,
                      uint64_t now_ns)
{
    uint32_t succeeded = state_probes_succeeded(word), failed = state_probes_failed(word);
    uint32_t judged = succeeded + failed, reopened = state_reopened(word);
    uint32_t of = judged > definition->probes ? judged : definition->probes;
    // No success at all is no recovery, even where a threshold of 100 % must be exceeded.
    bool is_bad = state_share_opens(failed, of, definition->error_threshold_percent, definition) ||
                  state_share_opens(state_probes_slow(word), of, definition->slow_threshold_percent,
                                    definition) ||
                  (judged >= definition->probes && succeeded == 0 && failed > 0);
    if (is_bad) {
        reopened += reopened < STATE_REOPENED_MAX;
        return open_word(word, reopened, definition, seed, now_ns);
    }
    if (judged >= definition->probes)
        return pack_closed(word, reopened, definition->ramp_ns > 0);
    return word;
}

static bool has_room(uint64_t word)
{
    return state_probes_succeeded(word) < 255 && state_probes_failed(word) < 255 &&
           state_probes_slow(word) < 255;
}

uint64_t state_probe_result(uint64_t word, bool success, bool slow,
                            const struct breaker_definition *definition, uint64_t seed,
                            uint64_t now_ns)
{
    if (state_probes_out(word) == 0 || !has_room(word)) // damaged: no such result is awaited
        return word;
    word -= OUT_ONE;
    word += success ? SUCCEEDED_ONE : FAILED_ONE;
    word += slow ? SLOW_ONE : 0;
    return state_settle(word, definition, seed, now_ns);
}

uint64_t state_expire_probes(uint64_t word, const struct breaker_definition *definition,
                             uint64_t seed, uint64_t now_ns)
{
    uint32_t failed = state_probes_failed(word) + state_probes_out(word);
    failed = failed < 255 ? failed : 255;
    uint64_t results = state_probes_succeeded(word) * SUCCEEDED_ONE + failed * FAILED_ONE +
                       state_probes_slow(word) * SLOW_ONE;
    uint32_t generation = state_generation(word), reopened = state_reopened(word);
    word = pack_half_open(generation, reopened, 0, BREAKER_HALF_OPEN) | results;
    uint64_t settled = state_settle(word, definition, seed, now_ns);
    if (settled != word)
        return settled;
    return pack_half_open(generation_next(generation), reopened, 0, BREAKER_HALF_OPEN) | results;
}

static enum breaker_state known_state(uint64_t bits)
{
    return bits < BREAKER_STATES ? (enum breaker_state)bits : BREAKER_CLOSED;
}

enum breaker_state state_came_from(uint64_t word)
{
    switch (state_kind(word)) {
    case BREAKER_CLOSED:
        return known_state(word >> 30 & 7);
    case BREAKER_OPEN:
        return word >> 28 & FROM_HALF ? BREAKER_HALF_OPEN : BREAKER_CLOSED;
    case BREAKER_HALF_OPEN:
        return known_state(word >> 60 & 7);
    default:
        return known_state(word >> 32 & 7);
    }
}
