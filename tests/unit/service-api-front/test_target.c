#include <criterion/criterion.h>
#include <string.h>

#include "target.h"

struct example {
    const char *raw, *method, *host;
    enum target_verdict verdict;
    const char *path;  // when accepted
    const char *query; // "-": no '?' at all
};

static const struct example examples[] = {
    {"/", "GET", "a", TARGET_OK, "/", "-"},
    {"/a/b?x=1&y", "GET", "a", TARGET_OK, "/a/b", "x=1&y"},
    {"/a?", "GET", "a", TARGET_OK, "/a", ""},
    {"/a/?/../b", "GET", "a", TARGET_OK, "/a/", "/../b"},
    // Unreserved characters are decoded, the rest keep their escapes in upper case.
    {"/%41%7e%2D", "GET", "a", TARGET_OK, "/A~-", "-"},
    {"/a%20b%c3%a9", "GET", "a", TARGET_OK, "/a%20b%C3%A9", "-"},
    {"/a%3Bb%3f", "GET", "a", TARGET_OK, "/a%3Bb%3F", "-"},
    {"/caf\xc3\xa9|\"", "GET", "a", TARGET_OK, "/caf\xc3\xa9|\"", "-"},
    // Empty and "." segments say nothing.
    {"//a///b//", "GET", "a", TARGET_OK, "/a/b/", "-"},
    {"/a/./b/.", "GET", "a", TARGET_OK, "/a/b/", "-"},
    {"/./%2e/", "GET", "a", TARGET_OK, "/", "-"},
    {"/...", "GET", "a", TARGET_OK, "/...", "-"},
    {"/a..b/.c", "GET", "a", TARGET_OK, "/a..b/.c", "-"},
    // Dots that climb, however they are spelt.
    {"/a/../b", "GET", "a", TARGET_DOT_SEGMENT, NULL, NULL},
    {"/..", "GET", "a", TARGET_DOT_SEGMENT, NULL, NULL},
    {"/a/%2e%2E/b", "GET", "a", TARGET_DOT_SEGMENT, NULL, NULL},
    {"/a/.%2e", "GET", "a", TARGET_DOT_SEGMENT, NULL, NULL},
    {"/a/..;x=1/b", "GET", "a", TARGET_DOT_SEGMENT, NULL, NULL},
    {"/a%2fb", "GET", "a", TARGET_ENCODED_SLASH, NULL, NULL},
    {"/a%2F..%2fb", "GET", "a", TARGET_ENCODED_SLASH, NULL, NULL},
    {"/a%5cb", "GET", "a", TARGET_ENCODED_SLASH, NULL, NULL},
    {"/a\\b", "GET", "a", TARGET_BAD_CHARACTER, NULL, NULL},
    {"/a#b", "GET", "a", TARGET_BAD_CHARACTER, NULL, NULL},
    {"http://a#b", "GET", "a", TARGET_BAD_CHARACTER, NULL, NULL},
    {"http://a#", "GET", "a", TARGET_BAD_CHARACTER, NULL, NULL},
    {"/a?b#c", "GET", "a", TARGET_BAD_CHARACTER, NULL, NULL},
    {"/a?b\x01", "GET", "a", TARGET_BAD_CHARACTER, NULL, NULL},
    {"/a%00", "GET", "a", TARGET_BAD_CHARACTER, NULL, NULL},
    {"/a%0d%0aX:y", "GET", "a", TARGET_BAD_CHARACTER, NULL, NULL},
    {"/a\x7f", "GET", "a", TARGET_BAD_CHARACTER, NULL, NULL},
    {"/a%", "GET", "a", TARGET_BAD_ESCAPE, NULL, NULL},
    {"/a%4", "GET", "a", TARGET_BAD_ESCAPE, NULL, NULL},
    {"/a%zz", "GET", "a", TARGET_BAD_ESCAPE, NULL, NULL},
    {"/a%%41", "GET", "a", TARGET_BAD_ESCAPE, NULL, NULL},
    {"/a?%zz", "GET", "a", TARGET_OK, "/a", "%zz"},
    // Forms.
    {"*", "OPTIONS", "a", TARGET_OK, "*", "-"},
    {"*", "GET", "a", TARGET_BAD_FORM, NULL, NULL},
    {"", "GET", "a", TARGET_BAD_FORM, NULL, NULL},
    {"a/b", "GET", "a", TARGET_BAD_FORM, NULL, NULL},
    {"a:80", "GET", "a:80", TARGET_BAD_FORM, NULL, NULL},
    {"http://a.example:81/x?y", "GET", "A.example:81", TARGET_OK, "/x", "y"},
    {"HTTPS://a/x", "GET", "a", TARGET_OK, "/x", "-"},
    {"http://a", "GET", "a", TARGET_OK, "/", "-"},
    {"http://a?q", "GET", "a", TARGET_OK, "/", "q"},
    {"http://b/x", "GET", "a", TARGET_BAD_AUTHORITY, NULL, NULL},
    {"http://a:80/x", "GET", "a", TARGET_BAD_AUTHORITY, NULL, NULL},
    {"http://u@a/x", "GET", "u@a", TARGET_BAD_AUTHORITY, NULL, NULL},
    {"http:///x", "GET", "", TARGET_BAD_AUTHORITY, NULL, NULL},
    {"http://a/../x", "GET", "a", TARGET_DOT_SEGMENT, NULL, NULL},
    {"ftp://a/x", "GET", "a", TARGET_BAD_FORM, NULL, NULL},
};

Test(target, says_what_is_sent_and_refuses_tricks)
{
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const struct example *e = &examples[i];
        char path[128];
        struct target target = {0};
        enum target_verdict verdict =
            target_normalize(e->raw, strlen(e->raw), e->method, e->host, path, &target);
        cr_assert_eq(verdict, e->verdict, "%s: %s, not %s", e->raw, target_verdict_names[verdict],
                     target_verdict_names[e->verdict]);
        if (verdict != TARGET_OK) {
            continue;
        }
        cr_assert_str_eq(path, e->path, "%s", e->raw);
        cr_assert_eq(target.path_len, strlen(e->path), "%s", e->raw);
        const char *query = e->raw + target.query_offset;
        bool has_query = target.query_offset > 0 && query[-1] == '?';
        cr_assert_eq(has_query, strcmp(e->query, "-") != 0, "%s", e->raw);
        cr_assert_str_eq(query, has_query ? e->query : "", "%s", e->raw);
    }
}

Test(target, is_a_fixed_point)
{
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        char once[128];
        char twice[128];
        struct target target;
        const struct example *e = &examples[i];
        if (e->verdict != TARGET_OK) {
            continue;
        }
        target_normalize(e->raw, strlen(e->raw), e->method, e->host, once, &target);
        cr_assert_eq(target_normalize(once, strlen(once), e->method, e->host, twice, &target),
                     TARGET_OK);
        cr_assert_str_eq(once, twice);
    }
}

Test(target, names_every_verdict)
{
    for (int i = 0; i < TARGET_VERDICTS; i++) {
        cr_assert_not_null(target_verdict_names[i]);
        cr_assert_not_null(target_verdict_details[i]);
    }
}
