// How fast bytes came lately: over a period that slides in RATE_STEPS steps. So a burst counts for
// one period and no longer, and who stops after it is found out a step later than a period. Pure.
// Thread: any.
#ifndef VALVECHAIN_API_FRONT_RATE_WINDOW_H
#define VALVECHAIN_API_FRONT_RATE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define RATE_STEPS 8

struct rate_window {
    uint64_t seen_ms;           // last look
    uint64_t step_since_ms;     // the step that runs
    uint64_t current;           // its bytes
    uint64_t bytes[RATE_STEPS]; // of complete steps
    unsigned n_steps, at;       // complete ones that are known; the place of the next
};

void rate_window_begin(struct rate_window *window, uint64_t now_ms);
void rate_window_add(struct rate_window *window, uint64_t bytes);
// A look at the clock, now and then. With `held` the time since the last look counts for nothing:
// the sender could not go on.
void rate_window_look(struct rate_window *window, uint64_t now_ms, uint64_t period_ms, bool held);
// Did less than `bytes_per_s` come in the complete steps? False while fewer than `min_steps` are
// known (1..RATE_STEPS), and for a rate of 0.
bool rate_window_is_below(const struct rate_window *window, uint64_t period_ms, unsigned min_steps,
                          uint64_t bytes_per_s);

#endif
