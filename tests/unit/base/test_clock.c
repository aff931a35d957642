#include <criterion/criterion.h>

#include "base/clock.h"

Test(clock, counts_nanoseconds_of_the_system_clocks)
{
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    uint64_t mono_ns = clock_mono_ns();
    clock_gettime(CLOCK_MONOTONIC, &after);
    cr_assert_geq(mono_ns, (uint64_t)before.tv_sec * NS_PER_S + (uint64_t)before.tv_nsec);
    cr_assert_leq(mono_ns, (uint64_t)after.tv_sec * NS_PER_S + (uint64_t)after.tv_nsec);
    time_t now = time(NULL);
    cr_assert_leq((uint64_t)now, clock_wall_ns() / NS_PER_S);
    cr_assert_leq(clock_wall_ns() / NS_PER_S, (uint64_t)now + 60);
}
