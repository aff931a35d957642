// One advice: how many instances the load needs, and every step that led there. Plain data: it lies
// in the segment (advice/published.h), travels on the bus, and is what a simulation counts.
//
// The chain: each signal has a raw proposal and what is left of it after its veto; the largest of
// the latter is the start; each clamp takes the number before it to the one after it; the last is
// `desired`. advice_fold() does that sum anew; it equals `desired` for every advice.
#ifndef VALVECHAIN_ADVICE_ADVICE_H
#define VALVECHAIN_ADVICE_ADVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

#define ADVICE_REASON_MAX  160
#define ADVICE_SIGNALS_MAX 12
#define ADVICE_CLAMPS_MAX  12

// NONE: the number that is there is right; HOLD: it cannot be judged, so it stays.
enum advice_action { ADVICE_NONE, ADVICE_SCALE_UP, ADVICE_SCALE_DOWN, ADVICE_HOLD };

struct advice_signal {
    char signal[16];                // "cpu", "rps": SPEC's thresholds; "cpu_target", "burst", ...
    double value, threshold;        // the average that was judged, and what it was judged by
    uint32_t raw, proposed;         // instances, before and after a veto
    char reason[ADVICE_REASON_MAX]; // one sentence: "RPS (45) exceeds scale-up threshold (40)"
    uint32_t action;                // enum advice_action, of `proposed`
    uint32_t known;                 // 0: not measured; it then proposes what is there
};
struct advice_clamp {
    char rule[24]; // "max_instances", "cooldown", "stabilization_down", ...
    uint32_t before, after;
    char reason[104];
};
struct advice {
    uint64_t decided_ns; // of the clock that the decision was given
    uint64_t changed_ns; // when the advised number last changed; 0: never
    uint64_t sequence;   // of this decision; grows by one with each
    uint32_t action, current, desired;
    uint32_t valid;     // 0: blind; `desired` then is no advice, only what nobody should go below
    uint32_t panicking; // the burst path has the word
    uint32_t advised;   // the number that stands, also while not valid; 0: none yet
    uint32_t n_signals, n_clamps;
    char priority[8]; // high, medium, low
    char reason[ADVICE_REASON_MAX];
    struct advice_signal signals[ADVICE_SIGNALS_MAX];
    struct advice_clamp clamps[ADVICE_CLAMPS_MAX];
};

extern const char *const advice_action_names[4]; // "none", "scale_up", "scale_down", "hold"

// What the chain comes to; without any signal 0.
uint32_t advice_fold(const struct advice *advice);
// Appends the whole as one JSON object (docs/advice.md). `as_of` is the time of the decision in
// RFC 3339, for people; NULL leaves it out.
void advice_json(const struct advice *advice, const char *as_of, struct strbuf *out);
// Appends its members "signals" and "clamps" alone, for an object of somebody else's.
void advice_json_chain(const struct advice *advice, struct strbuf *out);
// Appends the chain in lines of text for people, without an end of line after the last.
void advice_text(const struct advice *advice, struct strbuf *out);

#endif
