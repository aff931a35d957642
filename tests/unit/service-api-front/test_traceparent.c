// W3C Trace Context, level 1, section 3.2.
#include <criterion/criterion.h>
#include <string.h>

#include "traceparent.h"

#define ID     "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static bool parse(const char *text, struct traceparent *ret_parent)
{
    return traceparent_parse(text, strlen(text), ret_parent);
}

Test(traceparent, the_standards_example)
{
    struct traceparent parent;
    cr_assert(parse("00-" ID "-" PARENT "-01", &parent));
    cr_assert_str_eq(parent.id, ID);
    cr_assert_eq(parent.trace.high, 0x0af7651916cd43ddULL);
    cr_assert_eq(parent.trace.low, 0x8448eb211c80319cULL);
    cr_assert(parent.sampled);
}

Test(traceparent, only_the_lowest_flag_says_sampled)
{
    struct traceparent parent;
    cr_assert(parse("00-" ID "-" PARENT "-00", &parent));
    cr_assert_not(parent.sampled);
    cr_assert(parse("00-" ID "-" PARENT "-fe", &parent));
    cr_assert_not(parent.sampled);
    cr_assert(parse("00-" ID "-" PARENT "-03", &parent));
    cr_assert(parent.sampled);
}

Test(traceparent, a_later_version_may_have_more_behind_a_dash)
{
    struct traceparent parent;
    cr_assert(parse("cc-" ID "-" PARENT "-01-what-the-future-will-be-like", &parent));
    cr_assert(parse("cc-" ID "-" PARENT "-01", &parent));
    cr_assert_not(parse("cc-" ID "-" PARENT "-01.what", &parent));
}

Test(traceparent, what_is_none_leaves_the_output_alone)
{
    static const char *const bad[] = {"",
                                      "00",
                                      "00-" ID "-" PARENT "-0",
                                      "00-" ID "-" PARENT "-011",
                                      "00-" ID "-" PARENT "-01-more",
                                      "ff-" ID "-" PARENT "-01",
                                      "0g-" ID "-" PARENT "-01",
                                      "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
                                      "00-00000000000000000000000000000000-" PARENT "-01",
                                      "00-" ID "-0000000000000000-01",
                                      "00-" ID "-B7AD6B7169203331-01",
                                      "00-" ID "-" PARENT "-0x",
                                      "00_" ID "-" PARENT "-01",
                                      "00-" ID "_" PARENT "-01",
                                      "00-" ID "-" PARENT "_01"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct traceparent parent = {.id = "kept"};
        cr_expect_not(parse(bad[i], &parent), "'%s'", bad[i]);
        cr_expect_str_eq(parent.id, "kept");
    }
}
