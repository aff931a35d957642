// Private segments (no files) with the slot sections, and what the tests register in them.
#ifndef VALVECHAIN_TESTS_METRIC_FIXTURE_H
#define VALVECHAIN_TESTS_METRIC_FIXTURE_H

#include <criterion/criterion.h>

#include "metric/exposition.h"
#include "metric/metric.h"

static struct segment *segment;

static void fixture_setup(void)
{
    char reason[SEGMENT_REASON_MAX];
    const struct segment_section_spec specs[] = {slot_section_spec(), slot_values_section_spec()};
    const struct segment_options options = {.dir = "/nonexistent",
                                            .name = "vc",
                                            .sections = specs,
                                            .n_sections = 2,
                                            .allow_private = true};
    int r = segment_open(&options, reason, &segment);
    cr_assert_eq(r, 0, "%s", reason);
}

static void fixture_teardown(void)
{
    segment_close(&segment);
}

static inline struct metric_set *start(const char *name, const char *instance,
                                       struct slot **ret_slot)
{
    struct metric_set *set = NULL;
    cr_assert_eq(slot_acquire(segment, name, instance, ret_slot), 0);
    cr_assert_eq(metric_set_open(*ret_slot, &set), 0);
    return set;
}

static inline void stop(struct metric_set **set, struct slot **slot)
{
    metric_set_close(set);
    slot_release(slot);
}

static inline double lookup(const char *name, const char *labels)
{
    double value = 0;
    cr_assert(metric_lookup(segment, name, labels, &value), "no %s", name);
    return value;
}

#endif
