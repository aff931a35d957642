#include "limit/limit_key.h"

#include <string.h>

#include "limit/key.h"

#define WRONG_KEY                                                                                  \
    "a key is client:ADDRESS, subject:TEXT, api-key:TEXT, route:NAME or header:NAME=TEXT, or "     \
    "several of these separated by a blank, each once (two headers at most)"
#define TOO_LONG "a key has at most 511 bytes"
_Static_assert(KEY_TEXT_MAX == 512, "that text");

static const struct {
    const char *kind; // with its colon
    uint32_t part;
} kinds[] = {{"client:", LIMIT_KEY_CLIENT},
             {"subject:", LIMIT_KEY_SUBJECT},
             {"api-key:", LIMIT_KEY_API_KEY},
             {"route:", LIMIT_KEY_ROUTE},
             {"header:", LIMIT_KEY_HEADERS}}; // in the order of the bits
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

// ---- making ---------------------------------------------------------------------------------

// The texts that are in a key stand in this order, so that equal keys are equal bytes.
static bool is_before(const struct limit_key_text *a, const struct limit_key_text *b)
{
    return a->part != b->part ? a->part < b->part
                              : a->name && b->name && strcmp(a->name, b->name) < 0;
}

static bool put(struct limit_key *key, size_t *at, const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    if (*at + len + end_len + 1 > sizeof(key->texts)) {
        return false;
    }
    memcpy(key->texts + *at, text, len);
    memcpy(key->texts + *at + len, end, end_len);
    *at += len + end_len;
    return true;
}

static const char *add(struct limit_key *key, size_t *at, const struct limit_key_text *part)
{
    bool is_header = part->part == LIMIT_KEY_HEADERS;
    if (part->value[0] == '\0' || (!is_header && (key->parts & part->part)) ||
        (is_header && (!part->name || !part->name[0] || key->n_headers == LIMIT_KEY_HEADERS_MAX))) {
        return WRONG_KEY;
    }
    key->parts |= part->part;
    key->n_headers += is_header;
    if (part->part == LIMIT_KEY_CLIENT) {
        return address_parse(part->value, strlen(part->value), &key->client) < 0
                   ? "client: is followed by no IPv4 or IPv6 address"
                   : NULL;
    }
    if (is_header && !put(key, at, part->name, "=")) {
        return TOO_LONG;
    }
    if (!put(key, at, part->value, "")) {
        return TOO_LONG;
    }
    ++*at; // its zero
    return NULL;
}

const char *limit_key_make(const struct limit_key_text *parts, size_t n, struct limit_key *ret_key)
{
    struct limit_key key = {0};
    const char *wrong = n == 0 || n > LIMIT_KEY_PARTS_MAX ? WRONG_KEY : NULL;
    bool used[LIMIT_KEY_PARTS_MAX] = {false};
    size_t at = 0;
    for (size_t i = 0; i < n && !wrong; i++) {
        size_t next = n;
        for (size_t j = 0; j < n; j++) {
            if (!used[j] && (next == n || is_before(&parts[j], &parts[next]))) {
                next = j;
            }
        }
        used[next] = true;
        wrong = add(&key, &at, &parts[next]);
    }
    if (!wrong) {
        *ret_key = key;
    }
    return wrong;
}

// ---- reading --------------------------------------------------------------------------------

// Index of the kind that a part which begins here has; KINDS: none begins here.
static size_t kind_at(const char *text)
{
    size_t i = 0;
    while (i < KINDS && strncmp(text, kinds[i].kind, strlen(kinds[i].kind)) != 0) {
        i++;
    }
    return i;
}

// Ends the part at `text` and returns the next one, NULL behind the last.
static char *end_part(char *text)
{
    char *next = text;
    while ((next = strchr(next + 1, ' ')) != NULL && kind_at(next + 1) == KINDS) {
    }
    char *end = next ? next : text + strlen(text);
    while (end > text && end[-1] == ' ') {
        end--;
    }
    *end = '\0';
    return next ? next + 1 : NULL;
}

static bool split_header(struct limit_key_text *part, char *text)
{
    char *equals = strchr(text, '=');
    if (!equals) {
        return false;
    }
    *equals = '\0';
    for (char *c = text; *c; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
    }
    part->name = text;
    part->value = equals + 1;
    return true;
}

const char *limit_key_read(const char *text, struct limit_key *ret_key)
{
    struct limit_key_text parts[LIMIT_KEY_PARTS_MAX];
    char copy[KEY_TEXT_MAX];
    size_t n = 0;
    text += strspn(text, " ");
    if (strlen(text) >= sizeof(copy)) {
        return TOO_LONG;
    }
    memcpy(copy, text, strlen(text) + 1);
    for (char *part = copy, *next; part; part = next) {
        size_t kind = kind_at(part);
        if (kind == KINDS || n == LIMIT_KEY_PARTS_MAX) {
            return WRONG_KEY; // it may be empty
        }
        next = end_part(part);
        char *value = part + strlen(kinds[kind].kind);
        parts[n] = (struct limit_key_text){.part = kinds[kind].part, .value = value};
        if (kinds[kind].part == LIMIT_KEY_HEADERS && !split_header(&parts[n], value)) {
            return WRONG_KEY;
        }
        n++;
    }
    return limit_key_make(parts, n, ret_key);
}

// ---- using ----------------------------------------------------------------------------------

static uint32_t n_texts(const struct limit_key *key)
{
    const uint32_t single = LIMIT_KEY_SUBJECT | LIMIT_KEY_API_KEY | LIMIT_KEY_ROUTE;
    return (uint32_t)__builtin_popcount(key->parts & single) + key->n_headers;
}

bool limit_key_is_sound(const struct limit_key *key)
{
    const uint32_t all = LIMIT_KEY_CLIENT | LIMIT_KEY_SUBJECT | LIMIT_KEY_API_KEY |
                         LIMIT_KEY_ROUTE | LIMIT_KEY_HEADERS;
    if (key->parts == 0 || (key->parts & ~all) != 0 || key->n_headers > LIMIT_KEY_HEADERS_MAX ||
        ((key->parts & LIMIT_KEY_HEADERS) != 0) != (key->n_headers > 0)) {
        return false;
    }
    const char *at = key->texts, *end = key->texts + sizeof(key->texts);
    for (uint32_t i = n_texts(key); i > 0; i--) {
        at = memchr(at, '\0', (size_t)(end - at));
        if (!at) {
            return false;
        }
        at++;
    }
    return true;
}

static const char *header_text(const struct limit_key *key, uint32_t index)
{
    const char *at = key->texts;
    for (uint32_t i = n_texts(key) - key->n_headers + index; i > 0; i--) {
        at += strlen(at) + 1;
    }
    return at;
}

static const char *header_of(const void *arg, const char *name, size_t *ret_len)
{
    const struct limit_key *key = arg;
    size_t len = strnlen(name, LIMIT_HEADER_MAX);
    for (uint32_t i = 0; i < key->n_headers; i++) {
        const char *text = header_text(key, i);
        if (strncmp(text, name, len) == 0 && text[len] == '=') {
            *ret_len = strlen(text + len + 1);
            return text + len + 1;
        }
    }
    return NULL;
}

static const char *take(const struct limit_key *key, uint32_t part, const char **at)
{
    const char *text = *at;
    if (!(key->parts & part)) {
        return NULL;
    }
    *at += strlen(text) + 1;
    return text;
}

void limit_key_facts(const struct limit_key *key, struct limit_facts *ret_facts)
{
    const char *at = key->texts;
    struct limit_facts facts = {.client = key->client,
                                .path = "",
                                .host = "",
                                .cost = 1,
                                .header = header_of,
                                .header_arg = key};
    facts.subject = take(key, LIMIT_KEY_SUBJECT, &at);
    facts.subject_len = facts.subject ? strlen(facts.subject) : 0;
    facts.api_key = take(key, LIMIT_KEY_API_KEY, &at);
    facts.api_key_len = facts.api_key ? strlen(facts.api_key) : 0;
    facts.route = take(key, LIMIT_KEY_ROUTE, &at);
    *ret_facts = facts;
}

bool limit_key_fits(const struct limit_key *key, const struct limit_policy *policy)
{
    struct limit_facts facts;
    uint32_t headers = 0;
    limit_key_facts(key, &facts);
    if (policy->unlimited || key_parts_of(&facts, policy->key_parts) != key->parts) {
        return false;
    }
    for (uint32_t i = 0; i < LIMIT_KEY_HEADERS_MAX; i++) {
        size_t len;
        if (policy->key_headers[i][0] != '\0') {
            headers++;
            if (!header_of(key, policy->key_headers[i], &len)) {
                return false;
            }
        }
    }
    return headers == key->n_headers;
}

bool limit_key_is_same(const struct limit_key *a, const struct limit_key *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static struct limit_key masked(const struct limit_key *key, const struct limit_policy *policy)
{
    struct limit_key result = *key;
    if (key->parts & LIMIT_KEY_CLIENT) {
        address_mask(&result.client, address_client_bits(&key->client, policy->ipv6_prefix_bits));
    }
    return result;
}

bool limit_key_is_one(const struct limit_key *a, const struct limit_key *b,
                      const struct limit_policy *policy)
{
    struct limit_key one = masked(a, policy), other = masked(b, policy);
    return limit_key_is_same(&one, &other);
}
