// What a shared cache may keep and give again, as far as the fallback `cache` needs it: RFC 9111
// (sections are named below) and RFC 5861 (stale-if-error). Where both leave a choice, the careful
// one is taken: what might be one caller's own is not kept. Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_CACHE_RULES_H
#define VALVECHAIN_API_FRONT_CACHE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "http_syntax.h"

#define CACHE_UNSAID_S UINT32_MAX // of a time: nothing was said; larger ones are one less

// All Cache-Control fields of a message together (5.2). A directive with a list of field names
// (private="x") counts as the one without; of a time that is said twice, or is none, the smaller
// counts.
struct cache_control {
    bool no_store, no_cache, is_private, is_public, must_revalidate, proxy_revalidate;
    uint32_t max_age_s, s_maxage_s, stale_if_error_s;
};
void cache_control_read(const struct http_header *headers, size_t n, struct cache_control *ret);

// Authorization, Cookie or X-API-Key: the answer may be the caller's own.
bool cache_has_credentials(const struct http_header *request_headers, size_t n);

// Under what terms a kept answer may be used again.
struct cache_terms {
    uint32_t age_s;      // when it came (4.2.3)
    uint32_t lifetime_s; // fresh so long (4.2.1); 0 when it does not say
    uint32_t stale_s;    // and stale so long after that; CACHE_UNSAID_S: as the route says
    bool shared;         // also when credentials come with a request (3.5)
};

enum cache_verdict {
    CACHE_KEEP, // the last good answer now
    CACHE_PASS, // not to be kept; says nothing about what is
    CACHE_DROP, // and what is kept is no longer good
};
struct cache_answer {
    unsigned status;
    const struct http_header *headers;
    size_t n_headers;
};
// Of an answer that is complete, to a GET, or to a POST that the route declares a read. Good are
// 200, 203, 204, 300, 301 and 308, without Set-Cookie; parts (206) are not.
// `wall_s`: now, since 1970; `delay_s`: from the request to the answer.
enum cache_verdict cache_judge(const struct http_header *request_headers, size_t n_request_headers,
                               const struct cache_answer *answer, int64_t wall_s, uint32_t delay_s,
                               struct cache_terms *ret_terms);

// May it be given in place of an error? `resident_s`: since it came; `max_age_s`: the route's
// bound. A request that says no-cache wants no such answer, and one with credentials gets only what
// is shared; its max-age, min-fresh and max-stale do not count (RFC 5861 4: "regardless of other
// freshness information").
bool cache_may_use(const struct cache_terms *terms, uint64_t resident_s, uint64_t max_age_s,
                   const struct http_header *request_headers, size_t n);
uint64_t cache_age_s(const struct cache_terms *terms, uint64_t resident_s);
uint64_t cache_stale_age_s(const struct cache_terms *terms, uint64_t resident_s); // 0: fresh

// The request's fields that the answer varies by (4.1), one a line, "name:value" or "name" where
// there is none; several of one name are joined. Accept-Encoding is among them when the answer has
// a Content-Encoding. 0, -EPERM for "*", -E2BIG, -ENOMEM.
#define CACHE_VARY_NAMES_MAX 16
#define CACHE_VARY_BYTES_MAX 4096
int cache_vary_write(const struct cache_answer *answer, const struct http_header *request_headers,
                     size_t n, struct strbuf *out);
// Does this request have the same values for the names in such a text?
bool cache_vary_matches(const char *vary, const struct http_header *request_headers, size_t n);

// If-None-Match (compared weakly), else If-Modified-Since: is what the client has the answer?
// RFC 9110 13.2.2.
bool cache_is_not_modified(const struct http_header *request_headers, size_t n_request_headers,
                           const struct http_header *headers, size_t n_headers);
// Two entity tags, equal but for W/. RFC 9110 8.8.3.2.
bool cache_same_etag(const char *a, size_t a_len, const char *b, size_t b_len);
const struct http_header *cache_header(const struct http_header *headers, size_t n,
                                       const char *name); // the first; NULL: none

#endif
