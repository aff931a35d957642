#include "token_cache.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 4

struct entry {
    uint8_t hash[TOKEN_HASH_BYTES];
    uint64_t until_s; // 0: free
    uint64_t used;    // clock of the cache, for the choice of whom to drop
    struct token_claims claims;
};
struct token_cache {
    struct entry *entries;
    size_t n_sets;
    uint64_t clock;
    uint8_t key[crypto_generichash_KEYBYTES]; // so that nobody can aim at one set
};

int token_cache_create(size_t entries, struct token_cache **ret_cache)
{
    struct token_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return -ENOMEM;
    cache->n_sets = entries / WAYS > 0 ? entries / WAYS : 1;
    cache->entries = calloc(cache->n_sets * WAYS, sizeof(*cache->entries));
    if (cache->entries == NULL) {
        free(cache);
        return -ENOMEM;
    }
    randombytes_buf(cache->key, sizeof(cache->key));
    *ret_cache = cache;
    return 0;
}

void token_cache_destroy(struct token_cache **cache)
{
    if (*cache == NULL)
        return;
    free((*cache)->entries);
    free(*cache);
    *cache = NULL;
}

void token_cache_hash(const struct token_cache *cache, const char *token, size_t len,
                      uint8_t ret_hash[TOKEN_HASH_BYTES])
{
    (void)crypto_generichash(ret_hash, TOKEN_HASH_BYTES, (const uint8_t *)token, len, cache->key,
                             sizeof(cache->key));
}

static struct entry *set_of(struct token_cache *cache, const uint8_t hash[TOKEN_HASH_BYTES])
{
    uint64_t number;
    memcpy(&number, hash, sizeof(number));
    return &cache->entries[(number % cache->n_sets) * WAYS];
}

const struct token_claims *token_cache_find(struct token_cache *cache,
                                            const uint8_t hash[TOKEN_HASH_BYTES], uint64_t wall_s)
{
    struct entry *set = set_of(cache, hash);
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].until_s <= wall_s || memcmp(set[i].hash, hash, TOKEN_HASH_BYTES) != 0)
            continue;
        set[i].used = ++cache->clock;
        return &set[i].claims;
    }
    return NULL;
}

void token_cache_put(struct token_cache *cache, const uint8_t hash[TOKEN_HASH_BYTES],
                     const struct token_claims *claims, uint64_t until_s)
{
    struct entry *set = set_of(cache, hash);
    struct entry *oldest = &set[0];
    for (size_t i = 1; i < WAYS; i++)
        if (set[i].used < oldest->used)
            oldest = &set[i];
    memcpy(oldest->hash, hash, TOKEN_HASH_BYTES);
    oldest->claims = *claims;
    oldest->until_s = until_s;
    oldest->used = ++cache->clock;
}
