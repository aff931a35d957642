// When probes make an endpoint healthy or unhealthy, and when the next one is due. Pure.
// The first success makes an unknown endpoint healthy at once; unknown ones get calls anyway, so
// that only failures need their number. Thread: any.
#ifndef VALVECHAIN_BREAKER_PROBE_JUDGE_H
#define VALVECHAIN_BREAKER_PROBE_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "breaker/probed.h"

struct probe_judge { // zeroed: unknown
    enum probed_state state;
    uint32_t successes, failures; // in a row
};

// True: the state is another one now.
bool probe_judge(struct probe_judge *judge, uint32_t healthy_after, uint32_t unhealthy_after,
                 bool is_good);
// Within a tenth of the interval either way, so that probes of many endpoints spread.
uint64_t probe_wait_ms(uint64_t interval_ms, uint32_t random);

#endif
