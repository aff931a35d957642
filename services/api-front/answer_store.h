// The last good answers of one process, in bounded memory: a hash table, the least recently used
// goes first. Under one key lie the variants that Vary makes, at most ANSWER_VARIANTS_MAX.
//
// Every byte counts: the table, the answers with their headers, those that are thrown out while a
// request still sends them, and what is being gathered (answer_store_reserve). Nothing is kept that
// would exceed the bound. Knows no rule of caching but Vary. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_ANSWER_STORE_H
#define VALVECHAIN_API_FRONT_ANSWER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache_rules.h"
#include "http_syntax.h"

#define ANSWER_KEY_BYTES    16
#define ANSWER_VARIANTS_MAX 8

struct answer_key {
    unsigned char bytes[ANSWER_KEY_BYTES];
};

struct answer_record {
    struct answer_key key;
    unsigned status;
    const struct http_header *headers; // copied
    size_t n_headers;
    const char *vary; // copied; see cache_vary_write
    struct cache_terms terms;
    uint64_t received_ns; // by whatever clock the caller uses
    char *body;           // from malloc; NULL when there is none
    size_t body_len;
};

struct stored_answer { // to be read only, but for terms and received_ns
    unsigned status;
    const struct http_header *headers; // their texts are NUL-terminated
    size_t n_headers;
    const char *body;
    size_t body_len;
    struct cache_terms terms;
    uint64_t received_ns;
};

struct answer_store_figures {
    size_t bytes, entries;
    uint64_t evictions; // to make room
};

struct answer_store;
// `max_bytes` 0: nothing is ever kept. -ENOMEM.
int answer_store_create(size_t max_bytes, struct answer_store **ret_store);
void answer_store_destroy(struct answer_store **store);                // no answer may be in use
void answer_store_bound(struct answer_store *store, size_t max_bytes); // throws out what is beyond

// Keyed with the store's own random bytes, so that nobody finds two requests of one key. At most
// 32 texts; each with its length, so that no two lists of texts are the same.
struct answer_text {
    const char *text;
    size_t len;
};
void answer_store_key(const struct answer_store *store, const struct answer_text *texts, size_t n,
                      struct answer_key *ret_key);

// Takes the place of the variant with the same `vary`. 0: the body is the store's now. -ENOSPC: it
// does not fit, however much goes; -ENOMEM.
int answer_store_put(struct answer_store *store, const struct answer_record *record);
// The newest variant that fits the request; answer_store_release() must follow. NULL: none.
struct stored_answer *answer_store_get(struct answer_store *store, const struct answer_key *key,
                                       const struct http_header *request_headers, size_t n);
void answer_store_release(struct answer_store *store, struct stored_answer **answer);
void answer_store_drop(struct answer_store *store, const struct answer_key *key); // all variants

// Room for answers that are still coming, up to a quarter of the bound. False: none.
bool answer_store_reserve(struct answer_store *store, size_t bytes);
void answer_store_unreserve(struct answer_store *store, size_t bytes);

struct answer_store_figures answer_store_figures(const struct answer_store *store);

#endif
