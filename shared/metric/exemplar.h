// An exemplar in METRIC_EXEMPLAR_WORDS words of a slot: trace (2), value, time and check sum. One
// writer, no lock: a reader that meets a half-written one sees that the sum does not fit, and so
// does everybody after a writer's death in between. All words 0 is none. Pure. Thread: any.
#ifndef VALVECHAIN_METRIC_EXEMPLAR_H
#define VALVECHAIN_METRIC_EXEMPLAR_H

#include "metric/metric.h"

// Where a bucket's exemplar lies, counted from the histogram's first word.
static inline uint32_t exemplar_word(uint32_t n_bounds, uint32_t bucket)
{
    return n_bounds + 2 + bucket * METRIC_EXEMPLAR_WORDS;
}
void exemplar_store(_Atomic uint64_t *words, const struct metric_exemplar *exemplar);
bool exemplar_load(const _Atomic uint64_t *words, struct metric_exemplar *ret_exemplar);

#endif
