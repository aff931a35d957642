// Cells of leases: taking, putting back, and what a change of lease or key between two steps does.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "limit/lease.h"

#define CELLS 32 // four sets

static struct lease_view view;

static void setup(void)
{
    size_t bytes = (size_t)lease_section_spec(CELLS).bytes;
    void *memory = aligned_alloc(64, bytes);
    memset(memory, 0, bytes);
    view = lease_view_over(memory, bytes);
}
static void teardown(void)
{
    free(view.table);
}
TestSuite(lease, .init = setup, .fini = teardown);

Test(lease, a_section_has_the_cells_that_were_asked_for)
{
    cr_assert_eq(view.n_sets, CELLS / LEASE_WAYS);
    cr_assert_eq(lease_view_over(NULL, 0).n_sets, 0);
    cr_assert_null(lease_find(&(struct lease_view){0}, 7));
}

Test(lease, tokens_are_taken_until_none_is_left)
{
    struct lease_cell *cell = lease_claim(&view, 7, 100);
    struct lease_taken taken;
    cr_assert_not_null(cell);
    cr_assert_eq(lease_find(&view, 7), cell);
    cr_assert_null(lease_find(&view, 8));
    cr_assert_eq(lease_take(&view, cell, 7, 1, 100, &taken), -EDQUOT, "nothing is filled in yet");
    lease_fill(&view, cell, 0, 3, 1000);
    cr_assert_eq(lease_tokens(cell, 100), 3);
    cr_assert_eq(lease_take(&view, cell, 7, 2, 100, &taken), 0);
    cr_assert_eq(taken.end_ns, 1000);
    cr_assert_eq(lease_take(&view, cell, 7, 2, 100, &taken), -EDQUOT, "a part is no use");
    cr_assert_eq(lease_take(&view, cell, 7, 1, 999, &taken), 0);
    cr_assert_eq(lease_take(&view, cell, 7, 1, 999, &taken), -EDQUOT);
    cr_assert_eq(lease_collect(&view, cell, 0), 0);
}

Test(lease, a_lease_ends_and_its_tokens_with_it)
{
    struct lease_cell *cell = lease_claim(&view, 7, 100);
    struct lease_taken taken;
    lease_fill(&view, cell, 0, 5, 1000);
    cr_assert_eq(lease_tokens(cell, 1000), 0);
    cr_assert_eq(lease_take(&view, cell, 7, 1, 1000, &taken), -EDQUOT);
    cr_assert_eq(lease_collect(&view, cell, 0), 5, "the limiter still finds what was not spent");
}

Test(lease, the_lease_that_ends_first_is_spent_first)
{
    struct lease_cell *cell = lease_claim(&view, 7, 100);
    struct lease_taken taken;
    lease_fill(&view, cell, 0, 1, 2000);
    lease_fill(&view, cell, 1, 1, 1000);
    cr_assert_eq(lease_take(&view, cell, 7, 1, 100, &taken), 0);
    cr_assert_eq(taken.slot, 1);
    cr_assert_eq(lease_take(&view, cell, 7, 1, 100, &taken), 0);
    cr_assert_eq(taken.slot, 0);
}

Test(lease, what_was_taken_goes_back_only_while_the_lease_stands)
{
    struct lease_cell *cell = lease_claim(&view, 7, 100);
    struct lease_taken taken;
    lease_fill(&view, cell, 0, 2, 1000);
    cr_assert_eq(lease_take(&view, cell, 7, 2, 100, &taken), 0);
    cr_assert(lease_put_back(cell, &taken, 2));
    cr_assert_eq(lease_tokens(cell, 100), 2);
    cr_assert_eq(lease_take(&view, cell, 7, 1, 100, &taken), 0);
    cr_assert_eq(lease_collect(&view, cell, 0), 1);
    cr_assert_not(lease_put_back(cell, &taken, 1), "the limiter has closed it");
    lease_fill(&view, cell, 0, 9, 2000);
    cr_assert_not(lease_put_back(cell, &taken, 1), "another lease lies there");
    cr_assert_eq(lease_tokens(cell, 100), 9);
}

Test(lease, a_cell_of_another_key_gives_nothing)
{
    struct lease_cell *cell = lease_claim(&view, 7, 100);
    struct lease_taken taken;
    lease_fill(&view, cell, 0, 3, 1000);
    cr_assert_eq(lease_take(&view, cell, 8, 1, 100, &taken), -EDQUOT,
                 "who found the cell before it changed its key");
    cr_assert_eq(lease_tokens(cell, 100), 3);
}

// Keys of one set: lease.c chooses the set by the upper half.
static uint64_t in_first_set(uint64_t n)
{
    return n + 1;
}

Test(lease, a_cell_with_tokens_or_a_refusal_is_not_given_away)
{
    struct lease_cell *cells[LEASE_WAYS];
    for (uint64_t i = 0; i < LEASE_WAYS; i++) {
        cells[i] = lease_claim(&view, in_first_set(i), 100);
        lease_fill(&view, cells[i], 0, 1, 1000);
        cells[i]->granted_ns = 100 - i;
    }
    cr_assert_null(lease_claim(&view, in_first_set(99), 100));
    cr_assert_null(lease_claim(&view, in_first_set(99), 5000),
                   "ended, but what is left is to be returned first");
    cr_assert_eq(lease_collect(&view, cells[3], 0), 1);
    atomic_store(&cells[3]->refused_until_ns, 200);
    cr_assert_null(lease_claim(&view, in_first_set(99), 199));
    cr_assert_eq(lease_claim(&view, in_first_set(99), 200), cells[3]);
    cr_assert_null(lease_find(&view, in_first_set(3)));
    cells[3]->granted_ns = 200;
    lease_collect(&view, cells[4], 0);
    lease_collect(&view, cells[5], 0);
    cr_assert_eq(lease_claim(&view, in_first_set(98), 200), cells[5], "the longest idle first");
}

Test(lease, one_asks_ahead_when_tokens_run_low)
{
    struct lease_cell *cell = lease_claim(&view, 7, 100);
    struct lease_taken taken;
    lease_fill(&view, cell, 0, 4, 10000);
    cr_assert_not(lease_should_ask(cell, 100, 500), "no low mark: nobody asks ahead");
    atomic_store(&cell->low, 2);
    cr_assert_not(lease_should_ask(cell, 100, 500));
    lease_take(&view, cell, 7, 2, 100, &taken);
    cr_assert(lease_should_ask(cell, 100, 500));
    cr_assert_not(lease_should_ask(cell, 499, 900), "somebody does already");
    cr_assert(lease_should_ask(cell, 500, 900), "he has not come back");
    atomic_store(&cell->asked_until_ns, 0);
    atomic_store(&cell->refused_until_ns, 800);
    cr_assert_not(lease_should_ask(cell, 700, 900), "the store has nothing");
}

Test(lease, the_store_is_up_as_long_as_somebody_says_so)
{
    cr_assert_not(lease_store_is_up(&view, 100));
    atomic_store(&view.table->store_until_ns, 200);
    cr_assert(lease_store_is_up(&view, 199));
    cr_assert_not(lease_store_is_up(&view, 200));
    cr_assert_not(lease_store_is_up(&(struct lease_view){0}, 100));
}
