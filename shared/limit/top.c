#include "limit/top.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sequence.h"
#include "limit/key.h"
#include "limit/view.h"

#define KEY_WORDS    (sizeof(struct top_key) / 8)
#define SECRET_SHOWN 4
#define SHOWN_MAX    48                          // of a subject
#define FORGET_NS    (UINT64_C(3600) * NS_PER_S) // a writer takes a place that idle at once
_Static_assert(sizeof(struct top_key) % 8 == 0, "keys are copied by words");

_Static_assert(offsetof(struct top_key, hash) == 0, "the hash is the first word");

struct top_place {
    _Atomic uint64_t sequence;
    _Atomic uint64_t words[KEY_WORDS];
};
struct top_table {
    _Alignas(64) struct top_place places[TOP_KEYS];
};

struct segment_section_spec top_section_spec(void)
{
    const size_t layout[] = {sizeof(struct top_table), sizeof(struct top_key), TOP_KEYS};
    return (struct segment_section_spec){
        .name = TOP_SECTION,
        .bytes = SLOT_COUNT * sizeof(struct top_table),
        .layout_hash = segment_layout_hash(layout, sizeof(layout) / sizeof(layout[0]))};
}

static struct top_table *tables(const struct segment *segment)
{
    uint64_t bytes;
    struct top_table *first = segment_section(segment, TOP_SECTION, &bytes);
    return first && bytes >= SLOT_COUNT * sizeof(*first) ? first : NULL;
}

struct top_table *top_of_slot(struct segment *segment, uint32_t slot)
{
    struct top_table *first = tables(segment);
    return first && slot < SLOT_COUNT ? first + slot : NULL;
}

// ---- names ----------------------------------------------------------------------------------

static size_t put(char name[TOP_NAME_MAX], size_t at, const char *kind, const char *text,
                  size_t len)
{
    int n = snprintf(name + at, TOP_NAME_MAX - at, "%s%s:%.*s", at > 0 ? " " : "", kind, (int)len,
                     text);
    size_t end = at + (n > 0 ? (size_t)n : 0);
    return end < TOP_NAME_MAX ? end : TOP_NAME_MAX - 1;
}

static size_t put_client(char name[TOP_NAME_MAX], size_t at, const struct limit_policy *policy,
                         const struct address *client)
{
    char text[ADDRESS_TEXT_MAX + 8];
    struct address masked = *client;
    unsigned bits = address_client_bits(client, policy->ipv6_prefix_bits);
    address_mask(&masked, bits);
    size_t len = address_format(&masked, text);
    if (client->family == 6 && bits < 128) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "/%u", bits);
    }
    return put(name, at, "client", text, len);
}

// Enough to find it in one's own books, too little to use it.
static size_t put_secret(const struct limit_view *view, char name[TOP_NAME_MAX], size_t at,
                         const char *secret, size_t len)
{
    char text[SECRET_SHOWN + 16];
    uint64_t hash;
    size_t shown = len >= 4 * SECRET_SHOWN ? SECRET_SHOWN : 0;
    crypto_shorthash((unsigned char *)&hash, (const unsigned char *)secret, len, view->hash_key);
    int n = snprintf(text, sizeof(text), "%.*s~%08" PRIx32, (int)shown, secret, (uint32_t)hash);
    return put(name, at, "api-key", text, (size_t)n);
}

static void make_plain(char *name)
{
    for (char *c = name; *c != '\0'; c++) {
        *c = *c < 0x20 || *c > 0x7e ? '?' : *c;
    }
}

// Values of headers may be secrets, and are too many kinds of thing to tell.
static void put_headers(char name[TOP_NAME_MAX], size_t at, const struct limit_policy *policy)
{
    static const char hidden[] = "=(not shown)";
    char text[LIMIT_HEADER_MAX + sizeof(hidden)];
    for (uint32_t i = 0; i < LIMIT_KEY_HEADERS_MAX; i++) {
        if (policy->key_headers[i][0] != '\0') {
            int len = snprintf(text, sizeof(text), "%.*s%s", LIMIT_HEADER_MAX,
                               policy->key_headers[i], hidden);
            at = put(name, at, "header", text, (size_t)len);
        }
    }
}

void top_key_name(const struct limit_view *view, const struct limit_policy *policy,
                  const struct limit_facts *facts, char ret_name[TOP_NAME_MAX])
{
    uint32_t parts = key_parts_of(facts, policy->key_parts);
    size_t at = 0;
    ret_name[0] = '\0';
    if (parts & LIMIT_KEY_CLIENT) {
        at = put_client(ret_name, at, policy, &facts->client);
    }
    if (parts & LIMIT_KEY_SUBJECT) {
        size_t len = facts->subject_len < SHOWN_MAX ? facts->subject_len : SHOWN_MAX;
        at = put(ret_name, at, "subject", facts->subject, len);
    }
    if (parts & LIMIT_KEY_API_KEY) {
        at = put_secret(view, ret_name, at, facts->api_key, facts->api_key_len);
    }
    if (parts & LIMIT_KEY_ROUTE) {
        const char *route = facts->route ? facts->route : "";
        at = put(ret_name, at, "route", route, strlen(route));
    }
    if (parts & LIMIT_KEY_HEADERS) {
        put_headers(ret_name, at, policy);
    }
    make_plain(ret_name);
}

// ---- counting -------------------------------------------------------------------------------

static bool read_place(const struct top_place *place, struct top_key *ret_key)
{
    return sequence_read(&place->sequence, place->words, ret_key, sizeof(*ret_key));
}

// The key's place, else a free one, else that of the key with the fewest refusals.
static struct top_place *find_place(struct top_table *table, uint64_t hash, uint64_t now_ns,
                                    struct top_key *ret_key)
{
    struct top_place *least = NULL;
    for (uint32_t i = 0; i < TOP_KEYS; i++) { // a look at the hash alone finds a key that is there
        struct top_place *place = &table->places[i];
        if (atomic_load_explicit(&place->words[0], memory_order_relaxed) == hash &&
            read_place(place, ret_key) && ret_key->last_ns + FORGET_NS >= now_ns) {
            return place;
        }
    }
    for (uint32_t i = 0; i < TOP_KEYS; i++) {
        struct top_place *place = &table->places[i];
        struct top_key key;
        if (!read_place(place, &key) || key.last_ns + FORGET_NS < now_ns) {
            key = (struct top_key){.hash = 0}; // never written, torn by a death, or long ago
        }
        if (!least || key.count < ret_key->count) {
            least = place;
            *ret_key = key;
        }
    }
    return least;
}

static void count_key(struct top_table *table, const struct limit_view *view,
                      const struct limit_policy *policy, const struct limit_facts *facts,
                      uint64_t hash)
{
    struct top_key key;
    uint64_t now_ns = clock_mono_ns();
    hash = hash ? hash : 1;
    struct top_place *place = find_place(table, hash, now_ns, &key);
    if (key.hash != hash) {
        key = (struct top_key){.hash = hash, .count = key.count, .error = key.count};
        memcpy(key.policy, policy->name, sizeof(key.policy));
        top_key_name(view, policy, facts, key.name);
    }
    key.count++;
    key.last_ns = now_ns;
    sequence_write(&place->sequence, place->words, &key, sizeof(key));
}

void top_count(struct top_table *table, const struct limit_view *view,
               const struct limit_facts *facts, const struct limit_verdict *verdict)
{
    if (!table || verdict->admitted) {
        return;
    }
    for (unsigned i = 0; i < verdict->n; i++) {
        const struct limit_charge *charge = &verdict->charges[i];
        const struct limit_policy *policy = limit_policy_at(view, charge->policy);
        if (charge->denied && !charge->shadow && policy) {
            count_key(table, view, policy, facts, charge->hash ^ charge->identity);
        }
    }
}

// ---- reading --------------------------------------------------------------------------------

// Adds what another slot counted of the same key.
static size_t merge(struct top_key *keys, size_t n, const struct top_key *key)
{
    for (size_t i = 0; i < n; i++) {
        if (keys[i].hash == key->hash) {
            keys[i].count += key->count;
            keys[i].error += key->error;
            keys[i].last_ns = key->last_ns > keys[i].last_ns ? key->last_ns : keys[i].last_ns;
            return n;
        }
    }
    keys[n] = *key;
    return n + 1;
}

static int compare(const void *a, const void *b)
{
    const struct top_key *x = a, *y = b;
    return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

size_t top_read(const struct segment *segment, uint64_t within_ns, struct top_key *ret_keys,
                size_t cap)
{
    const struct top_table *first = tables(segment);
    struct top_key *all = first ? calloc((size_t)SLOT_COUNT * TOP_KEYS, sizeof(*all)) : NULL;
    uint64_t now_ns = clock_mono_ns();
    size_t n = 0;
    if (!all) {
        return 0;
    }
    for (uint32_t i = 0; i < SLOT_COUNT * TOP_KEYS; i++) {
        struct top_key key;
        if (read_place(&first[i / TOP_KEYS].places[i % TOP_KEYS], &key) && key.hash != 0 &&
            key.last_ns + within_ns > now_ns && memchr(key.name, 0, sizeof(key.name)) &&
            memchr(key.policy, 0, sizeof(key.policy))) {
            n = merge(all, n, &key);
        }
    }
    qsort(all, n, sizeof(*all), compare);
    n = n < cap ? n : cap;
    memcpy(ret_keys, all, n * sizeof(*all));
    free(all);
    return n;
}
