// The advice section: the advisor's last advice with its reasons, under a sequence number (odd
// while written). One writer (scaler-advisor), any reader. Times: CLOCK_MONOTONIC ns.
#ifndef VALVECHAIN_ADVICE_PUBLISHED_H
#define VALVECHAIN_ADVICE_PUBLISHED_H

#include "advice/advice.h"
#include "shm/segment.h"

#define ADVICE_SECTION_NAME "advice"

struct segment_section_spec advice_section_spec(void);
void advice_write(struct segment *segment, const struct advice *advice);
// False: none was ever written, or it could not be read in 100 tries (a writer died inside: the
// owner's next write repairs it).
bool advice_read(const struct segment *segment, struct advice *ret_advice);
// The same, but an advisor that has not decided for ADVICE_FRESH_S has nothing to say: old advice
// is not repeated as if it were news. What every consumer of the number reads by.
#define ADVICE_FRESH_S 60
bool advice_read_fresh(const struct segment *segment, uint64_t now_mono_ns,
                       struct advice *ret_advice);

#endif
