#include <criterion/criterion.h>
#include <string.h>

#include "config/json_place.h"

static const char text[] = "\n{ \"a\": 1,\n"
                           "  \"b c\" : [true, [\"]}\", -1.5e3 ] ,null,{}],\n"
                           "  \"\\u0064\\\"\": {\"x\":{\"y\": \"\\\\\"},\n"
                           "\t\"gr\xC3\xBC\xC3\x9F\":\"\xE2\x82\xAC\", \"z\":2},\"e\":{}}\n";

static void expect(const struct json_path *path, size_t line, size_t column, const char *name)
{
    struct strbuf got = STRBUF_INIT;
    size_t got_line, got_column;
    json_place(text, strlen(text), path, &got_line, &got_column);
    json_path_text(path, &got);
    cr_expect_eq(got_line, line, "%s: line %zu", name, got_line);
    cr_expect_eq(got_column, column, "%s: column %zu", name, got_column);
    cr_expect_str_eq(strbuf_text(&got), name, "got %s", strbuf_text(&got));
    strbuf_fini(&got);
}

Test(json_place, finds_values_and_keys)
{
    const struct json_path root = {0}, a = {.parent = &root, .key = "a"},
                           a_key = {.parent = &root, .key = "a", .at_key = true},
                           b = {.parent = &root, .key = "b c"}, b0 = {.parent = &b, .index = 0},
                           b1 = {.parent = &b, .index = 1}, b11 = {.parent = &b1, .index = 1},
                           b2 = {.parent = &b, .index = 2}, b3 = {.parent = &b, .index = 3},
                           d = {.parent = &root, .key = "d\""}, x = {.parent = &d, .key = "x"},
                           y = {.parent = &x, .key = "y"}, z = {.parent = &d, .key = "z"},
                           e = {.parent = &root, .key = "e"};
    expect(&root, 2, 1, "");
    expect(&a, 2, 8, "a");
    expect(&a_key, 2, 3, "a");
    expect(&b, 3, 11, "[\"b c\"]");
    expect(&b0, 3, 12, "[\"b c\"][0]");
    expect(&b1, 3, 18, "[\"b c\"][1]");
    expect(&b11, 3, 25, "[\"b c\"][1][1]");
    expect(&b2, 3, 35, "[\"b c\"][2]");
    expect(&b3, 3, 40, "[\"b c\"][3]");
    expect(&d, 4, 15, "[\"d\\\"\"]");
    expect(&y, 4, 26, "[\"d\\\"\"].x.y");
    expect(&z, 5, 18, "[\"d\\\"\"].z");
    expect(&e, 5, 25, "e");
}

Test(json_place, a_path_that_is_not_there_ends_where_it_ends)
{
    const struct json_path root = {0}, a = {.parent = &root, .key = "a"},
                           e = {.parent = &root, .key = "e"}, none = {.parent = &e, .key = "q"},
                           below = {.parent = &a, .index = 3}, all = {.parent = &root, .key = "q"};
    expect(&none, 5, 26, "e.q");
    expect(&all, 5, 27, "q");
    size_t line, column;
    json_place(text, strlen(text), &below, &line, &column); // no array: anywhere, but inside
    cr_expect(line >= 2 && line <= 6);
    json_place("", 0, &none, &line, &column);
    cr_expect(line == 1 && column == 1);
    json_place("{\"a", 3, &a, &line, &column);
    cr_expect(line == 1 && column <= 4);
}
