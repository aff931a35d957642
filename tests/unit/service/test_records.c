// The records of shared/service in the segment: advice and findings.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/sequence.h"
#include "service/finding.h"
#include "service/service.h"

static struct segment *segment;

// A private segment: the records need nothing but memory.
static void setup(void)
{
    struct segment_section_spec specs[] = {advice_section_spec(), finding_section_spec()};
    struct segment_options options = {.dir = "/nonexistent/folder",
                                      .name = "vctest-records",
                                      .sections = specs,
                                      .n_sections = 2,
                                      .allow_private = true};
    char reason[SEGMENT_REASON_MAX];

    cr_assert_eq(segment_open(&options, reason, &segment), 0, "%s", reason);
    cr_assert(segment_is_private(segment));
}

static void teardown(void)
{
    segment_close(&segment);
}

TestSuite(records, .init = setup, .fini = teardown);

Test(records, advice_comes_back_as_it_was_written)
{
    struct advice in = {.decided_ns = 5,
                        .action = ADVICE_SCALE_UP,
                        .current = 2,
                        .desired = 3,
                        .valid = 1,
                        .n_signals = 1,
                        .n_clamps = 1,
                        .priority = "high",
                        .reason = "because"};
    struct advice out;

    cr_assert_not(advice_read(segment, &out));
    strcpy(in.signals[0].signal, "rps");
    in.signals[0].value = 45.5;
    strcpy(in.clamps[0].rule, "max_instances");
    advice_write(segment, &in);
    cr_assert(advice_read(segment, &out));
    cr_assert_eq(memcmp(&in, &out, sizeof(in)), 0);
    cr_assert_str_eq(advice_action_names[out.action], "scale_up");
}

// The sequence number stands first in the section.
static _Atomic uint64_t *advice_sequence(void)
{
    return segment_section(segment, ADVICE_SECTION_NAME, NULL);
}

Test(records, a_writer_that_died_inside_hides_the_advice_until_the_next)
{
    struct advice in = {.action = ADVICE_NONE, .current = 1}, out;

    advice_write(segment, &in);
    atomic_fetch_add(advice_sequence(), 1);
    cr_assert_not(advice_read(segment, &out));
    in.current = 7;
    advice_write(segment, &in);
    cr_assert(advice_read(segment, &out));
    cr_assert_eq(out.current, 7);
}

Test(records, garbage_in_the_segment_is_made_harmless)
{
    char *bytes = segment_section(segment, ADVICE_SECTION_NAME, NULL);
    struct advice out;

    memset(bytes, 0xfe, sizeof(uint64_t) + sizeof(struct advice));
    cr_assert(advice_read(segment, &out));
    cr_assert_leq(out.action, ADVICE_HOLD);
    cr_assert_leq(out.n_signals, ADVICE_SIGNALS_MAX);
    cr_assert_leq(out.n_clamps, ADVICE_CLAMPS_MAX);
    cr_assert_lt(strlen(out.reason), sizeof(out.reason));
    cr_assert_lt(strlen(out.signals[ADVICE_SIGNALS_MAX - 1].reason), ADVICE_REASON_MAX);
    cr_assert_leq(out.signals[0].action, ADVICE_HOLD);
}

Test(records, findings_belong_to_one_holder_of_a_slot)
{
    char text[FINDING_TEXT_MAX], longest[400];

    cr_assert_not(finding_read(segment, 3, 1, text));
    finding_write(segment, 3, 1, "no upstream answers");
    cr_assert(finding_read(segment, 3, 1, text));
    cr_assert_str_eq(text, "no upstream answers");
    cr_assert_not(finding_read(segment, 3, 2, text)); // a successor
    cr_assert_not(finding_read(segment, 4, 1, text));
    cr_assert_not(finding_read(segment, SLOT_COUNT, 1, text));
    finding_write(segment, 3, 1, "");
    cr_assert_not(finding_read(segment, 3, 1, text));
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    finding_write(segment, 3, 1, longest);
    cr_assert(finding_read(segment, 3, 1, text));
    cr_assert_eq(strlen(text), FINDING_TEXT_MAX - 1);
}
