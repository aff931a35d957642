#include "ratelimit_fields.h"

#include <string.h>

#include "base/clock.h"

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

void ratelimit_policy_field(const struct ratelimit_item *items, size_t n, struct strbuf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            strbuf_puts(out, ", ");
        append_sf_string(out, items[i].policy);
        append_u64(out, ";q=", items[i].limit);
        append_u64(out, ";w=", ratelimit_seconds(items[i].window_ns));
    }
}

static bool any_violated(const struct ratelimit_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (items[i].violated)
            return true;
    return false;
}

void ratelimit_field(const struct ratelimit_item *items, size_t n, struct strbuf *out)
{
    bool denied = any_violated(items, n);
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        if (denied && !items[i].violated)
            continue;
        if (!first)
            strbuf_puts(out, ", ");
        first = false;
        append_sf_string(out, items[i].policy);
        append_u64(out, ";r=", items[i].violated ? 0 : items[i].remaining);
        append_u64(out, ";t=", ratelimit_seconds(items[i].reset_ns));
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
    append_u64(out, ",\"limit\":", longest->limit);
    append_u64(out, ",\"window\":", ratelimit_seconds(longest->window_ns));
    append_u64(out, ",\"retry-after\":", ratelimit_seconds(retry_after_ns));
    strbuf_puts(out, ",\"key\":");
    strbuf_json_string(out, longest->key, strlen(longest->key));
}
