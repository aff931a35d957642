// HPA v2's shaping of a wanted number: stabilization windows, then rate policies (horizontal.go).
// `base` is the number that stands. Pure. Thread: one per state.
#ifndef VALVECHAIN_ADVICE_SHAPE_H
#define VALVECHAIN_ADVICE_SHAPE_H

#include "advice/history.h"

// Between the least of the up window and the largest of the down window of raw recommendations,
// `wanted` among them.
uint32_t shape_stabilize(const struct advice_state *state, const struct advice_policy *policy,
                         uint64_t now_ns, uint32_t base, uint32_t wanted);
// The most and the least that the rate policies of that direction allow now; `base` when there is
// nothing left. Without rates: REPLICAS_MAX and 0.
uint32_t shape_up_limit(const struct advice_state *state, const struct advice_direction *up,
                        uint64_t now_ns, uint32_t base);
uint32_t shape_down_limit(const struct advice_state *state, const struct advice_direction *down,
                          uint64_t now_ns, uint32_t base);

#endif
