// The rolling window of outcomes: one line per process and breaker, written by its process alone,
// summed by whoever judges. Time moves it, no timer: a bucket's word says which interval it counts
// (epoch = now / bucket length), and what is of another epoch is empty. The line says whose
// buckets they are: a breaker's generation and the window's shape; a line of another tag is empty
// too, so that closing starts a new window by changing one number elsewhere. Thread: the process's
// one; sums from anywhere.
#ifndef VALVECHAIN_BREAKER_ROLLING_H
#define VALVECHAIN_BREAKER_ROLLING_H

#include "breaker/layout.h"

struct rolling_shape {
    uint64_t bucket_ns;
    uint32_t buckets; // 1 to BREAKER_BUCKETS_MAX
    uint64_t hash;    // of the two, for the tag
};
struct rolling_shape rolling_shape_of(const struct breaker_definition *definition);

// Where the writer is now; spares it a division per outcome. Zero: nowhere yet.
struct rolling_cursor {
    uint64_t tag, end_ns;
    uint32_t epoch, bucket;
};
// Adds one outcome to the process's own line; empties it first if it carries another tag.
void rolling_add(struct breaker_line *line, struct rolling_cursor *cursor,
                 const struct rolling_shape *shape, uint32_t generation,
                 enum breaker_outcome outcome, bool slow, uint64_t now_ns);

struct rolling_counts {
    uint64_t n[BREAKER_KINDS]; // by enum breaker_outcome, and BREAKER_SLOW
};
// Adds what the line has counted in the window that ends now. Between N-1 and N intervals long.
void rolling_sum(const struct breaker_line *line, const struct rolling_shape *shape,
                 uint32_t generation, uint64_t now_ns, struct rolling_counts *counts);

// What the counts and the failures in a row say: any one rule trips, the first is named. WAIT:
// below the volume, but with so many failures or slow calls that successes alone may bring it to a
// volume that trips; the one that first reaches it must look.
enum rolling_verdict { ROLLING_GOOD, ROLLING_WAIT, ROLLING_TRIP };
enum rolling_verdict rolling_judge(const struct rolling_counts *counts, uint64_t streak,
                                   const struct breaker_definition *definition,
                                   enum breaker_rule *ret_rule);

#endif
