// A request without memory: what was taken is given back, once, and nothing is read after it.
#include <criterion/criterion.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "client.h"
#include "front.h"
#include "listener.h"
#include "request_life.h"

#define TARGET_BYTES (64u << 20)

Test(request_memory, a_request_that_cannot_be_made_gives_its_block_back)
{
#ifdef __SANITIZE_ADDRESS__
    cr_skip_test("its allocator does not live with a bound of the address space");
#endif
    mallopt(M_PERTURB, 0xa5); // what is freed does not look alive
    struct front front = {0};
    struct listener listener = {.front = &front};
    struct client client = {.listener = &listener};
    char *target = malloc(TARGET_BYTES + 1);
    cr_assert_not_null(target);
    memset(target, '/', TARGET_BYTES);
    target[TARGET_BYTES] = '\0';
    // The request's own block lies ready in the pool; a copy of the target finds no room.
    struct arena arena;
    arena_init(&arena, &front.arenas);
    cr_assert_not_null(arena_alloc(&arena, 16));
    arena_fini(&arena);
    cr_assert_eq(front.arenas.n_free, 1);
    front.arenas.n_free = 1000; // no more are kept: the block is freed, and must not be read then
    struct rlimit before;
    cr_assert_eq(getrlimit(RLIMIT_AS, &before), 0);
    struct rlimit tight = {.rlim_cur = TARGET_BYTES, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_AS, &tight), 0);
    struct request *request = request_create(&client, target);
    cr_assert_eq(setrlimit(RLIMIT_AS, &before), 0);
    cr_assert_null(request);
    cr_assert_eq(front.arenas.n_free, 999);
    cr_assert_null(front.arenas.free);
    free(target);
}
