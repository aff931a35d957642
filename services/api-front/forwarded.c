#include "forwarded.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void trim(const char **text, size_t *len)
{
    while (*len > 0 && is_blank((*text)[0])) {
        (*text)++;
        (*len)--;
    }
    while (*len > 0 && is_blank((*text)[*len - 1]))
        (*len)--;
}

// The end of the part that begins at `text`: the next separator outside a quoted string.
static size_t part_end(const char *text, size_t len, char separator)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < len; i++) {
        if (quoted && text[i] == '\\' && i + 1 < len)
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && text[i] == separator)
            break;
    }
    return i;
}

typedef bool element_address_fn(const char *element, size_t len, struct address *ret_address);

static bool xff_address(const char *element, size_t len, struct address *ret_address)
{
    return address_parse(element, len, ret_address) == 0;
}

// for=192.0.2.60;proto=http;by=203.0.113.43  or  for="[2001:db8::1]:4711"
static bool rfc7239_address(const char *element, size_t len, struct address *ret_address)
{
    while (len > 0) {
        size_t end = part_end(element, len, ';');
        const char *pair = element;
        size_t pair_len = end;
        trim(&pair, &pair_len);
        if (pair_len > 4 && strncasecmp(pair, "for=", 4) == 0) {
            const char *value = pair + 4;
            size_t value_len = pair_len - 4;
            if (value_len >= 2 && value[0] == '"' && value[value_len - 1] == '"') {
                value++;
                value_len -= 2;
            }
            return address_parse(value, value_len, ret_address) == 0;
        }
        size_t step = end < len ? end + 1 : end;
        element += step;
        len -= step;
    }
    return false;
}

// A client may send an open quote to swallow what our proxies append behind it. Proxies add whole
// quoted strings, so it then shows as an odd number, and quotes are taken for ordinary bytes.
static bool quotes_balance(const char *values)
{
    bool quoted = false;
    for (const char *c = values; *c != '\0'; c++) {
        if (quoted && *c == '\\' && c[1] != '\0')
            c++;
        else if (*c == '"')
            quoted = !quoted;
    }
    return !quoted;
}

// Elements are found from the left (quoted strings) but judged from the right; the last ones are
// kept in a ring, since no honest chain of proxies is longer.
#define CHAIN_MAX 32
struct chain {
    const char *elements[CHAIN_MAX];
    size_t lens[CHAIN_MAX];
    size_t n; // in all; the last CHAIN_MAX are there
};

static void chain_split(const char *values, bool quoting, struct chain *chain)
{
    size_t len = strlen(values);
    while (len > 0) {
        size_t end = 0;
        if (quoting) {
            end = part_end(values, len, ',');
        } else {
            const char *comma = memchr(values, ',', len);
            end = comma != NULL ? (size_t)(comma - values) : len;
        }
        const char *element = values;
        size_t element_len = end;
        trim(&element, &element_len);
        if (element_len > 0) { // empty list elements count for nothing (RFC 9110 5.6.1)
            chain->elements[chain->n % CHAIN_MAX] = element;
            chain->lens[chain->n % CHAIN_MAX] = element_len;
            chain->n++;
        }
        size_t step = end < len ? end + 1 : end;
        values += step;
        len -= step;
    }
}

static bool walk(const struct address *peer, const struct chain *chain,
                 const struct cidr_list *trusted, element_address_fn *address_of,
                 struct address *ret_client)
{
    struct address client = *peer;
    bool known = true;
    size_t kept = chain->n < CHAIN_MAX ? chain->n : CHAIN_MAX;
    for (size_t i = 0; i < kept && cidr_list_has(trusted, &client); i++) {
        size_t at = (chain->n - 1 - i) % CHAIN_MAX;
        struct address next;
        known = address_of(chain->elements[at], chain->lens[at], &next);
        if (!known)
            break;
        client = next;
    }
    *ret_client = client;
    return known;
}

bool forwarded_client_xff(const struct address *peer, const char *values,
                          const struct cidr_list *trusted, struct address *ret_client)
{
    struct chain chain = {.n = 0};
    chain_split(values, false, &chain);
    return walk(peer, &chain, trusted, xff_address, ret_client);
}

bool forwarded_client_rfc7239(const struct address *peer, const char *values,
                              const struct cidr_list *trusted, struct address *ret_client)
{
    struct chain chain = {.n = 0};
    chain_split(values, quotes_balance(values), &chain);
    return walk(peer, &chain, trusted, rfc7239_address, ret_client);
}

enum forwarded_both forwarded_client_both(const struct address *peer, const char *xff,
                                          const char *rfc7239, const struct cidr_list *trusted,
                                          struct address *ret_client)
{
    struct address by_xff;
    struct address by_rfc7239;
    bool xff_known = forwarded_client_xff(peer, xff, trusted, &by_xff);
    bool rfc7239_known = forwarded_client_rfc7239(peer, rfc7239, trusted, &by_rfc7239);
    if (memcmp(&by_xff, &by_rfc7239, sizeof(by_xff)) == 0) {
        *ret_client = by_xff;
        return xff_known && rfc7239_known ? FORWARDED_BOTH_KNOWN : FORWARDED_BOTH_UNCERTAIN;
    }
    bool xff_ends_at_ours = cidr_list_has(trusted, &by_xff);
    bool rfc7239_ends_at_ours = cidr_list_has(trusted, &by_rfc7239);
    if (!xff_known || !rfc7239_known || xff_ends_at_ours == rfc7239_ends_at_ours) {
        *ret_client = *peer;
        return FORWARDED_BOTH_DIFFER;
    }
    *ret_client = xff_ends_at_ours ? by_rfc7239 : by_xff;
    return FORWARDED_BOTH_KNOWN;
}
