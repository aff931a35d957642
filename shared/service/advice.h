// The advice section: the advisor's last advice with its reasons, under a sequence number (odd
// while written). One writer (scaler-advisor), any reader. Times: CLOCK_MONOTONIC ns.
#ifndef VALVECHAIN_SERVICE_ADVICE_H
#define VALVECHAIN_SERVICE_ADVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/segment.h"

#define ADVICE_SECTION_NAME "advice"
#define ADVICE_REASON_MAX   160
#define ADVICE_SIGNALS_MAX  8
#define ADVICE_CLAMPS_MAX   8

enum advice_action { ADVICE_NONE, ADVICE_SCALE_UP, ADVICE_SCALE_DOWN, ADVICE_HOLD };

struct advice_signal {
    char signal[16]; // "cpu", "rps"
    double value, threshold;
    uint32_t proposed, reserved;
    char reason[ADVICE_REASON_MAX]; // one sentence: "RPS (45) exceeds scale-up threshold (40)"
    uint32_t action;                // enum advice_action
    uint32_t reserved2;
};
struct advice_clamp {
    char rule[24]; // "max_instances", "cooldown"
    uint32_t before, after;
};
struct advice {
    uint64_t decided_ns;
    // The advisor's memory, kept also while the advice shown is not valid, so that the cooldown
    // outlives restarts: the number last advised (0: never) and when it changed.
    uint64_t changed_ns;
    uint32_t advised, reserved;
    uint32_t action, current, desired, valid;
    uint32_t n_signals, n_clamps;
    char priority[8]; // high, medium, low
    char reason[ADVICE_REASON_MAX];
    struct advice_signal signals[ADVICE_SIGNALS_MAX];
    struct advice_clamp clamps[ADVICE_CLAMPS_MAX];
};

struct segment_section_spec advice_section_spec(void);
void advice_write(struct segment *segment, const struct advice *advice);
// False: none was ever written, or it could not be read in 100 tries (a writer died inside: the
// owner's next write repairs it).
bool advice_read(const struct segment *segment, struct advice *ret_advice);
extern const char *const advice_action_names[4]; // "none", "scale_up", "scale_down", "hold"

#endif
