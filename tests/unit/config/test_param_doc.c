#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "example.h"

Test(param_doc, dump_masks_secrets)
{
    struct example_params params;
    struct problems problems = PROBLEMS_INIT;
    struct strbuf out = STRBUF_INIT;
    setenv("T_MAYBE", "7", 1);
    setenv("T_SECRET", "hunter2", 1);
    setenv("T_MODE", "other", 1);
    cr_assert_eq(param_group_load(&example_group, NULL, &params, &problems), 0);
    param_group_dump(&example_group, &params, &out);
    cr_expect_str_eq(strbuf_text(&out), "T_COUNT=10\n"
                                        "T_MAYBE=7\n"
                                        "T_FLAG=true\n"
                                        "T_TEXT=hello\n"
                                        "T_OPTION=unset\n"
                                        "T_SECRET=********\n"
                                        "T_NAME=one\n"
                                        "T_MODE=other\n"
                                        "T_LATER=false\n"
                                        "T_LATER_TEXT=none\n");
    strbuf_fini(&out);
    param_group_fini(&example_group, &params);
}

Test(param_doc, help_names_default_range_and_meaning)
{
    struct strbuf out = STRBUF_INIT;
    param_group_help(&example_group, &out);
    const char *const lines[] = {
        "Example:\n", "  T_COUNT=10\n      How many. Allowed: 5 to 65535 things\n",
        "  T_MAYBE=unset\n      May be unset. Allowed: 0 to 9, or unset\n",
        "  T_MODE=slow   (or T_MODE_TOO, which wins)\n      A choice. Allowed: slow, fast, other\n",
        "Not available in this version: only false is allowed\n"};
    for (size_t i = 0; i < 5; i++)
        cr_expect_not_null(strstr(strbuf_text(&out), lines[i]), "%s", lines[i]);
    strbuf_fini(&out);
}

Test(param_doc, markdown_is_one_table_row_a_parameter)
{
    struct strbuf out = STRBUF_INIT;
    param_group_markdown(&example_group, &out);
    const char *const lines[] = {
        "## Example\n\n| Name |",
        "| `T_COUNT` | `10` | 5 to 65535 things | reload | How many. |\n",
        "| `T_TEXT` | `hello` | text | reload | A text with a \\| in it. |\n",
        "| `T_SECRET` | empty | text | restart, secret | A password. |\n",
        "| `T_MODE`, `T_MODE_TOO` (wins) | `slow` | slow, fast, other | restart | A choice. |\n",
        "| `T_LATER` | `false` | false (not available in this version) | restart |"};
    for (size_t i = 0; i < 6; i++)
        cr_expect_not_null(strstr(strbuf_text(&out), lines[i]), "%s", lines[i]);
    strbuf_fini(&out);
}

Test(param_doc, enum_text)
{
    const struct param_row row = {.choices = "a|bcd|e"};
    char text[3];
    cr_expect_str_eq(param_enum_text(&row, 0, text, sizeof(text)), "a");
    cr_expect_str_eq(param_enum_text(&row, 1, text, sizeof(text)), "bc");
    cr_expect_str_eq(param_enum_text(&row, 2, text, sizeof(text)), "e");
    cr_expect_str_eq(param_enum_text(&row, 3, text, sizeof(text)), "");
    cr_expect_str_eq(param_enum_text(&row, -1, text, sizeof(text)), "");
}
