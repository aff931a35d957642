// Memory for one message: aligned, bounded, and all of it there again after a clear.
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

#include "check_arena.h"

static void *take(struct check_arena *arena, size_t size)
{
    return arena->allocator.alloc(arena->allocator.allocator_data, size);
}

Test(check_arena, gives_what_it_has_and_no_more)
{
    struct check_arena *arena = malloc(sizeof(*arena));

    cr_assert_not_null(arena);
    check_arena_init(arena);
    char *first = take(arena, 1), *second = take(arena, 17);
    cr_assert_eq((uintptr_t)first % 16, 0);
    cr_assert_eq(second - first, 16);
    cr_assert_null(take(arena, CHECK_ARENA_BYTES - 47));
    cr_assert_not_null(take(arena, CHECK_ARENA_BYTES - 48));
    cr_assert_null(take(arena, 1));
    arena->allocator.free(arena->allocator.allocator_data, first);
    cr_assert_null(take(arena, 1), "one given back is not there again");
    check_arena_clear(arena);
    cr_assert_eq(take(arena, CHECK_ARENA_BYTES), first);
    free(arena);
}

Test(check_arena, no_size_wraps_around)
{
    struct check_arena *arena = malloc(sizeof(*arena));

    cr_assert_not_null(arena);
    check_arena_init(arena);
    for (size_t less = 0; less < 40; less++)
        cr_assert_null(take(arena, SIZE_MAX - less));
    cr_assert_eq(arena->used, 0);
    free(arena);
}
