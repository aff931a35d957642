#include "rate_window.h"

static uint64_t step_ms(uint64_t period_ms)
{
    return period_ms > RATE_STEPS ? period_ms / RATE_STEPS : 1;
}

void rate_window_begin(struct rate_window *window, uint64_t now_ms)
{
    *window = (struct rate_window){.seen_ms = now_ms, .step_since_ms = now_ms};
}

void rate_window_add(struct rate_window *window, uint64_t bytes)
{
    window->current += bytes;
}

void rate_window_look(struct rate_window *window, uint64_t now_ms, uint64_t period_ms, bool held)
{
    if (held) {
        window->step_since_ms += now_ms - window->seen_ms;
    }
    window->seen_ms = now_ms;
    uint64_t step = step_ms(period_ms);
    // After a long time without a look, more than all steps need not be filled.
    for (unsigned i = 0; i < RATE_STEPS && now_ms - window->step_since_ms >= step; i++) {
        window->bytes[window->at] = window->current;
        window->at = (window->at + 1) % RATE_STEPS;
        window->n_steps += window->n_steps < RATE_STEPS ? 1 : 0;
        window->current = 0;
        window->step_since_ms += step;
    }
    if (now_ms - window->step_since_ms >= step) {
        window->step_since_ms = now_ms;
    }
}

bool rate_window_is_below(const struct rate_window *window, uint64_t period_ms, unsigned min_steps,
                          uint64_t bytes_per_s)
{
    if (window->n_steps < min_steps) {
        return false;
    }
    uint64_t bytes = 0;
    for (unsigned i = 0; i < window->n_steps; i++) { // before the ring is full it begins at 0
        bytes += window->bytes[i];
    }
    return bytes * 1000 < bytes_per_s * window->n_steps * step_ms(period_ms);
}
