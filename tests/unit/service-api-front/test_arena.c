#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "arena.h"

Test(arena, gives_aligned_pieces_that_do_not_overlap)
{
    struct arena_pool pool = {0};
    struct arena arena;
    arena_init(&arena, &pool);
    unsigned char *pieces[200];
    for (size_t i = 0; i < 200; i++) {
        size_t bytes = 1 + i * 13 % 900;
        pieces[i] = arena_alloc(&arena, bytes);
        cr_assert_eq((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)i, bytes);
    }
    unsigned char *large = arena_alloc(&arena, 100000);
    memset(large, 255, 100000);
    for (size_t i = 0; i < 200; i++) {
        size_t bytes = 1 + i * 13 % 900;
        cr_assert(pieces[i][0] == (unsigned char)i && pieces[i][bytes - 1] == (unsigned char)i);
    }
    cr_assert_str_eq(arena_copy(&arena, "abcdef", 3), "abc");
    arena_fini(&arena);
    cr_assert_gt(pool.n_free, 0);
    arena_pool_fini(&pool);
    cr_assert_eq(pool.n_free, 0);
}

Test(arena, uses_blocks_again)
{
    struct arena_pool pool = {0};
    struct arena arena;
    arena_init(&arena, &pool);
    void *first = arena_alloc(&arena, 10);
    arena_fini(&arena);
    arena_init(&arena, &pool);
    cr_assert_eq(arena_alloc(&arena, 10), first);
    arena_fini(&arena);
    arena_pool_fini(&pool);
}
