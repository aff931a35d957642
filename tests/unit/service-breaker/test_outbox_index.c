// The table of places: what was added is found, also among many and after others have gone, and a
// transaction that is rolled back leaves nothing behind.
#include <criterion/criterion.h>
#include <sodium.h>

#include "outbox_index.h"

#define MANY 5000

static struct outbox_index places;

static void setup(void)
{
    cr_assert_geq(sodium_init(), 0);
    outbox_index_init(&places);
}

static void teardown(void)
{
    outbox_index_fini(&places);
}

TestSuite(outbox_index, .init = setup, .fini = teardown);

static int64_t find(uint64_t name)
{
    size_t at = SIZE_MAX;
    return outbox_index_next(&places, &name, sizeof(name), &at);
}

static void add(uint64_t name, int64_t seq)
{
    cr_assert_eq(outbox_index_add(&places, &name, sizeof(name), seq), 0);
}

static void forget(uint64_t name, int64_t seq)
{
    cr_assert_eq(outbox_index_remove(&places, &name, sizeof(name), seq), 0);
}

Test(outbox_index, many_are_found_while_others_go)
{
    cr_assert_eq(find(1), 0, "nothing was added");
    for (uint64_t name = 1; name <= MANY; name++)
        add(name, (int64_t)name * 10);
    outbox_index_commit(&places);
    for (uint64_t name = 1; name <= MANY; name++)
        if (name % 3 != 0)
            forget(name, (int64_t)name * 10);
    outbox_index_commit(&places);
    for (uint64_t name = 1; name <= MANY; name++)
        cr_assert_eq(find(name), name % 3 == 0 ? (int64_t)name * 10 : 0, "%lu", name);
    cr_assert_eq(places.n, MANY / 3);
}

Test(outbox_index, a_rollback_takes_back_what_was_added_and_keeps_what_was_removed)
{
    add(1, 10);
    outbox_index_commit(&places);
    add(2, 20);
    forget(1, 10);
    cr_assert_eq(find(2), 20, "a transaction sees what it did");
    cr_assert_eq(find(1), 10, "until the commit its row may come back");
    outbox_index_rollback(&places);
    cr_assert_eq(find(2), 0);
    cr_assert_eq(find(1), 10);
    forget(1, 10);
    outbox_index_commit(&places);
    cr_assert_eq(find(1), 0);
    cr_assert_eq(places.n, 0);
}

Test(outbox_index, places_of_one_name_come_one_after_the_other)
{
    const uint64_t name = 7;
    size_t at = SIZE_MAX;
    add(name, 10);
    add(name, 20);
    int64_t first = outbox_index_next(&places, &name, sizeof(name), &at);
    int64_t second = outbox_index_next(&places, &name, sizeof(name), &at);
    cr_assert(first + second == 30 && first != second);
    cr_assert_eq(outbox_index_next(&places, &name, sizeof(name), &at), 0);
}
