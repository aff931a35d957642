// The rules of RFC 9111 and RFC 5861 that the fallback `cache` follows, case by case.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache_rules.h"
#include "http_date.h"

#define NOW_S INT64_C(1700000000) // Tue, 14 Nov 2023 22:13:20 GMT
#define NOW   "Tue, 14 Nov 2023 22:13:20 GMT"

// "Name: value" lines, ended by "\n" each.
static size_t headers_of(const char *text, struct http_header headers[16])
{
    size_t n = 0;
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        size_t len = strcspn(line, "\n"), name = strcspn(line, ":");
        headers[n++] = (struct http_header){line, name, line + name + 2, len - name - 2};
    }
    return n;
}

static enum cache_verdict judge(const char *asked, unsigned status, const char *answered,
                                struct cache_terms *terms)
{
    struct http_header request[16], headers[16];
    size_t n = headers_of(asked, request);
    struct cache_answer answer = {
        .status = status, .headers = headers, .n_headers = headers_of(answered, headers)};
    return cache_judge(request, n, &answer, NOW_S, 0, terms);
}

Test(cache_rules, what_is_kept)
{
    static const struct {
        const char *asked;
        unsigned status;
        const char *answered;
        enum cache_verdict verdict;
    } cases[] = {
        {"", 200, "", CACHE_KEEP},
        {"", 203, "", CACHE_KEEP},
        {"", 204, "", CACHE_KEEP},
        {"", 301, "Location: /x\n", CACHE_KEEP},
        {"", 308, "Location: /x\n", CACHE_KEEP},
        {"", 302, "Location: /x\n", CACHE_PASS},
        {"", 206, "", CACHE_PASS},
        {"", 304, "", CACHE_PASS},
        {"", 400, "", CACHE_PASS},
        {"", 429, "", CACHE_PASS},
        {"", 500, "Cache-Control: public\n", CACHE_PASS},
        {"", 404, "", CACHE_DROP},
        {"", 410, "Cache-Control: max-age=60\n", CACHE_DROP},
        {"Cookie: a=1\n", 404, "", CACHE_PASS},
        // 5.2.2
        {"", 200, "Cache-Control: no-store\n", CACHE_DROP},
        {"", 200, "cache-control: No-Store\n", CACHE_DROP},
        {"", 200, "Cache-Control: max-age=60, private\n", CACHE_DROP},
        {"", 200, "Cache-Control: private=\"x-a, x-b\"\n", CACHE_DROP},
        {"", 200, "Cache-Control: no-cache\n", CACHE_DROP},
        {"", 200, "Cache-Control: public\nCache-Control: no-store\n", CACHE_DROP},
        {"", 200, "Cache-Control: x=\"a, no-store, b\"\n", CACHE_KEEP},
        {"", 200, "Cache-Control: x=\"a\\\"no-store\"\n", CACHE_KEEP},
        {"", 200, "Cache-Control: no-storex, xprivate\n", CACHE_KEEP},
        {"", 200, "Cache-Control: ,, ,\n", CACHE_KEEP},
        {"", 200, "Pragma: no-cache\n", CACHE_KEEP},
        {"Cache-Control: no-store\n", 200, "", CACHE_PASS},
        {"Cache-Control: no-cache\n", 200, "", CACHE_KEEP},
        {"", 200, "Set-Cookie: a=1\n", CACHE_PASS},
        {"", 200, "Set-Cookie: a=1\nCache-Control: public\n", CACHE_PASS},
        // 3.5, and cookies and keys as Authorization
        {"Authorization: Bearer x\n", 200, "", CACHE_PASS},
        {"Authorization: Bearer x\n", 200, "Cache-Control: max-age=60\n", CACHE_PASS},
        {"Authorization: Bearer x\n", 200, "Cache-Control: public\n", CACHE_KEEP},
        {"Authorization: Bearer x\n", 200, "Cache-Control: s-maxage=1\n", CACHE_KEEP},
        {"Authorization: Bearer x\n", 200, "Cache-Control: must-revalidate\n", CACHE_KEEP},
        {"Authorization: Bearer x\n", 200, "Cache-Control: public, private\n", CACHE_PASS},
        {"Cookie: a=1\n", 200, "", CACHE_PASS},
        {"Cookie: a=1\n", 200, "Cache-Control: public\n", CACHE_KEEP},
        {"X-API-Key: k\n", 200, "", CACHE_PASS},
        {"X-API-Key: k\n", 200, "Cache-Control: public\n", CACHE_KEEP},
        // One caller's refusal says nothing about what others were told.
        {"Authorization: Bearer x\n", 200, "Cache-Control: no-store\n", CACHE_PASS},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cache_terms terms;
        cr_expect_eq(judge(cases[i].asked, cases[i].status, cases[i].answered, &terms),
                     cases[i].verdict, "case %zu: %s -> %u %s", i, cases[i].asked, cases[i].status,
                     cases[i].answered);
    }
}

Test(cache_rules, terms)
{
    static const struct {
        const char *answered;
        struct cache_terms terms;
    } cases[] = {
        {"", {0, 0, CACHE_UNSAID_S, false}},
        {"Cache-Control: max-age=60\n", {0, 60, CACHE_UNSAID_S, false}},
        {"Cache-Control: max-age=\"60\"\n", {0, 60, CACHE_UNSAID_S, false}},
        {"Cache-Control: max-age=60, max-age=5\n", {0, 5, CACHE_UNSAID_S, false}},
        {"Cache-Control: max-age=x\n", {0, 0, CACHE_UNSAID_S, false}},
        {"Cache-Control: max-age\n", {0, 0, CACHE_UNSAID_S, false}},
        {"Cache-Control: max-age=-1\n", {0, 0, CACHE_UNSAID_S, false}},
        {"Cache-Control: max-age=99999999999999999999999\n",
         {0, CACHE_UNSAID_S - 1, CACHE_UNSAID_S, false}},
        {"Cache-Control: max-age=60, public\n", {0, 60, CACHE_UNSAID_S, true}},
        {"Cache-Control: max-age=60, s-maxage=10\n", {0, 10, 0, true}},
        {"Cache-Control: s-maxage=10, stale-if-error=30\n", {0, 10, 30, true}},
        {"Cache-Control: max-age=60, must-revalidate\n", {0, 60, 0, true}},
        {"Cache-Control: max-age=60, proxy-revalidate\n", {0, 60, 0, false}},
        {"Cache-Control: must-revalidate, stale-if-error=30\n", {0, 0, 0, true}},
        {"Cache-Control: max-age=60, stale-if-error=30\n", {0, 60, 30, false}},
        {"Cache-Control: stale-if-error=0\n", {0, 0, 0, false}},
        {"Date: " NOW "\nExpires: Tue, 14 Nov 2023 22:14:20 GMT\n", {0, 60, CACHE_UNSAID_S, false}},
        {"Expires: Tue, 14 Nov 2023 22:14:20 GMT\n", {0, 60, CACHE_UNSAID_S, false}},
        {"Expires: 0\n", {0, 0, CACHE_UNSAID_S, false}},
        {"Expires: Tue, 14 Nov 2023 22:14:20 GMT\nCache-Control: max-age=5\n",
         {0, 5, CACHE_UNSAID_S, false}},
        {"Age: 7\n", {7, 0, CACHE_UNSAID_S, false}},
        {"Date: Tue, 14 Nov 2023 22:13:10 GMT\nAge: 7\n", {10, 0, CACHE_UNSAID_S, false}},
        {"Date: Tue, 14 Nov 2023 22:13:15 GMT\nAge: 7\n", {7, 0, CACHE_UNSAID_S, false}},
        {"Date: Tue, 14 Nov 2023 23:13:20 GMT\n", {0, 0, CACHE_UNSAID_S, false}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cache_terms terms = {0};
        cr_expect_eq(judge("", 200, cases[i].answered, &terms), CACHE_KEEP);
        cr_expect_eq(terms.age_s, cases[i].terms.age_s, "%s: age %u", cases[i].answered,
                     terms.age_s);
        cr_expect_eq(terms.lifetime_s, cases[i].terms.lifetime_s, "%s: lifetime %u",
                     cases[i].answered, terms.lifetime_s);
        cr_expect_eq(terms.stale_s, cases[i].terms.stale_s, "%s: stale %u", cases[i].answered,
                     terms.stale_s);
        cr_expect_eq(terms.shared, cases[i].terms.shared, "%s: shared", cases[i].answered);
    }
}

static bool may_use(const char *answered, uint64_t resident_s, uint64_t max_age_s,
                    const char *asked)
{
    struct cache_terms terms;
    struct http_header request[16];
    size_t n = headers_of(asked, request);
    cr_assert_eq(judge("", 200, answered, &terms), CACHE_KEEP, "%s", answered);
    return cache_may_use(&terms, resident_s, max_age_s, request, n);
}

Test(cache_rules, what_may_be_used)
{
    static const struct {
        const char *answered;
        uint64_t resident_s, max_age_s;
        const char *asked;
        bool may;
    } cases[] = {
        {"", 0, 10, "", true},
        {"", 10, 10, "", true},
        {"", 11, 10, "", false},
        {"Age: 5\n", 6, 10, "", false},
        {"Cache-Control: max-age=100\n", 11, 10, "", false},
        {"Cache-Control: max-age=5, must-revalidate\n", 4, 10, "", true},
        {"Cache-Control: max-age=5, must-revalidate\n", 5, 10, "", false},
        {"Cache-Control: s-maxage=5\n", 5, 10, "", false},
        {"Cache-Control: max-age=5, stale-if-error=3\n", 8, 99, "", true},
        {"Cache-Control: max-age=5, stale-if-error=3\n", 9, 99, "", false},
        {"", 3, 10, "Cache-Control: stale-if-error=3\n", true},
        {"", 4, 10, "Cache-Control: stale-if-error=3\n", false},
        {"", 4, 10, "Cache-Control: max-age=0\n", true},
        {"", 0, 10, "Cache-Control: no-cache\n", false},
        {"Cache-Control: max-age=99\n", 0, 10, "Cache-Control: no-cache\n", false},
        {"", 0, 10, "Authorization: Bearer x\n", false},
        {"", 0, 10, "Cookie: a=1\n", false},
        {"Cache-Control: public\n", 0, 10, "Authorization: Bearer x\n", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(
            may_use(cases[i].answered, cases[i].resident_s, cases[i].max_age_s, cases[i].asked),
            cases[i].may, "case %zu: %s", i, cases[i].answered);
}

Test(cache_rules, stale_age_begins_where_the_lifetime_ends)
{
    const struct cache_terms terms = {.age_s = 2, .lifetime_s = 10};
    cr_expect_eq(cache_age_s(&terms, 5), 7);
    cr_expect_eq(cache_stale_age_s(&terms, 5), 0);
    cr_expect_eq(cache_stale_age_s(&terms, 8), 0);
    cr_expect_eq(cache_stale_age_s(&terms, 11), 3);
}

static int vary(const char *answered, const char *asked, struct strbuf *out)
{
    struct http_header request[16], headers[16];
    size_t n = headers_of(asked, request);
    struct cache_answer answer = {
        .status = 200, .headers = headers, .n_headers = headers_of(answered, headers)};
    strbuf_clear(out);
    return cache_vary_write(&answer, request, n, out);
}

static bool matches(const struct strbuf *text, const char *asked)
{
    struct http_header request[16];
    size_t n = headers_of(asked, request);
    return cache_vary_matches(strbuf_text(text), request, n);
}

Test(cache_rules, vary)
{
    struct strbuf out = STRBUF_INIT;
    cr_expect_eq(vary("", "X-A: 1\n", &out), 0);
    cr_expect_str_eq(strbuf_text(&out), "");
    cr_expect(matches(&out, "X-A: 2\n"));
    cr_expect_eq(vary("Vary: X-A, x-b\nVary: X-C\n", "x-a: 1\nX-B: 2\nX-A: 3\n", &out), 0);
    cr_expect_str_eq(strbuf_text(&out), "X-A:1, 3\nx-b:2\nX-C\n");
    cr_expect(matches(&out, "X-A: 1\nX-A: 3\nX-B: 2\n"));
    cr_expect(matches(&out, "X-B: 2\nX-A: 1, 3\nX-D: 4\n"));
    cr_expect_not(matches(&out, "X-A: 1, 3\nX-B: 2\nX-C: \n"), "empty is not missing");
    cr_expect_not(matches(&out, "X-A: 1, 3\n"));
    cr_expect_eq(vary("Vary: *\n", "", &out), -EPERM);
    cr_expect_eq(vary("Vary: x-a, *\n", "", &out), -EPERM);
    cr_expect_eq(vary("Vary: a b\n", "", &out), -EPERM);
    cr_expect_eq(vary("Vary: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\n", "", &out), -E2BIG);
    cr_expect_eq(vary("Content-Encoding: gzip\n", "Accept-Encoding: gzip\n", &out), 0);
    cr_expect(matches(&out, "Accept-Encoding: gzip\n"));
    cr_expect_not(matches(&out, ""));
    char long_value[CACHE_VARY_BYTES_MAX + 16];
    (void)snprintf(long_value, sizeof(long_value), "X-A: %04090d\n", 0);
    cr_expect_eq(vary("Vary: x-a\n", long_value, &out), 0);
    (void)snprintf(long_value, sizeof(long_value), "X-A: %04093d\n", 0);
    cr_expect_eq(vary("Vary: x-a\n", long_value, &out), -E2BIG);
    strbuf_fini(&out);
}

static bool unchanged(const char *asked, const char *kept)
{
    struct http_header request[16], headers[16];
    size_t n = headers_of(asked, request), n_kept = headers_of(kept, headers);
    return cache_is_not_modified(request, n, headers, n_kept);
}

Test(cache_rules, validators)
{
    const char *kept = "ETag: W/\"a\"\nLast-Modified: " NOW "\n";
    cr_expect(unchanged("If-None-Match: \"a\"\n", kept));
    cr_expect(unchanged("If-None-Match: \"b\", W/\"a\"\n", kept));
    cr_expect(unchanged("If-None-Match: *\n", kept));
    cr_expect_not(unchanged("If-None-Match: \"b\"\n", kept));
    cr_expect_not(unchanged("If-None-Match: \"a\"\n", ""));
    cr_expect_not(unchanged("If-None-Match: \"x, \\\"a\\\"\"\n", kept));
    cr_expect(unchanged("If-Modified-Since: " NOW "\n", kept));
    cr_expect(unchanged("If-Modified-Since: Tue Nov 14 22:13:21 2023\n", kept));
    cr_expect_not(unchanged("If-Modified-Since: Tue, 14 Nov 2023 22:13:19 GMT\n", kept));
    cr_expect_not(unchanged("If-None-Match: \"b\"\nIf-Modified-Since: " NOW "\n", kept),
                  "the tag alone counts when there is one");
    cr_expect_not(unchanged("If-Modified-Since: " NOW "\n", "ETag: \"a\"\n"));
    cr_expect_not(unchanged("", kept));
}

Test(cache_rules, dates)
{
    static const char *const good[] = {NOW, "Tuesday, 14-Nov-23 22:13:20 GMT",
                                       "Tue Nov 14 22:13:20 2023"};
    static const char *const bad[] = {"",         "0",
                                      "-1",       "Tue, 14 Nov 2023 22:13:20",
                                      NOW " ",    "Tue, 14 Nov 2023 25:13:20 GMT",
                                      "yesterday"};
    int64_t seconds = 0;
    for (size_t i = 0; i < 3; i++) {
        cr_expect_eq(http_date_parse(good[i], strlen(good[i]), &seconds), 0, "%s", good[i]);
        cr_expect_eq(seconds, NOW_S, "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(http_date_parse(bad[i], strlen(bad[i]), &seconds), -EINVAL, "%s", bad[i]);
}
