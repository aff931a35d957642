#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"

static void expect_json(const char *bytes, size_t len, const char *expected)
{
    struct strbuf sb = STRBUF_INIT;
    strbuf_json_string(&sb, bytes, len);
    cr_expect_str_eq(strbuf_text(&sb), expected);
    strbuf_fini(&sb);
}

Test(strbuf, empty_has_a_text)
{
    struct strbuf sb = STRBUF_INIT;
    cr_assert(strbuf_ok(&sb));
    cr_assert_str_empty(strbuf_text(&sb));
    char *taken = strbuf_take(&sb);
    cr_assert_not_null(taken);
    cr_assert_str_empty(taken);
    free(taken);
}

Test(strbuf, grows_by_every_append)
{
    struct strbuf sb = STRBUF_INIT;
    for (int i = 0; i < 1000; i++) {
        strbuf_puts(&sb, "ab");
        strbuf_printf(&sb, "%03d", i);
        strbuf_append(&sb, "\0", 1);
    }
    cr_assert(strbuf_ok(&sb));
    cr_assert_eq(sb.len, 6000);
    cr_assert_str_eq(sb.text + 6 * 999, "ab999");
    strbuf_fini(&sb);
}

Test(strbuf, printf_longer_than_the_room)
{
    char long_text[5000];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    struct strbuf sb = STRBUF_INIT;
    strbuf_puts(&sb, "<");
    strbuf_printf(&sb, "%s>", long_text);
    cr_assert_eq(sb.len, sizeof(long_text) + 1);
    cr_assert_eq(sb.text[sb.len - 1], '>');
    strbuf_fini(&sb);
}

Test(strbuf, every_length_around_the_first_allocation)
{
    for (int width = 0; width < 200; width++) {
        struct strbuf sb = STRBUF_INIT;
        strbuf_printf(&sb, "%*s", width, "");
        strbuf_append(&sb, "y", 1);
        cr_assert_eq(sb.len, (size_t)width + 1);
        cr_assert_eq(strlen(strbuf_text(&sb)), (size_t)width + 1);
        strbuf_fini(&sb);
    }
}

Test(strbuf, failure_is_sticky_until_cleared)
{
    struct strbuf sb = STRBUF_INIT;
    strbuf_puts(&sb, "kept");
    strbuf_append(&sb, "x", SIZE_MAX / 2 + 1); // more than can be asked of any allocator
    cr_assert_not(strbuf_ok(&sb));
    strbuf_puts(&sb, " not appended");
    strbuf_printf(&sb, "%d", 1);
    cr_assert_str_eq(strbuf_text(&sb), "kept");
    strbuf_clear(&sb);
    cr_assert(strbuf_ok(&sb));
    cr_assert_str_empty(strbuf_text(&sb));
    strbuf_puts(&sb, "again");
    char *taken = strbuf_take(&sb);
    cr_assert_str_eq(taken, "again");
    cr_assert_null(sb.text);
    free(taken);
}

Test(strbuf, take_of_a_failed_buffer_is_null)
{
    struct strbuf sb = STRBUF_INIT;
    strbuf_puts(&sb, "x");
    strbuf_append(&sb, "x", SIZE_MAX);
    cr_assert_null(strbuf_take(&sb));
    cr_assert(strbuf_ok(&sb)); // ready for new use
    strbuf_fini(&sb);
}

Test(strbuf, json_escapes)
{
    expect_json("", 0, "\"\"");
    expect_json("plain", 5, "\"plain\"");
    expect_json("a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\"");
    expect_json("\n\r\t\x01\x1f\x7f", 6, "\"\\n\\r\\t\\u0001\\u001f\x7f\"");
    expect_json("a\0b", 3, "\"a\\u0000b\"");
    expect_json("gr\xC3\xBC\xC3\x9F", 6, "\"gr\xC3\xBC\xC3\x9F\"");
    expect_json("\xE2\x82\xAC\xF0\x9F\x9A\xA6", 7, "\"\xE2\x82\xAC\xF0\x9F\x9A\xA6\"");
}

#define FFFD "\xEF\xBF\xBD"

Test(strbuf, json_replaces_what_is_not_utf8)
{
    expect_json("\xff", 1, "\"" FFFD "\"");
    expect_json("a\x80"
                "b",
                3, "\"a" FFFD "b\"");
    expect_json("\xC0\x80", 2, "\"" FFFD FFFD "\"");                   // overlong NUL
    expect_json("\xED\xA0\x80", 3, "\"" FFFD FFFD FFFD "\"");          // surrogate
    expect_json("\xF4\x90\x80\x80", 4, "\"" FFFD FFFD FFFD FFFD "\""); // above U+10FFFF
    expect_json("\xE2\x82", 2, "\"" FFFD "\"");                        // cut short: one subpart
    expect_json("\xE2\x82\"", 3, "\"" FFFD "\\\"\"");
    expect_json("\xF0\x9F\x9A", 3, "\"" FFFD "\"");
}
