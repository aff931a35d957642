// From what all hosts say to the sample that the advice is made of. Pure. Thread: any.
#ifndef VALVECHAIN_SCALER_ADVISOR_SAMPLING_H
#define VALVECHAIN_SCALER_ADVISOR_SAMPLING_H

#include "advice/advise.h"
#include "hosts.h"

// The target is the gateway's own instances. Those of silent hosts are there and not measured.
struct advice_sample sampling_of(const struct hosts_sum *sum, uint64_t now_ns, uint64_t step_ns);

#endif
