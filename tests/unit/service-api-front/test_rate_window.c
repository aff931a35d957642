#include <criterion/criterion.h>

#include "rate_window.h"

#define PERIOD_MS 8000 // steps of a second

// `bytes` in each of `seconds` seconds, looked at ten times a second.
static void come(struct rate_window *window, uint64_t *now_ms, unsigned seconds, uint64_t bytes)
{
    for (unsigned i = 0; i < seconds; i++) {
        rate_window_add(window, bytes);
        for (unsigned k = 0; k < 10; k++) {
            *now_ms += 100;
            rate_window_look(window, *now_ms, PERIOD_MS, false);
        }
    }
}

Test(rate_window, judges_complete_steps_only)
{
    struct rate_window window;
    uint64_t now_ms = 5000;
    rate_window_begin(&window, now_ms);
    cr_assert_not(rate_window_is_below(&window, PERIOD_MS, 1, 1));
    rate_window_look(&window, now_ms + 999, PERIOD_MS, false);
    cr_assert_not(rate_window_is_below(&window, PERIOD_MS, 1, 1), "the first second is not over");
    rate_window_look(&window, now_ms + 1000, PERIOD_MS, false);
    cr_assert(rate_window_is_below(&window, PERIOD_MS, 1, 1));
    cr_assert_not(rate_window_is_below(&window, PERIOD_MS, 2, 1));
    cr_assert_not(rate_window_is_below(&window, PERIOD_MS, 1, 0), "no bound");
}

Test(rate_window, a_steady_sender_is_judged_by_its_rate)
{
    struct rate_window window;
    uint64_t now_ms = 0;
    rate_window_begin(&window, now_ms);
    come(&window, &now_ms, 20, 500);
    cr_assert_not(rate_window_is_below(&window, PERIOD_MS, RATE_STEPS, 500));
    cr_assert(rate_window_is_below(&window, PERIOD_MS, RATE_STEPS, 501));
}

Test(rate_window, a_burst_counts_for_one_period_and_no_longer)
{
    struct rate_window window;
    uint64_t now_ms = 0;
    rate_window_begin(&window, now_ms);
    come(&window, &now_ms, 1, 1000000);
    for (unsigned second = 1; second < RATE_STEPS; second++) {
        cr_assert_not(rate_window_is_below(&window, PERIOD_MS, 1, 100), "second %u", second);
        come(&window, &now_ms, 1, 0);
    }
    cr_assert_not(rate_window_is_below(&window, PERIOD_MS, RATE_STEPS, 100));
    come(&window, &now_ms, 1, 10);
    cr_assert(rate_window_is_below(&window, PERIOD_MS, RATE_STEPS, 100));
}

Test(rate_window, time_in_which_the_sender_was_held_counts_for_nothing)
{
    struct rate_window window;
    uint64_t now_ms = 0;
    rate_window_begin(&window, now_ms);
    come(&window, &now_ms, RATE_STEPS, 500);
    for (unsigned i = 0; i < 1000; i++) {
        now_ms += 100;
        rate_window_look(&window, now_ms, PERIOD_MS, true);
    }
    cr_assert_not(rate_window_is_below(&window, PERIOD_MS, RATE_STEPS, 500));
    come(&window, &now_ms, 1, 0);
    cr_assert(rate_window_is_below(&window, PERIOD_MS, RATE_STEPS, 500), "and no credit either");
}

Test(rate_window, a_late_look_fills_what_it_missed)
{
    struct rate_window window;
    rate_window_begin(&window, 0);
    rate_window_add(&window, 4000);
    rate_window_look(&window, 4000, PERIOD_MS, false);
    cr_assert_not(rate_window_is_below(&window, PERIOD_MS, 4, 1000));
    cr_assert(rate_window_is_below(&window, PERIOD_MS, 4, 1001));
    rate_window_look(&window, 1000000, PERIOD_MS, false);
    cr_assert(rate_window_is_below(&window, PERIOD_MS, RATE_STEPS, 1));
}
