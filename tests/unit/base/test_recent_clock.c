#include <criterion/criterion.h>

#include "base/recent_clock.h"

Test(recent_clock, stands_only_while_little_time_has_passed)
{
    if (!recent_clock_is_sound()) {
        cr_skip_test("no counter to trust on this machine");
    }
    for (int i = 0; i < 1000; i++) {
        uint64_t ticks = recent_ticks(), begin_ns = clock_mono_ns(), reached_ns = begin_ns;
        uint64_t deadline_ns = begin_ns + 10 * NS_PER_S, stood = 0;
        for (;;) { // the clock is read first: it is the counter that must not be behind
            uint64_t now_ns = clock_mono_ns();
            if (!recent_clock_stands(ticks)) {
                break;
            }
            reached_ns = now_ns;
            stood++;
            cr_assert_lt(now_ns, deadline_ns, "it stands for ever");
        }
        cr_assert_lt(reached_ns - begin_ns, RECENT_LAG_NS, "it stood too long");
        cr_assert(stood > 0 || clock_mono_ns() - begin_ns > NS_PER_US, "it never stands");
    }
}
