// fuzz-links: service_api-front
// Cache-Control, Vary, Expires, Age and validators of arbitrary bytes: what says no-store or
// private in so many words is never kept, and a request always fits the variant that it made.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cache_rules.h"

#define HEADERS_MAX 16

// Lines of the input, turn by turn fields of the request and of the answer, under names that count.
static void split(const uint8_t *data, size_t len, struct http_header lists[2][HEADERS_MAX],
                  size_t counts[2])
{
    static const char *const names[] = {"cache-control", "vary", "expires",       "age",
                                        "date",          "etag", "if-none-match", "x-a"};
    size_t start = 0;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && data[i] != '\n')
            continue;
        if (i > start) {
            size_t side = data[start] >> 7 & 1;
            const char *name = names[data[start] & 7];
            if (counts[side] < HEADERS_MAX)
                lists[side][counts[side]++] = (struct http_header){
                    name, strlen(name), (const char *)data + start + 1, i - start - 1};
        }
        start = i + 1;
    }
}

static bool says(const struct http_header *headers, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (http_name_is(headers[i].name, headers[i].name_len, "cache-control") &&
            http_name_is(headers[i].value, headers[i].value_len, word))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct http_header lists[2][HEADERS_MAX];
    size_t counts[2] = {0};
    struct cache_terms terms = {0};
    split(data, len, lists, counts);
    const struct cache_answer answer = {.status = 200, .headers = lists[1], .n_headers = counts[1]};
    enum cache_verdict verdict = cache_judge(lists[0], counts[0], &answer, 1700000000, 1, &terms);
    if (says(lists[1], counts[1], "no-store") || says(lists[1], counts[1], "private"))
        ASSERT(verdict == CACHE_DROP);
    if (verdict == CACHE_KEEP && counts[0] == 0 && terms.age_s < terms.lifetime_s)
        ASSERT(cache_may_use(&terms, 0, UINT64_MAX, lists[0], counts[0]));
    struct strbuf vary = STRBUF_INIT;
    if (cache_vary_write(&answer, lists[0], counts[0], &vary) == 0 &&
        memchr(strbuf_text(&vary), '\0', vary.len) == NULL && memchr(data, '\0', len) == NULL)
        ASSERT(cache_vary_matches(strbuf_text(&vary), lists[0], counts[0]));
    (void)cache_is_not_modified(lists[0], counts[0], lists[1], counts[1]);
    strbuf_fini(&vary);
    return 0;
}
