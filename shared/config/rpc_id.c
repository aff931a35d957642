#include "config/rpc_id.h"

#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 18 // so many always fit into 64 bits

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
        at++;
    return at;
}

static const char *skip_text(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at + 1 : end;
}

static const char *skip_value(const char *at, const char *end)
{
    size_t depth = 0;
    do {
        if (at < end && *at == '"') {
            at = skip_text(at, end);
        } else if (at < end && (*at == '{' || *at == '[')) {
            depth++;
            at++;
        } else if (depth > 0 && at < end) {
            depth -= *at == '}' || *at == ']';
            at++;
        } else {
            while (at < end && strchr(",]} \t\r\n", *at) == NULL)
                at++;
        }
    } while (depth > 0 && at < end);
    return at;
}

// `at` is behind the '{'.
static struct rpc_id find_id(const char *at, const char *end)
{
    for (;;) {
        const char *name = skip_blanks(at, end);
        if (name == end || *name != '"')
            return (struct rpc_id){0};
        const char *colon = skip_blanks(skip_text(name, end), end);
        if (colon == end || *colon != ':')
            return (struct rpc_id){0};
        const char *value = skip_blanks(colon + 1, end);
        const char *stop = skip_value(value, end);
        if (colon - name >= 4 && memcmp(name, "\"id\"", 4) == 0)
            return (struct rpc_id){.text = value, .len = (size_t)(stop - value)};
        at = skip_blanks(stop, end);
        if (at == end || *at != ',')
            return (struct rpc_id){0};
        at++;
    }
}

struct rpc_ids rpc_ids_of(const char *body, size_t len)
{
    const char *at = skip_blanks(body, body + len);
    at += at < body + len && *at == '[';
    return (struct rpc_ids){.at = at, .end = body + len};
}

struct rpc_id rpc_ids_next(struct rpc_ids *ids)
{
    const char *at = skip_blanks(ids->at, ids->end);
    if (at < ids->end && *at == ',')
        at = skip_blanks(at + 1, ids->end);
    ids->at = skip_value(at, ids->end);
    return at < ids->end && *at == '{' ? find_id(at + 1, ids->at) : (struct rpc_id){0};
}

static bool is_long(const struct rpc_id *id)
{
    size_t sign = id->len > 0 && id->text[0] == '-';
    for (size_t i = sign; i < id->len; i++)
        if (id->text[i] < '0' || id->text[i] > '9')
            return false;
    bool leading_zero = id->len > sign && id->text[sign] == '0'; // no JSON
    return id->len > sign + DIGITS_MAX && !leading_zero;
}

char *rpc_ids_as_text(const char *body, size_t len, size_t *ret_len)
{
    const char *end = body + len, *copied = body;
    char *out = NULL, *to = NULL;
    struct rpc_ids ids = rpc_ids_of(body, len);
    while (ids.at < end) {
        const char *before = ids.at;
        const struct rpc_id id = rpc_ids_next(&ids);
        if (ids.at == before)
            break; // no more calls
        if (!id.text || !is_long(&id))
            continue;
        if (out == NULL) // "#" and quotes for each of so many digits: less than a quarter more
            out = to = malloc(len + len / 4 + 1);
        if (out == NULL)
            return NULL;
        to = (char *)mempcpy(to, copied, (size_t)(id.text - copied));
        to = (char *)mempcpy(to, "\"#", 2);
        to = (char *)mempcpy(to, id.text, id.len);
        *to++ = '"';
        copied = id.text + id.len;
    }
    if (out == NULL)
        return NULL;
    to = (char *)mempcpy(to, copied, (size_t)(end - copied));
    *ret_len = (size_t)(to - out);
    return out;
}
