#include "answer_store.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define BUCKETS_FIRST   64
#define GATHERED_SHARE  4  // of the bound
#define MALLOC_OVERHEAD 16 // of each block, about

struct entry {
    struct stored_answer answer; // first: it is what users hold
    struct answer_key key;
    char *vary;
    char *body;
    size_t bytes;
    unsigned users;
    bool kept; // in the table
    struct entry *next_in_bucket;
    struct entry *newer, *older; // by use
};

struct answer_store {
    size_t max_bytes, bytes, reserved;
    size_t n_entries, n_buckets;
    uint64_t evictions;
    struct entry **buckets;
    struct entry *newest, *oldest;
    unsigned char secret[crypto_generichash_KEYBYTES];
};

static size_t buckets_bytes(size_t n)
{
    return n * sizeof(struct entry *) + MALLOC_OVERHEAD;
}

int answer_store_create(size_t max_bytes, struct answer_store **ret_store)
{
    struct answer_store *store = calloc(1, sizeof(*store));
    struct entry **buckets = calloc(BUCKETS_FIRST, sizeof(struct entry *));
    if (store == NULL || buckets == NULL) {
        free(store);
        free(buckets);
        return -ENOMEM;
    }
    store->max_bytes = max_bytes;
    store->buckets = buckets;
    store->n_buckets = BUCKETS_FIRST;
    store->bytes = buckets_bytes(BUCKETS_FIRST);
    randombytes_buf(store->secret, sizeof(store->secret));
    *ret_store = store;
    return 0;
}

void answer_store_key(const struct answer_store *store, const struct answer_text *texts, size_t n,
                      struct answer_key *ret_key)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, store->secret, sizeof(store->secret), ANSWER_KEY_BYTES);
    for (size_t i = 0; i < n; i++) {
        uint64_t len = texts[i].len;
        crypto_generichash_update(&state, (const unsigned char *)&len, sizeof(len));
        crypto_generichash_update(&state, (const unsigned char *)texts[i].text, texts[i].len);
    }
    crypto_generichash_final(&state, ret_key->bytes, ANSWER_KEY_BYTES);
}

// ---- places -----------------------------------------------------------------------------------

static struct entry **bucket_of(const struct answer_store *store, const struct answer_key *key)
{
    uint64_t hash; // the key is one already
    memcpy(&hash, key->bytes, sizeof(hash));
    return &store->buckets[hash & (store->n_buckets - 1)];
}

static bool has_key(const struct entry *entry, const struct answer_key *key)
{
    return memcmp(entry->key.bytes, key->bytes, ANSWER_KEY_BYTES) == 0;
}

static void unlink_use(struct answer_store *store, struct entry *entry)
{
    *(entry->newer != NULL ? &entry->newer->older : &store->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &store->oldest) = entry->newer;
    entry->newer = entry->older = NULL;
}

static void link_newest(struct answer_store *store, struct entry *entry)
{
    entry->older = store->newest;
    entry->newer = NULL;
    *(store->newest != NULL ? &store->newest->newer : &store->oldest) = entry;
    store->newest = entry;
}

static void free_entry(struct answer_store *store, struct entry *entry)
{
    store->bytes -= entry->bytes;
    free(entry->body);
    free(entry);
}

// Out of the table; its memory goes with its last user.
static void remove_entry(struct answer_store *store, struct entry *entry)
{
    struct entry **at = bucket_of(store, &entry->key);
    while (*at != entry)
        at = &(*at)->next_in_bucket;
    *at = entry->next_in_bucket;
    unlink_use(store, entry);
    entry->kept = false;
    store->n_entries--;
    if (entry->users == 0)
        free_entry(store, entry);
}

// Throws out until `bytes` more fit. False: they do not, however much goes.
static bool make_room(struct answer_store *store, size_t bytes)
{
    if (bytes > store->max_bytes)
        return false;
    while (store->bytes > store->max_bytes - bytes && store->oldest != NULL) {
        ASSERT(store->oldest->older == NULL);
        remove_entry(store, store->oldest);
        store->evictions++;
    }
    return store->bytes <= store->max_bytes - bytes;
}

void answer_store_bound(struct answer_store *store, size_t max_bytes)
{
    store->max_bytes = max_bytes;
    (void)make_room(store, 0);
}

void answer_store_destroy(struct answer_store **store)
{
    struct answer_store *s = *store;
    if (s == NULL)
        return;
    while (s->oldest != NULL)
        remove_entry(s, s->oldest);
    ASSERT(s->reserved == 0 && s->bytes == buckets_bytes(s->n_buckets));
    free(s->buckets);
    free(s);
    *store = NULL;
}

// Twice as many buckets when there are as many answers; without memory chains are longer.
static void grow(struct answer_store *store)
{
    size_t n = store->n_buckets * 2;
    size_t more = buckets_bytes(n) - buckets_bytes(store->n_buckets);
    if (store->n_entries < store->n_buckets || store->bytes + more > store->max_bytes)
        return;
    struct entry **fresh = calloc(n, sizeof(struct entry *));
    if (fresh == NULL)
        return;
    free(store->buckets);
    store->buckets = fresh;
    store->n_buckets = n;
    store->bytes += more;
    for (struct entry *entry = store->oldest; entry != NULL; entry = entry->newer) {
        struct entry **at = bucket_of(store, &entry->key);
        entry->next_in_bucket = *at;
        *at = entry;
    }
}

// ---- answers ----------------------------------------------------------------------------------

static size_t text_bytes(const struct answer_record *record)
{
    size_t bytes = strlen(record->vary) + 1;
    for (size_t i = 0; i < record->n_headers; i++)
        bytes += record->headers[i].name_len + record->headers[i].value_len + 2;
    return bytes;
}

static const char *copy_text(char **at, const char *text, size_t len)
{
    char *copy = *at;
    if (len > 0)
        memcpy(copy, text, len);
    copy[len] = '\0';
    *at += len + 1;
    return copy;
}

// The entry, its headers and their texts in one block.
static struct entry *make_entry(const struct answer_record *record, size_t head_bytes)
{
    struct entry *entry = calloc(1, head_bytes);
    if (entry == NULL)
        return NULL;
    struct http_header *headers = (struct http_header *)(entry + 1);
    char *at = (char *)(headers + record->n_headers);
    for (size_t i = 0; i < record->n_headers; i++) {
        const struct http_header *from = &record->headers[i];
        headers[i] = (struct http_header){.name = copy_text(&at, from->name, from->name_len),
                                          .name_len = from->name_len,
                                          .value = copy_text(&at, from->value, from->value_len),
                                          .value_len = from->value_len};
    }
    entry->vary = at;
    (void)copy_text(&at, record->vary, strlen(record->vary));
    entry->key = record->key;
    entry->body = record->body;
    entry->answer = (struct stored_answer){
        .status = record->status,
        .headers = headers,
        .n_headers = record->n_headers,
        .body = record->body != NULL ? record->body : "",
        .body_len = record->body_len,
        .terms = record->terms,
        .received_ns = record->received_ns,
    };
    return entry;
}

// The variant that the record replaces; where there are too many, the oldest goes.
static void remove_replaced(struct answer_store *store, const struct answer_record *record)
{
    size_t variants = 0;
    struct entry *oldest = NULL;
    for (struct entry *entry = *bucket_of(store, &record->key); entry != NULL;
         entry = entry->next_in_bucket) {
        if (!has_key(entry, &record->key))
            continue;
        if (strcmp(entry->vary, record->vary) == 0) {
            remove_entry(store, entry);
            return;
        }
        variants++;
        if (oldest == NULL || entry->answer.received_ns < oldest->answer.received_ns)
            oldest = entry;
    }
    if (variants >= ANSWER_VARIANTS_MAX) {
        remove_entry(store, oldest);
        store->evictions++;
    }
}

int answer_store_put(struct answer_store *store, const struct answer_record *record)
{
    size_t head_bytes =
        sizeof(struct entry) + record->n_headers * sizeof(struct http_header) + text_bytes(record);
    size_t bytes = head_bytes + record->body_len + 2 * MALLOC_OVERHEAD;
    if (bytes > store->max_bytes / GATHERED_SHARE)
        return -ENOSPC;
    remove_replaced(store, record);
    if (!make_room(store, bytes))
        return -ENOSPC;
    struct entry *entry = make_entry(record, head_bytes);
    if (entry == NULL)
        return -ENOMEM;
    grow(store);
    struct entry **at = bucket_of(store, &record->key);
    entry->bytes = bytes;
    entry->kept = true;
    entry->next_in_bucket = *at;
    *at = entry;
    link_newest(store, entry);
    store->n_entries++;
    store->bytes += bytes;
    return 0;
}

struct stored_answer *answer_store_get(struct answer_store *store, const struct answer_key *key,
                                       const struct http_header *request_headers, size_t n)
{
    struct entry *found = NULL;
    for (struct entry *entry = *bucket_of(store, key); entry != NULL; entry = entry->next_in_bucket)
        if (has_key(entry, key) &&
            (found == NULL || entry->answer.received_ns > found->answer.received_ns) &&
            cache_vary_matches(entry->vary, request_headers, n))
            found = entry;
    if (found == NULL)
        return NULL;
    unlink_use(store, found);
    link_newest(store, found);
    found->users++;
    return &found->answer;
}

void answer_store_release(struct answer_store *store, struct stored_answer **answer)
{
    struct entry *entry = (struct entry *)*answer;
    if (entry == NULL)
        return;
    *answer = NULL;
    entry->users--;
    if (entry->users == 0 && !entry->kept)
        free_entry(store, entry);
}

void answer_store_drop(struct answer_store *store, const struct answer_key *key)
{
    struct entry *next;
    for (struct entry *entry = *bucket_of(store, key); entry != NULL; entry = next) {
        next = entry->next_in_bucket;
        if (has_key(entry, key))
            remove_entry(store, entry);
    }
}

// ---- what is being gathered -------------------------------------------------------------------

bool answer_store_reserve(struct answer_store *store, size_t bytes)
{
    size_t most = store->max_bytes / GATHERED_SHARE;
    if (store->reserved > most || bytes > most - store->reserved || !make_room(store, bytes))
        return false;
    store->reserved += bytes;
    store->bytes += bytes;
    return true;
}

void answer_store_unreserve(struct answer_store *store, size_t bytes)
{
    ASSERT(bytes <= store->reserved);
    store->reserved -= bytes;
    store->bytes -= bytes;
}

struct answer_store_figures answer_store_figures(const struct answer_store *store)
{
    return (struct answer_store_figures){
        .bytes = store->bytes, .entries = store->n_entries, .evictions = store->evictions};
}
