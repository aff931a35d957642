// Series of all processes grouped by name and added up by labels: what exposition writes.
// Thread: one at a time.
#ifndef VALVECHAIN_METRIC_FAMILY_H
#define VALVECHAIN_METRIC_FAMILY_H

#include "metric/metric.h"

struct family_series {
    const char *labels;
    uint32_t family;
    uint32_t next;     // of the same family; FAMILY_END at the last
    uint64_t raw;      // a counter in stored units, as far as they agree with the family's scale
    double rest;       // what came in other units; of a gauge all of it
    uint64_t *buckets; // histograms: n_bounds + 1 counts
    struct metric_exemplar *exemplars; // one a bucket, wall_s 0: none; NULL: none at all
    uint32_t created_s;                // CLOCK_MONOTONIC, of the part that was there first
};
struct family {
    const char *name, *unit, *help;
    enum metric_kind kind;
    double scale;
    const double *bounds;
    uint32_t n_bounds;
    bool exemplars;
    uint32_t first, last;
};
#define FAMILY_END UINT32_MAX

struct family_set {
    struct family *families; // in order of appearance
    uint32_t n_families;
    struct family_series *series;
    uint32_t n_series;
    uint32_t *family_table, *series_table; // open addressing, index + 1
    uint32_t mask;
    uint64_t *buckets;
    size_t n_buckets;
    struct metric_exemplar *exemplars;
    size_t n_exemplars;
    size_t n_damaged; // slots whose catalogue does not parse
};

// Strings and bounds point into the reading, which must outlive the set. -ENOMEM.
int family_set_init(struct family_set *set, const struct metric_reading *reading);
void family_set_fini(struct family_set *set);

#endif
