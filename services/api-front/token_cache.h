// Verified tokens by hash, until they expire. Bounded: four ways a set, the one used longest ago
// makes room. The token itself is not kept. Thread: one.
#ifndef VALVECHAIN_API_FRONT_TOKEN_CACHE_H
#define VALVECHAIN_API_FRONT_TOKEN_CACHE_H

#include <stdint.h>

#include "token.h"

#define TOKEN_HASH_BYTES 32

struct token_cache;
int token_cache_create(size_t entries, struct token_cache **ret_cache);
void token_cache_destroy(struct token_cache **cache);
void token_cache_hash(const struct token_cache *cache, const char *token, size_t len,
                      uint8_t ret_hash[TOKEN_HASH_BYTES]);
// NULL: not there, or `until_s` has come.
const struct token_claims *token_cache_find(struct token_cache *cache,
                                            const uint8_t hash[TOKEN_HASH_BYTES], uint64_t wall_s);
void token_cache_put(struct token_cache *cache, const uint8_t hash[TOKEN_HASH_BYTES],
                     const struct token_claims *claims, uint64_t until_s);

#endif
