#include "check_arena.h"

static void *arena_alloc(void *data, size_t size)
{
    struct check_arena *arena = data;
    size_t step = (size + 15) & ~(size_t)15;
    void *bytes = arena->bytes + arena->used;

    if (step < size || step > sizeof(arena->bytes) - arena->used)
        return NULL;
    arena->used += step;
    return bytes;
}

static void arena_free(void *data, void *bytes)
{
    (void)data;
    (void)bytes;
}

void check_arena_init(struct check_arena *arena)
{
    arena->allocator =
        (ProtobufCAllocator){.alloc = arena_alloc, .free = arena_free, .allocator_data = arena};
    arena->used = 0;
}
