// The lanes section: of which lanes (operations that share an upstream and an ordering key) some
// wait in the outbox. A gateway that finds one waiting hands the next operation of that lane to the
// outbox as well, or it would overtake. Lanes share counters by hash: two of one counter only queue
// where they need not. Written by the breaker process, read by any. Thread: any.
#ifndef VALVECHAIN_SERVICE_LANES_H
#define VALVECHAIN_SERVICE_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/segment.h"

#define LANES_SECTION_NAME "lanes"
#define LANES_COUNTERS     4096

struct segment_section_spec lanes_section_spec(void);
int64_t lanes_hash(const char *upstream, const char *ordering_key); // never 0; the same everywhere
// All counters anew, each in one step: none seems empty meanwhile that is not.
void lanes_replace(struct segment *segment, const uint32_t counts[LANES_COUNTERS]);
static inline size_t lanes_counter(int64_t lane)
{
    return (size_t)((uint64_t)lane % LANES_COUNTERS);
}
void lanes_add(struct segment *segment, int64_t lane, int change);
bool lanes_is_waiting(const struct segment *segment, int64_t lane);

#endif
