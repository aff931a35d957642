#include "advice/published.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/sequence.h"

#define ADVICE_WORDS (sizeof(struct advice) / sizeof(uint64_t))

struct advice_section {
    _Atomic uint64_t sequence;
    _Atomic uint64_t words[ADVICE_WORDS];
};
_Static_assert(sizeof(struct advice) % sizeof(uint64_t) == 0, "copied word by word");
_Static_assert(sizeof(struct advice_signal) == 208 && sizeof(struct advice_clamp) == 136 &&
                   sizeof(struct advice) == 4352,
               "the layout of the segment");

struct segment_section_spec advice_section_spec(void)
{
    const size_t layout[] = {sizeof(struct advice_section),
                             offsetof(struct advice_section, words),
                             offsetof(struct advice, advised),
                             offsetof(struct advice, priority),
                             offsetof(struct advice, reason),
                             offsetof(struct advice, signals),
                             offsetof(struct advice, clamps),
                             offsetof(struct advice_signal, value),
                             offsetof(struct advice_signal, reason),
                             offsetof(struct advice_signal, action),
                             sizeof(struct advice_clamp)};

    return (struct segment_section_spec){
        .name = ADVICE_SECTION_NAME,
        .bytes = sizeof(struct advice_section),
        .layout_hash = segment_layout_hash(layout, sizeof(layout) / sizeof(layout[0]))};
}

void advice_write(struct segment *segment, const struct advice *advice)
{
    struct advice_section *section = segment_section(segment, ADVICE_SECTION_NAME, NULL);

    ASSERT(section);
    sequence_write(&section->sequence, section->words, advice, sizeof(*advice));
}

// The segment is not trusted: counts within bounds, texts ended, actions known.
static void advice_sanitize(struct advice *advice)
{
    if (advice->action > ADVICE_HOLD)
        advice->action = ADVICE_HOLD;
    if (advice->n_signals > ADVICE_SIGNALS_MAX)
        advice->n_signals = ADVICE_SIGNALS_MAX;
    if (advice->n_clamps > ADVICE_CLAMPS_MAX)
        advice->n_clamps = ADVICE_CLAMPS_MAX;
    advice->priority[sizeof(advice->priority) - 1] = '\0';
    advice->reason[sizeof(advice->reason) - 1] = '\0';
    for (uint32_t i = 0; i < advice->n_signals; i++) {
        struct advice_signal *signal = &advice->signals[i];

        signal->signal[sizeof(signal->signal) - 1] = '\0';
        signal->reason[sizeof(signal->reason) - 1] = '\0';
        if (signal->action > ADVICE_HOLD)
            signal->action = ADVICE_HOLD;
    }
    for (uint32_t i = 0; i < advice->n_clamps; i++) {
        advice->clamps[i].rule[sizeof(advice->clamps[i].rule) - 1] = '\0';
        advice->clamps[i].reason[sizeof(advice->clamps[i].reason) - 1] = '\0';
    }
}

bool advice_read(const struct segment *segment, struct advice *ret_advice)
{
    const struct advice_section *section = segment_section(segment, ADVICE_SECTION_NAME, NULL);
    struct advice advice;

    if (!section || !sequence_read(&section->sequence, section->words, &advice, sizeof(advice)))
        return false;
    advice_sanitize(&advice);
    *ret_advice = advice;
    return true;
}

bool advice_read_fresh(const struct segment *segment, uint64_t now_mono_ns,
                       struct advice *ret_advice)
{
    struct advice advice;

    // It may have been decided between the reading of the clock and this one.
    if (!advice_read(segment, &advice) ||
        (now_mono_ns > advice.decided_ns &&
         now_mono_ns - advice.decided_ns > ADVICE_FRESH_S * NS_PER_S))
        return false;
    *ret_advice = advice;
    return true;
}
