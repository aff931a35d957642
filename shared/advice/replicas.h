// HPA v2's replica calculator (Kubernetes 1.33, replica_calculator.go) over sums instead of pods:
// the same numbers, as far as they do not depend on which pod is which. Quantities are counted in
// thousandths, the finest an HPA reads, and divided as it does. Pure. Thread: any.
#ifndef VALVECHAIN_ADVICE_REPLICAS_H
#define VALVECHAIN_ADVICE_REPLICAS_H

#include <stdbool.h>
#include <stdint.h>

#include "advice/history.h"

#define REPLICAS_MAX 2147483647U // an HPA's int32; more is capped, never wrapped

struct replicas_asked {
    enum advice_form form;
    double target; // above 0
    double tolerance_up, tolerance_down;
    uint32_t current, ready; // ready: for VALUE alone, the others know it by `measured`
};

// False: nothing measured, or a utilization without capacity. *ret_value: the usage as the HPA
// reports it (percent, average, value).
bool replicas_wanted(const struct replicas_asked *asked, const struct advice_seen_usage *usage,
                     uint32_t *ret_replicas, double *ret_value);
uint32_t replicas_ceil(double number); // rounded up, within 0..REPLICAS_MAX; no number: 0

#endif
