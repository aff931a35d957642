// The two clocks of the suite. Everything in the segment counts in monotonic nanoseconds, so that a
// wall-clock jump moves no limit and no breaker; wall time is for people and protocols only.
// Thread: any. Errors: none (clock_gettime cannot fail for these clocks).
#ifndef VALVECHAIN_BASE_CLOCK_H
#define VALVECHAIN_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US 1000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_S  1000000000ULL

static inline uint64_t clock_read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

// Nanoseconds of CLOCK_MONOTONIC; equal in all processes of one boot.
static inline uint64_t clock_mono_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

// Nanoseconds since 1970 UTC.
static inline uint64_t clock_wall_ns(void)
{
    return clock_read_ns(CLOCK_REALTIME);
}

#endif
