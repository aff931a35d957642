#include "last_good_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "answer.h"
#include "answer_header.h"
#include "answer_tap.h"
#include "base/clock.h"
#include "client.h"
#include "counters.h"
#include "exchange.h"
#include "limits.h"
#include "valves.h"

// Time goes on for answers also while the machine is suspended.
static uint64_t now_ns(void)
{
    return clock_read_ns(CLOCK_BOOTTIME);
}

uint64_t last_good_resident_s(const struct stored_answer *stored)
{
    uint64_t now = now_ns();
    return now > stored->received_ns ? (now - stored->received_ns) / NS_PER_S : 0;
}

static const struct config_fallback *cache_of(const struct request *request)
{
    return config_fallback_find(request->upstream, request->route, FALLBACK_CACHE);
}

static bool is_safe(unsigned method_bit)
{
    return (method_bit & (HTTP_GET | HTTP_HEAD | HTTP_OPTIONS)) != 0;
}

// ---- the question -----------------------------------------------------------------------------

static struct answer_text text_of(const char *text)
{
    return (struct answer_text){text != NULL ? text : "", text != NULL ? strlen(text) : 0};
}

static struct answer_text field_of(const struct request *request, const char *name)
{
    const struct http_header *field =
        request->identity.peer_is_proxy ? request_header(request, name) : NULL;
    return field != NULL ? (struct answer_text){field->value, field->value_len} : text_of(NULL);
}

void last_good_key(const struct request *request, const char *rpc_method, const char *rpc_params,
                   struct answer_key *ret_key)
{
    const struct config_route *route = request->route;
    const struct answer_text texts[] = {
        text_of(request->upstream->name),
        text_of(request->upstream->base_path),
        text_of(route->name),
        text_of(route->path),
        text_of(route->strip_path ? "strip" : route->rewrite),
        text_of(client_is_tls(request->client) ? "https" : "http"),
        field_of(request, "x-forwarded-proto"),
        field_of(request, "x-forwarded-host"),
        field_of(request, "forwarded"),
        text_of(request->host_header),
        {request->path, request->path_len},
        text_of(request->query),
        text_of(rpc_method != NULL ? "rpc" : ""),
        text_of(rpc_method),
        text_of(rpc_params),
    };
    answer_store_key(request->valves->store, texts, sizeof(texts) / sizeof(texts[0]), ret_key);
}

// ---- keeping ----------------------------------------------------------------------------------

bool last_good_looks_at(const struct request *request)
{
    const struct config_fallback *cache = cache_of(request);
    return cache != NULL && !(is_safe(request->method_bit) && request->has_body) &&
           request->method_bit != HTTP_HEAD && request->method_bit != HTTP_OPTIONS;
}

static enum cache_verdict judge(const struct request *request, const struct upstream_answer *answer,
                                struct cache_terms *ret_terms)
{
    const struct cache_answer head = {
        .status = answer->status, .headers = answer->headers, .n_headers = answer->n_headers};
    uint64_t delay_ns = clock_mono_ns() - request->upstream_start_ns;
    return cache_judge(request->headers, request->n_headers, &head,
                       (int64_t)(clock_wall_ns() / NS_PER_S), (uint32_t)(delay_ns / NS_PER_S),
                       ret_terms);
}

// The upstream found what the client has good; so is what is kept, when it is the same (RFC 9111
// 4.3.4). Its other fields stay as they were.
static void freshen(struct request *request, const struct upstream_answer *answer,
                    const struct answer_key *key)
{
    const struct http_header *etag = cache_header(answer->headers, answer->n_headers, "etag");
    struct answer_store *store = request->valves->store;
    struct upstream_answer good = *answer;
    struct cache_terms terms;
    good.status = 200; // judged by its fields
    struct stored_answer *stored =
        etag != NULL ? answer_store_get(store, key, request->headers, request->n_headers) : NULL;
    if (stored == NULL)
        return;
    const struct http_header *kept = cache_header(stored->headers, stored->n_headers, "etag");
    enum cache_verdict verdict = judge(request, &good, &terms);
    if (verdict == CACHE_KEEP && kept != NULL && kept->value_len == etag->value_len &&
        memcmp(kept->value, etag->value, etag->value_len) == 0) {
        // A 304 need not repeat Cache-Control: what the answer allowed stays.
        stored->terms.age_s = terms.age_s;
        stored->received_ns = now_ns();
        counters_cache(request->valves, COUNTERS_CACHE_FRESHENED);
    }
    answer_store_release(store, &stored);
}

// An end that only the closed connection tells may be the upstream's death in the middle.
static bool has_certain_end(const struct upstream_answer *answer)
{
    return answer->framing != ANSWER_OPEN ||
           cache_header(answer->headers, answer->n_headers, "transfer-encoding") != NULL;
}

bool last_good_begins(struct request *request, const struct upstream_answer *answer)
{
    struct answer_store *store = request->valves->store;
    struct answer_key key;
    struct cache_terms terms;
    last_good_key(request, NULL, NULL, &key);
    const struct config_fallback *cache = cache_of(request);
    bool is_rpc = request->method_bit == HTTP_POST && cache->rpc_methods != NULL;
    if (request->method_bit != HTTP_GET && !is_rpc) {
        if (answer->status >= 200 && answer->status < 400) // RFC 9111 4.4
            answer_store_drop(store, &key);
        return false;
    }
    if (is_rpc && (!request->body_complete || answer->status != 200 ||
                   cache_header(answer->headers, answer->n_headers, "content-encoding") != NULL))
        return false; // nothing that could be read
    if (answer->status == 304) {
        freshen(request, answer, &key);
        return false;
    }
    enum cache_verdict verdict = judge(request, answer, &terms);
    if (verdict == CACHE_DROP && !is_rpc)
        answer_store_drop(store, &key);
    bool keeps = verdict == CACHE_KEEP && has_certain_end(answer) &&
                 cache_header(answer->headers, answer->n_headers, "valvechain-fallback") == NULL;
    if (!keeps)
        counters_cache(request->valves, COUNTERS_CACHE_NOT_ALLOWED);
    return keeps;
}

static bool is_kept_header(const struct request *request, const struct upstream_answer *answer,
                           size_t i)
{
    const struct http_header *h = &answer->headers[i];
    return answer_header_passes(answer->headers, answer->n_headers, i) &&
           !http_name_is(h->name, h->name_len, "age") &&
           !http_name_is(h->name, h->name_len, "x-request-id") &&
           !limits_hide_header(request, h->name, h->name_len);
}

// Of those that the client was shown. NULL: no memory.
static struct http_header *kept_headers(struct request *request,
                                        const struct upstream_answer *answer, size_t *ret_n)
{
    struct http_header *headers =
        request_alloc(request, (answer->n_headers + 1) * sizeof(*headers));
    size_t n = 0;
    for (size_t i = 0; headers != NULL && i < answer->n_headers; i++)
        if (is_kept_header(request, answer, i))
            headers[n++] = answer->headers[i];
    *ret_n = n;
    return headers;
}

bool last_good_record(const struct request *request, const struct upstream_answer *answer,
                      struct strbuf *vary, struct answer_record *record)
{
    const struct cache_answer head = {
        .status = answer->status, .headers = answer->headers, .n_headers = answer->n_headers};
    if (judge(request, answer, &record->terms) != CACHE_KEEP ||
        cache_vary_write(&head, request->headers, request->n_headers, vary) != 0)
        return false;
    record->status = answer->status;
    record->vary = strbuf_text(vary);
    record->received_ns = now_ns();
    return true;
}

void last_good_keep(struct request *request, const struct upstream_answer *answer, char *body,
                    size_t len)
{
    struct answer_store *store = request->valves->store;
    struct answer_record record = {0};
    struct strbuf vary = STRBUF_INIT;
    enum counters_cache result = COUNTERS_CACHE_NOT_ALLOWED;
    if (request->method_bit == HTTP_POST) {
        last_good_keep_rpc(request, cache_of(request), answer, body, len);
        free(body);
        return;
    }
    record.headers = kept_headers(request, answer, &record.n_headers);
    if (record.headers != NULL && last_good_record(request, answer, &vary, &record)) {
        char *fitting = len > 0 ? realloc(body, len) : NULL;
        record.body = fitting != NULL ? fitting : body;
        record.body_len = len;
        body = record.body;
        last_good_key(request, NULL, NULL, &record.key);
        result =
            answer_store_put(store, &record) == 0 ? COUNTERS_CACHE_KEPT : COUNTERS_CACHE_TOO_LARGE;
    }
    if (result != COUNTERS_CACHE_KEPT)
        free(body);
    counters_cache(request->valves, result);
    strbuf_fini(&vary);
}

// ---- giving -----------------------------------------------------------------------------------

static void add_number(struct request *request, const char *name, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    (void)request_add_answer_header(request, name, text);
}

void last_good_mark(struct request *request, uint64_t age_s, uint64_t stale_age_s)
{
    request->fallback = "cache";
    request->source = ANSWER_FALLBACK;
    (void)request_add_answer_header(request, "Valvechain-Fallback", "cache");
    add_number(request, "Valvechain-Fallback-Age", stale_age_s);
    add_number(request, "Age", age_s);
    counters_fallback(request->valves, "cache");
}

// Does this header belong to a 304, too? RFC 9110 15.4.5.
static bool is_of_304(const struct http_header *h)
{
    return strncasecmp(h->name, "content-", 8) != 0 ||
           http_name_is(h->name, h->name_len, "content-location");
}

// But for those that the gateway has said already; several of one name all come.
static void add_headers(struct request *request, const struct stored_answer *stored, bool of_304)
{
    bool *hidden = request_alloc(request, stored->n_headers + 1);
    if (hidden == NULL)
        return;
    for (size_t i = 0; i < stored->n_headers; i++)
        hidden[i] = answer_has_own_header(request, &stored->headers[i]) ||
                    (of_304 && !is_of_304(&stored->headers[i]));
    for (size_t i = 0; i < stored->n_headers; i++)
        if (!hidden[i])
            (void)request_add_answer_header(request, stored->headers[i].name,
                                            stored->headers[i].value);
}

static void give(struct request *request, const struct stored_answer *stored)
{
    uint64_t resident = last_good_resident_s(stored);
    bool unchanged =
        stored->status == 200 && cache_is_not_modified(request->headers, request->n_headers,
                                                       stored->headers, stored->n_headers);
    add_headers(request, stored, unchanged);
    last_good_mark(request, cache_age_s(&stored->terms, resident),
                   cache_stale_age_s(&stored->terms, resident));
    (void)answer_in_place(request, unchanged ? 304 : stored->status, stored->body,
                          stored->body_len);
}

struct stored_answer *last_good_find(struct request *request, const struct answer_key *key,
                                     const struct config_fallback *fallback)
{
    struct answer_store *store = request->valves->store;
    struct stored_answer *stored =
        answer_store_get(store, key, request->headers, request->n_headers);
    if (stored != NULL &&
        !cache_may_use(&stored->terms, last_good_resident_s(stored), fallback->max_age_ms / 1000,
                       request->headers, request->n_headers))
        answer_store_release(store, &stored);
    return stored;
}

bool last_good_answer(struct request *request, const struct config_fallback *fallback)
{
    struct answer_key key;
    if (request->method_bit == HTTP_POST && fallback->rpc_methods != NULL)
        return last_good_answer_rpc(request, fallback);
    if ((request->method_bit & (HTTP_GET | HTTP_HEAD)) == 0 || request->has_body)
        return false;
    last_good_key(request, NULL, NULL, &key);
    request->stored = last_good_find(request, &key, fallback);
    if (request->stored == NULL)
        return false;
    give(request, request->stored);
    return true;
}

void last_good_end(struct request *request)
{
    answer_tap_close(request->tap);
    answer_store_release(request->valves->store, &request->stored);
}

void last_good_report(struct valves *valves)
{
    counters_cache_figures(valves, answer_store_figures(valves->store));
}
