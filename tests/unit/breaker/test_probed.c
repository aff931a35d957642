#include <criterion/criterion.h>

#include "breaker/probed.h"
#include "breaker_fixture.h"

static struct segment *segment;

static void setup(void)
{
    fixture_setup();
    const struct segment_section_spec specs[] = {probed_section_spec()};
    const struct segment_options options = {
        .dir = fixture_dir, .name = "vc", .sections = specs, .n_sections = 1};
    char reason[SEGMENT_REASON_MAX];
    cr_assert_eq(segment_open(&options, reason, &segment), 0, "%s", reason);
}

static void teardown(void)
{
    segment_close(&segment);
    fixture_teardown();
}

TestSuite(probed, .init = setup, .fini = teardown);

Test(probed, is_found_by_name_wherever_it_is)
{
    struct probed written = {
        .upstream = "app", .endpoint = "http://b:1", .state = PROBED_UNHEALTHY, .until_ns = 1000};
    struct probed read;
    uint32_t hint = 77;
    cr_assert_not(probed_find(segment, "app", "http://b:1", &hint, &read));
    probed_write(segment, 3, &written);
    cr_assert(probed_find(segment, "app", "http://b:1", &hint, &read));
    cr_assert_eq(hint, 3);
    cr_assert_not(probed_find(segment, "other", "http://b:1", &hint, &read));
    probed_write(segment, 9, &written);
    probed_write(segment, 3, NULL);
    cr_assert(probed_find(segment, "app", "http://b:1", &hint, &read));
    cr_assert_eq(hint, 9);
    hint = UINT32_MAX;
    cr_assert(probed_find(segment, "app", "http://b:1", &hint, &read));
}

Test(probed, nothing_is_believed_for_ever)
{
    struct probed record = {.upstream = "app", .state = PROBED_UNHEALTHY, .until_ns = 1000};
    cr_assert_eq(probed_state_at(&record, 999), PROBED_UNHEALTHY);
    cr_assert_eq(probed_state_at(&record, 1000), PROBED_UNKNOWN);
}

Test(probed, a_damaged_record_harms_nobody)
{
    struct probed record, read;
    memset(&record, 'x', sizeof(record)); // no text ends, and the state is none
    probed_write(segment, 0, &record);
    cr_assert(probed_read(segment, 0, &read));
    cr_assert_lt(strlen(read.endpoint), PROBED_ENDPOINT_MAX);
    cr_assert_eq(read.state, PROBED_UNKNOWN);
    cr_assert_not(probed_read(segment, PROBED_MAX, &read));
    cr_assert_not(probed_read(segment, 1, &read));
}
