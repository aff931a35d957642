#include "cache_rules.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "http_date.h"

const struct http_header *cache_header(const struct http_header *headers, size_t n,
                                       const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (http_name_is(headers[i].name, headers[i].name_len, name))
            return &headers[i];
    return NULL;
}

// ---- Cache-Control ----------------------------------------------------------------------------

// One item of a list whose quoted strings may hold commas. False at the end.
static bool next_item(const char *text, size_t len, size_t *at, const char **ret_item,
                      size_t *ret_len)
{
    while (*at < len && (text[*at] == ',' || text[*at] == ' ' || text[*at] == '\t'))
        ++*at;
    size_t start = *at;
    bool quoted = false;
    for (; *at < len && (quoted || text[*at] != ','); ++*at) {
        if (quoted && text[*at] == '\\' && *at + 1 < len)
            ++*at;
        else if (text[*at] == '"')
            quoted = !quoted;
    }
    size_t end = *at;
    while (end > start && (text[end - 1] == ' ' || text[end - 1] == '\t'))
        end--;
    *ret_item = text + start;
    *ret_len = end - start;
    return end > start;
}

static uint32_t seconds_of(const char *text, size_t len)
{
    uint64_t value;
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
        text++;
        len -= 2;
    }
    int error = parse_u64_n(text, len, 0, UINT64_MAX, &value);
    if (error == -ERANGE || (error == 0 && value >= CACHE_UNSAID_S))
        return CACHE_UNSAID_S - 1;
    return error == 0 ? (uint32_t)value : 0; // what cannot be read is as stale as can be (4.2.1)
}

static void set_smaller(uint32_t *time_s, uint32_t value_s)
{
    if (value_s < *time_s)
        *time_s = value_s;
}

static void read_directive(struct cache_control *control, const char *item, size_t len)
{
    static const struct {
        const char *name;
        size_t offset;
        bool is_time;
    } known[] = {
        {"no-store", offsetof(struct cache_control, no_store), false},
        {"no-cache", offsetof(struct cache_control, no_cache), false},
        {"private", offsetof(struct cache_control, is_private), false},
        {"public", offsetof(struct cache_control, is_public), false},
        {"must-revalidate", offsetof(struct cache_control, must_revalidate), false},
        {"proxy-revalidate", offsetof(struct cache_control, proxy_revalidate), false},
        {"max-age", offsetof(struct cache_control, max_age_s), true},
        {"s-maxage", offsetof(struct cache_control, s_maxage_s), true},
        {"stale-if-error", offsetof(struct cache_control, stale_if_error_s), true},
    };
    const char *equals = memchr(item, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - item) : len;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        void *at = (char *)control + known[i].offset;
        if (!http_name_is(item, name_len, known[i].name))
            continue;
        if (known[i].is_time)
            set_smaller(at, equals != NULL ? seconds_of(equals + 1, len - name_len - 1) : 0);
        else
            *(bool *)at = true;
    }
}

void cache_control_read(const struct http_header *headers, size_t n, struct cache_control *ret)
{
    *ret = (struct cache_control){.max_age_s = CACHE_UNSAID_S,
                                  .s_maxage_s = CACHE_UNSAID_S,
                                  .stale_if_error_s = CACHE_UNSAID_S};
    for (size_t i = 0; i < n; i++) {
        size_t at = 0, len;
        const char *item;
        if (!http_name_is(headers[i].name, headers[i].name_len, "cache-control"))
            continue;
        while (next_item(headers[i].value, headers[i].value_len, &at, &item, &len))
            read_directive(ret, item, len);
    }
}

// ---- may it be kept ---------------------------------------------------------------------------

bool cache_has_credentials(const struct http_header *request_headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct http_header *h = &request_headers[i];
        if (http_name_is(h->name, h->name_len, "authorization") ||
            http_name_is(h->name, h->name_len, "cookie") ||
            http_name_is(h->name, h->name_len, "x-api-key"))
            return true;
    }
    return false;
}

static bool is_good(unsigned status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 300:
    case 301:
    case 308:
        return true;
    default:
        return false;
    }
}

static uint32_t cap_seconds(int64_t seconds)
{
    if (seconds <= 0)
        return 0;
    return seconds < CACHE_UNSAID_S ? (uint32_t)seconds : CACHE_UNSAID_S - 1;
}

static bool date_of(const struct cache_answer *answer, const char *name, int64_t *ret_s)
{
    const struct http_header *field = cache_header(answer->headers, answer->n_headers, name);
    return field != NULL && http_date_parse(field->value, field->value_len, ret_s) == 0;
}

// 4.2.3: the larger of what Date and Age say.
static uint32_t age_on_arrival(const struct cache_answer *answer, int64_t wall_s, uint32_t delay_s)
{
    const struct http_header *field = cache_header(answer->headers, answer->n_headers, "age");
    int64_t date_s, age_s = (int64_t)delay_s;
    if (field != NULL)
        age_s += seconds_of(field->value, field->value_len);
    int64_t apparent_s = date_of(answer, "date", &date_s) ? wall_s - date_s : 0;
    return cap_seconds(apparent_s > age_s ? apparent_s : age_s);
}

// 4.2.1
static uint32_t lifetime_of(const struct cache_answer *answer, const struct cache_control *control,
                            int64_t wall_s)
{
    int64_t expires_s, date_s;
    if (control->s_maxage_s != CACHE_UNSAID_S)
        return control->s_maxage_s;
    if (control->max_age_s != CACHE_UNSAID_S)
        return control->max_age_s;
    if (!date_of(answer, "expires", &expires_s))
        return 0;
    return cap_seconds(expires_s - (date_of(answer, "date", &date_s) ? date_s : wall_s));
}

// 4.2.4: an answer may forbid its use when stale. s-maxage forbids it as proxy-revalidate does
// (5.2.2.10), unless stale-if-error says that it is meant for healthy times.
static uint32_t stale_time_of(const struct cache_control *control)
{
    if (control->must_revalidate || control->proxy_revalidate)
        return 0;
    if (control->stale_if_error_s != CACHE_UNSAID_S)
        return control->stale_if_error_s;
    return control->s_maxage_s != CACHE_UNSAID_S ? 0 : CACHE_UNSAID_S;
}

static enum cache_verdict judge(const struct cache_answer *answer,
                                const struct cache_control *control)
{
    if (answer->status == 404 || answer->status == 410)
        return CACHE_DROP; // it is gone: nobody should be told what it was
    if (!is_good(answer->status))
        return CACHE_PASS;
    if (control->no_store || control->is_private || control->no_cache)
        return CACHE_DROP; // what was kept came before it became so
    if (cache_header(answer->headers, answer->n_headers, "set-cookie") != NULL)
        return CACHE_PASS;
    return CACHE_KEEP;
}

enum cache_verdict cache_judge(const struct http_header *request_headers, size_t n_request_headers,
                               const struct cache_answer *answer, int64_t wall_s, uint32_t delay_s,
                               struct cache_terms *ret_terms)
{
    struct cache_control asked, control;
    cache_control_read(request_headers, n_request_headers, &asked);
    cache_control_read(answer->headers, answer->n_headers, &control);
    bool shared =
        control.is_public || control.must_revalidate || control.s_maxage_s != CACHE_UNSAID_S;
    bool own = cache_has_credentials(request_headers, n_request_headers);
    enum cache_verdict verdict = judge(answer, &control);
    // What one caller is told with his credentials says nothing about what others are told.
    if (verdict == CACHE_DROP)
        return own ? CACHE_PASS : CACHE_DROP;
    if (verdict == CACHE_PASS || asked.no_store || (own && !shared))
        return CACHE_PASS;
    *ret_terms = (struct cache_terms){
        .age_s = age_on_arrival(answer, wall_s, delay_s),
        .lifetime_s = lifetime_of(answer, &control, wall_s),
        .stale_s = stale_time_of(&control),
        .shared = shared,
    };
    return CACHE_KEEP;
}

// ---- may it be used ---------------------------------------------------------------------------

uint64_t cache_age_s(const struct cache_terms *terms, uint64_t resident_s)
{
    return terms->age_s + resident_s;
}

uint64_t cache_stale_age_s(const struct cache_terms *terms, uint64_t resident_s)
{
    uint64_t age_s = cache_age_s(terms, resident_s);
    return age_s > terms->lifetime_s ? age_s - terms->lifetime_s : 0;
}

bool cache_may_use(const struct cache_terms *terms, uint64_t resident_s, uint64_t max_age_s,
                   const struct http_header *request_headers, size_t n)
{
    struct cache_control asked;
    cache_control_read(request_headers, n, &asked);
    uint64_t stale_s = cache_stale_age_s(terms, resident_s);
    // 4.2: it is fresh while its lifetime is greater than its age.
    bool fresh = cache_age_s(terms, resident_s) < terms->lifetime_s;
    if (asked.no_cache || cache_age_s(terms, resident_s) > max_age_s)
        return false;
    if (!terms->shared && cache_has_credentials(request_headers, n))
        return false;
    if (fresh)
        return true;
    return terms->stale_s != 0 && stale_s <= terms->stale_s && stale_s <= asked.stale_if_error_s;
}

// ---- Vary -------------------------------------------------------------------------------------

static void write_line(const char *name, size_t len, const struct http_header *headers, size_t n,
                       struct strbuf *out)
{
    bool any = false;
    strbuf_append(out, name, len);
    for (size_t i = 0; i < n; i++) {
        if (headers[i].name_len != len || strncasecmp(headers[i].name, name, len) != 0)
            continue;
        strbuf_puts(out, any ? ", " : ":");
        strbuf_append(out, headers[i].value, headers[i].value_len);
        any = true;
    }
    strbuf_puts(out, "\n");
}

static int write_names(const struct http_header *vary, const struct http_header *request_headers,
                       size_t n, unsigned *names, struct strbuf *out)
{
    size_t at = 0, len;
    const char *item;
    while (http_list_next(vary->value, vary->value_len, &at, &item, &len)) {
        if (len == 1 && item[0] == '*')
            return -EPERM;
        if (!http_is_token(item, len))
            return -EPERM; // nobody knows what it means
        if (++*names > CACHE_VARY_NAMES_MAX)
            return -E2BIG;
        write_line(item, len, request_headers, n, out);
    }
    return 0;
}

int cache_vary_write(const struct cache_answer *answer, const struct http_header *request_headers,
                     size_t n, struct strbuf *out)
{
    unsigned names = 0;
    static const char encoding[] = "accept-encoding";
    if (cache_header(answer->headers, answer->n_headers, "content-encoding") != NULL)
        write_line(encoding, sizeof(encoding) - 1, request_headers, n, out);
    for (size_t i = 0; i < answer->n_headers; i++) {
        const struct http_header *h = &answer->headers[i];
        if (!http_name_is(h->name, h->name_len, "vary"))
            continue;
        int error = write_names(h, request_headers, n, &names, out);
        if (error != 0)
            return error;
    }
    if (!strbuf_ok(out))
        return -ENOMEM;
    return out->len <= CACHE_VARY_BYTES_MAX ? 0 : -E2BIG;
}

bool cache_vary_matches(const char *vary, const struct http_header *request_headers, size_t n)
{
    struct strbuf own = STRBUF_INIT;
    for (const char *line = vary; *line != '\0'; line += strcspn(line, "\n") + 1)
        write_line(line, strcspn(line, ":\n"), request_headers, n, &own);
    bool same = strbuf_ok(&own) && strcmp(strbuf_text(&own), vary) == 0;
    strbuf_fini(&own);
    return same;
}

// ---- validators -------------------------------------------------------------------------------

bool cache_same_etag(const char *a, size_t a_len, const char *b, size_t b_len)
{
    if (a_len >= 2 && a[0] == 'W' && a[1] == '/') {
        a += 2;
        a_len -= 2;
    }
    if (b_len >= 2 && b[0] == 'W' && b[1] == '/') {
        b += 2;
        b_len -= 2;
    }
    return a_len == b_len && a_len >= 2 && memcmp(a, b, a_len) == 0;
}

static bool lists_etag(const struct http_header *field, const struct http_header *etag)
{
    size_t at = 0, len;
    const char *item;
    while (next_item(field->value, field->value_len, &at, &item, &len)) {
        if (len == 1 && item[0] == '*')
            return true;
        if (etag != NULL && cache_same_etag(item, len, etag->value, etag->value_len))
            return true;
    }
    return false;
}

bool cache_is_not_modified(const struct http_header *request_headers, size_t n_request_headers,
                           const struct http_header *headers, size_t n_headers)
{
    bool any = false;
    for (size_t i = 0; i < n_request_headers; i++) {
        const struct http_header *h = &request_headers[i];
        if (!http_name_is(h->name, h->name_len, "if-none-match"))
            continue;
        any = true;
        if (lists_etag(h, cache_header(headers, n_headers, "etag")))
            return true;
    }
    const struct http_header *since =
        cache_header(request_headers, n_request_headers, "if-modified-since");
    const struct http_header *modified = cache_header(headers, n_headers, "last-modified");
    int64_t since_s, modified_s;
    return !any && since != NULL && modified != NULL &&
           http_date_parse(since->value, since->value_len, &since_s) == 0 &&
           http_date_parse(modified->value, modified->value_len, &modified_s) == 0 &&
           modified_s <= since_s;
}
