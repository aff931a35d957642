#include "ratelimit_fields.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "limit/limit.h"

// RFC 8941 strings are printable ASCII; other bytes never are in a policy's name, and are dropped.
static void append_sf_string(struct strbuf *out, const char *text)
{
    strbuf_puts(out, "\"");
    for (const char *c = text; *c != '\0'; c++) {
        if (*c < 0x20 || *c > 0x7e)
            continue;
        if (*c == '"' || *c == '\\')
            strbuf_puts(out, "\\");
        strbuf_append(out, c, 1);
    }
    strbuf_puts(out, "\"");
}

// By hand: these fields stand on every answer, and printf would cost more than the limit itself.
static void append_u64(struct strbuf *out, const char *name, uint64_t value)
{
    char text[24];
    size_t at = sizeof(text);
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    strbuf_puts(out, name);
    strbuf_append(out, text + at, sizeof(text) - at);
}

uint64_t ratelimit_seconds(uint64_t ns)
{
    uint64_t seconds = ns / NS_PER_S + (ns % NS_PER_S != 0);
    return seconds > 0 ? seconds : 1;
}

int ratelimit_styles_parse(const char *text, uint32_t *ret_styles, const char **ret_why)
{
    static const struct {
        const char *name;
        uint32_t style;
    } names[] = {{"ietf", RATELIMIT_IETF},
                 {"draft-7", RATELIMIT_DRAFT_7},
                 {"draft-6", RATELIMIT_DRAFT_6},
                 {"legacy", RATELIMIT_LEGACY},
                 {"none", 0}};
    uint32_t styles = 0;
    size_t n = 0, n_none = 0, len;
    const char *item;
    *ret_why = "is no list of ietf, draft-7, draft-6 and legacy, or none";
    for (; parse_list_next(&text, &item, &len); n++) {
        size_t i = 0, n_names = sizeof(names) / sizeof(names[0]);
        while (i < n_names &&
               (strlen(names[i].name) != len || memcmp(names[i].name, item, len) != 0))
            i++;
        if (i == n_names)
            return -EINVAL;
        if ((styles & names[i].style) != 0) {
            *ret_why = "names one of its words twice; allowed is each once";
            return -EINVAL;
        }
        styles |= names[i].style;
        n_none += names[i].style == 0;
    }
    uint32_t same_fields = styles & (RATELIMIT_IETF | RATELIMIT_DRAFT_7 | RATELIMIT_DRAFT_6);
    if (n == 0 || (n_none > 0 && n > 1))
        return -EINVAL;
    if ((same_fields & (same_fields - 1)) != 0) {
        *ret_why = "names two of ietf, draft-7 and draft-6, which write the same fields in "
                   "different forms; allowed is one of them, with or without legacy";
        return -EINVAL;
    }
    *ret_styles = styles;
    return 0;
}

// What a client may still ask: nothing, when the rest does not hold one more such request.
static uint64_t remaining_of(const struct ratelimit_item *item)
{
    return item->violated || item->remaining < item->cost ? 0 : item->remaining;
}

static uint64_t reset_seconds(const struct ratelimit_item *item)
{
    return ratelimit_seconds(item->concurrent && !item->violated ? 0 : item->reset_ns);
}

static bool has_reset(const struct ratelimit_item *item)
{
    return !item->violated || item->reset_ns != LIMIT_NEVER;
}

static bool any_violated(const struct ratelimit_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (items[i].violated)
            return true;
    return false;
}

static void begin_member(struct strbuf *out)
{
    if (out->len > 0)
        strbuf_puts(out, ", ");
}

static void put_ietf_policies(const struct ratelimit_item *items, size_t n, struct strbuf *out)
{
    for (size_t i = 0; i < n; i++) {
        begin_member(out);
        append_sf_string(out, items[i].policy);
        append_u64(out, ";q=", items[i].limit);
        if (items[i].concurrent)
            strbuf_puts(out, ";qu=\"concurrent-requests\"");
        else
            append_u64(out, ";w=", ratelimit_seconds(items[i].window_ns));
    }
}

static void put_ietf_states(const struct ratelimit_item *items, size_t n, struct strbuf *out)
{
    bool denied = any_violated(items, n);
    for (size_t i = 0; i < n; i++) {
        if (denied && !items[i].violated)
            continue;
        begin_member(out);
        append_sf_string(out, items[i].policy);
        append_u64(out, ";r=", remaining_of(&items[i]));
        if (has_reset(&items[i]) && (!items[i].concurrent || items[i].violated))
            append_u64(out, ";t=", reset_seconds(&items[i]));
    }
}

static void put_old_policies(const struct ratelimit_item *items, size_t n, struct strbuf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (items[i].concurrent)
            continue; // these generations know windows only
        begin_member(out);
        append_u64(out, "", items[i].limit);
        append_u64(out, ";w=", ratelimit_seconds(items[i].window_ns));
    }
}

static const struct ratelimit_item *longest_wait(const struct ratelimit_item *items, size_t n)
{
    const struct ratelimit_item *longest = NULL;
    for (size_t i = 0; i < n; i++)
        if (items[i].violated && (longest == NULL || items[i].reset_ns > longest->reset_ns))
            longest = &items[i];
    return longest;
}

// The item that the next request would meet first: in whole requests of this one's cost.
static const struct ratelimit_item *tightest(const struct ratelimit_item *items, size_t n)
{
    const struct ratelimit_item *tight = longest_wait(items, n);
    if (tight != NULL)
        return tight;
    uint64_t fewest = UINT64_MAX;
    for (size_t i = 0; i < n; i++) {
        uint64_t requests = items[i].remaining / (items[i].cost > 0 ? items[i].cost : 1);
        bool later = tight != NULL && requests == fewest && items[i].reset_ns > tight->reset_ns;
        if (tight == NULL || requests < fewest || later) {
            tight = &items[i];
            fewest = requests;
        }
    }
    return tight;
}

struct writer {
    struct strbuf *text;
    ratelimit_add_fn *add;
    void *arg;
};

static void write_text(struct writer *writer, const char *name)
{
    if (writer->text->len > 0 && strbuf_ok(writer->text))
        writer->add(writer->arg, name, strbuf_text(writer->text));
    strbuf_clear(writer->text);
}

static void write_number(struct writer *writer, const char *name, uint64_t value)
{
    append_u64(writer->text, "", value);
    write_text(writer, name);
}

static void write_draft_7(struct writer *writer, const struct ratelimit_item *item)
{
    append_u64(writer->text, "limit=", item->limit);
    append_u64(writer->text, ", remaining=", remaining_of(item));
    if (has_reset(item))
        append_u64(writer->text, ", reset=", reset_seconds(item));
    write_text(writer, "RateLimit");
}

static void write_three(struct writer *writer, const char *const names[3],
                        const struct ratelimit_item *item, uint64_t reset)
{
    write_number(writer, names[0], item->limit);
    write_number(writer, names[1], remaining_of(item));
    if (has_reset(item))
        write_number(writer, names[2], reset);
}

void ratelimit_fields(const struct ratelimit_item *items, size_t n, uint32_t styles,
                      uint64_t wall_ns, struct strbuf *scratch, ratelimit_add_fn *add, void *arg)
{
    static const char *const draft_6[] = {"RateLimit-Limit", "RateLimit-Remaining",
                                          "RateLimit-Reset"};
    static const char *const legacy[] = {"X-RateLimit-Limit", "X-RateLimit-Remaining",
                                         "X-RateLimit-Reset"};
    struct writer writer = {.text = scratch, .add = add, .arg = arg};
    strbuf_clear(scratch);
    if (n == 0)
        return;
    if (styles & RATELIMIT_IETF) {
        put_ietf_policies(items, n, scratch);
        write_text(&writer, "RateLimit-Policy");
        put_ietf_states(items, n, scratch);
        write_text(&writer, "RateLimit");
    }
    const struct ratelimit_item *tight = styles != RATELIMIT_IETF ? tightest(items, n) : NULL;
    if (styles & (RATELIMIT_DRAFT_7 | RATELIMIT_DRAFT_6)) {
        put_old_policies(items, n, scratch);
        write_text(&writer, "RateLimit-Policy");
    }
    if (styles & RATELIMIT_DRAFT_7)
        write_draft_7(&writer, tight);
    if (styles & RATELIMIT_DRAFT_6)
        write_three(&writer, draft_6, tight, reset_seconds(tight));
    if (styles & RATELIMIT_LEGACY) {
        uint64_t now_s = (wall_ns + NS_PER_S - 1) / NS_PER_S;
        write_three(&writer, legacy, tight, now_s + reset_seconds(tight));
    }
}

void ratelimit_problem_members(const struct ratelimit_item *items, size_t n,
                               uint64_t retry_after_ns, struct strbuf *out)
{
    const struct ratelimit_item *longest = longest_wait(items, n);
    strbuf_puts(out, "\"violated-policies\":[");
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        if (!items[i].violated)
            continue;
        if (!first)
            strbuf_puts(out, ",");
        first = false;
        strbuf_json_string(out, items[i].policy, strlen(items[i].policy));
    }
    strbuf_puts(out, "]");
    if (longest == NULL)
        return;
    strbuf_puts(out, ",\"policy\":");
    strbuf_json_string(out, longest->policy, strlen(longest->policy));
    append_u64(out, ",\"limit\":", longest->limit);
    if (!longest->concurrent)
        append_u64(out, ",\"window\":", ratelimit_seconds(longest->window_ns));
    if (retry_after_ns != LIMIT_NEVER)
        append_u64(out, ",\"retry-after\":", ratelimit_seconds(retry_after_ns));
}
