// Memory of one request: taken piece by piece, given back at once. Blocks come from a pool of the
// process, so that a request costs no malloc in the steady state.
// Errors: NULL when there is no memory. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_ARENA_H
#define VALVECHAIN_API_FRONT_ARENA_H

#include <stddef.h>

#define ARENA_BLOCK_BYTES 8192

struct arena_block;
struct arena_pool { // blocks that no request holds
    struct arena_block *free;
    size_t n_free;
};
void arena_pool_fini(struct arena_pool *pool);

struct arena {
    struct arena_pool *pool;
    struct arena_block *blocks; // newest first
    size_t used;                // of the newest
};

void arena_init(struct arena *arena, struct arena_pool *pool);
void arena_fini(struct arena *arena);
void *arena_alloc(struct arena *arena, size_t bytes); // aligned for anything, not zeroed
char *arena_copy(struct arena *arena, const char *text, size_t len); // NUL-terminated

#endif
