#include "arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT       16u
#define FREE_BLOCKS_MAX 256 // 2 MiB kept after a burst

struct arena_block {
    struct arena_block *next;
    size_t bytes; // of the payload
    _Alignas(16) unsigned char payload[];
};

#define PAYLOAD_BYTES (ARENA_BLOCK_BYTES - sizeof(struct arena_block))

void arena_pool_fini(struct arena_pool *pool)
{
    while (pool->free != NULL) {
        struct arena_block *block = pool->free;
        pool->free = block->next;
        free(block);
    }
    pool->n_free = 0;
}

void arena_init(struct arena *arena, struct arena_pool *pool)
{
    *arena = (struct arena){.pool = pool};
}

void arena_fini(struct arena *arena)
{
    while (arena->blocks != NULL) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        if (block->bytes == PAYLOAD_BYTES && arena->pool->n_free < FREE_BLOCKS_MAX) {
            block->next = arena->pool->free;
            arena->pool->free = block;
            arena->pool->n_free++;
        } else {
            free(block);
        }
    }
    arena->used = 0;
}

static struct arena_block *block_get(struct arena_pool *pool, size_t bytes)
{
    if (bytes <= PAYLOAD_BYTES && pool->free != NULL) {
        struct arena_block *block = pool->free;
        pool->free = block->next;
        pool->n_free--;
        return block;
    }
    size_t payload = bytes > PAYLOAD_BYTES ? bytes : PAYLOAD_BYTES;
    struct arena_block *block = malloc(sizeof(*block) + payload);
    if (block != NULL) {
        block->bytes = payload;
    }
    return block;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) {
        return NULL;
    }
    size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (arena->blocks == NULL || arena->blocks->bytes - arena->used < rounded) {
        struct arena_block *block = block_get(arena->pool, rounded);
        if (block == NULL) {
            return NULL;
        }
        // A large piece goes behind the newest block, whose rest stays in use.
        if (rounded > PAYLOAD_BYTES && arena->blocks != NULL) {
            block->next = arena->blocks->next;
            arena->blocks->next = block;
            return block->payload;
        }
        block->next = arena->blocks;
        arena->blocks = block;
        arena->used = 0;
    }
    void *memory = arena->blocks->payload + arena->used;
    arena->used += rounded;
    return memory;
}

char *arena_copy(struct arena *arena, const char *text, size_t len)
{
    char *copy = arena_alloc(arena, len + 1);
    if (copy != NULL) {
        memcpy(copy, text, len);
        copy[len] = '\0';
    }
    return copy;
}
