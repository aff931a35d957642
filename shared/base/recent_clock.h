// Whether little time has passed since a clock reading, for a third of what another reading costs:
// the processor's time stamp counter, without the fence and the scaling. It is asked for an upper
// bound only, never for the time.
//
// Trusted where the processor promises that the counter runs at one rate in all states (which a
// hypervisor passes on only if it does) and the kernel has it for its clock; elsewhere no time is
// little. Thread: any.
#ifndef VALVECHAIN_BASE_RECENT_CLOCK_H
#define VALVECHAIN_BASE_RECENT_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#ifdef __x86_64__
#include <x86intrin.h>
#endif

// Half a million ticks are 0.5 ms of the slowest counter there is (1 GHz). An instruction that runs
// a little early, before what stands before it in the program, changes nothing at this size.
#define RECENT_TICKS  (UINT64_C(1) << 19)
#define RECENT_LAG_NS (2 * NS_PER_MS)

bool recent_clock_is_sound(void); // asks the processor and the kernel; keep the answer

// To be noted before the clock is read.
static inline uint64_t recent_ticks(void)
{
#ifdef __x86_64__
    return __rdtsc();
#else
    return 0;
#endif
}
// Have less than RECENT_LAG_NS passed since then? Only where the clock is sound.
static inline bool recent_clock_stands(uint64_t ticks)
{
    return recent_ticks() - ticks < RECENT_TICKS;
}

#endif
