// Publishing policies: generations, ranges of cells, processes that lag behind or die.
#include <errno.h>
#include <stdio.h>

#include "fixture.h"
#include "limit/layout.h"

#define WINDOW (60 * NS_PER_S)

static struct limit_policy_set set, other;
static struct policy_book book, next;

static void policies(struct limit_policy_set *s, uint64_t first_limit)
{
    s->n = 0;
    fixture_policy(s, "first", first_limit, WINDOW);
    fixture_policy(s, "second", 200, WINDOW);
}

static bool overlap(const struct limit_policy *a, const struct limit_policy *b)
{
    return a->first_cell < b->overflow_cell + b->n_overflow_cells &&
           b->first_cell < a->overflow_cell + a->n_overflow_cells;
}

static void check_layout(const struct policy_book *b, uint64_t cells)
{
    for (uint32_t i = 0; i < b->n; i++) {
        cr_assert(policy_is_placed(&b->policies[i], cells));
        cr_assert_eq(b->policies[i].overflow_cell,
                     b->policies[i].first_cell + b->policies[i].n_cells);
        for (uint32_t j = 0; j < i; j++) {
            cr_assert_not(overlap(&b->policies[i], &b->policies[j]));
        }
    }
}

Test(layout, shares_follow_the_weights_and_leave_a_quarter)
{
    policies(&set, 100);
    set.policies[0].weight = 3;
    cr_assert_eq(layout_place(&book, &set, 16384, 0, &next), 0);
    check_layout(&next, 16384);
    cr_assert_eq(next.generation, 1);
    cr_assert_eq(next.policies[0].n_cells + next.policies[0].n_overflow_cells, 9216);
    cr_assert_eq(next.policies[1].n_cells + next.policies[1].n_overflow_cells, 3072);
    cr_assert_geq(next.policies[1].n_overflow_cells, 3072 / 64);
}

Test(layout, cells_stay_with_an_identity_and_are_given_away_when_all_have_left)
{
    policies(&set, 100);
    cr_assert_eq(layout_place(&book, &set, 16384, 0, &next), 0);
    book = next;
    policies(&other, 300); // wider counts: another identity
    cr_assert_eq(layout_place(&book, &other, 16384, 1, &next), 0);
    check_layout(&next, 16384);
    cr_assert_eq(next.policies[1].first_cell, book.policies[1].first_cell);
    cr_assert_eq(next.n_retired, 1U);
    cr_assert_eq(next.retired[0].first, book.policies[0].first_cell);
    cr_assert_not(overlap(&next.policies[0], &book.policies[0]));
    uint32_t retired_first = book.policies[0].first_cell;
    book = next;
    set.policies[0] = other.policies[0];
    fixture_policy(&set, "third", 100, WINDOW);
    // Somebody still decides by generation 1: the old range is taboo.
    cr_assert_eq(layout_place(&book, &set, 16384, 1, &next), -ENOSPC);
    cr_assert_eq(layout_place(&book, &set, 16384, 2, &next), 0);
    check_layout(&next, 16384);
    cr_assert_eq(next.policies[2].first_cell, retired_first);
    cr_assert_eq(next.n_retired, 0);
}

Test(layout, refuses_what_no_compiler_would_make)
{
    policies(&set, 100);
    set.policies[1] = set.policies[0];
    cr_assert_eq(layout_place(&book, &set, 16384, 0, &next), -EINVAL, "twice the same");
    policies(&set, 100);
    set.policies[0].count_bits = 3;
    cr_assert_eq(layout_place(&book, &set, 16384, 0, &next), -EINVAL);
    set.n = LIMIT_POLICIES_MAX + 1;
    cr_assert_eq(layout_place(&book, &set, 16384, 0, &next), -EINVAL);
    set.n = 0;
    char name[16];
    for (int i = 0; i < LIMIT_MATCHED_MAX + 1; i++) {
        snprintf(name, sizeof(name), "p%d", i);
        fixture_policy(&set, name, 100, WINDOW);
    }
    cr_assert_eq(layout_place(&book, &set, 16384, 0, &next), -EINVAL, "nine for one request");
    set.n--;
    cr_assert_eq(layout_place(&book, &set, 16384, 0, &next), 0);
    cr_assert_eq(layout_place(&book, &set, 128, 0, &next), -ENOSPC);
}

Test(publish, the_first_one_wins_and_the_owner_replaces)
{
    struct fixture f;
    fixture_init(&f, 4096);
    struct limit_view *front = fixture_view(&f, 0), *front2 = fixture_view(&f, 1);
    struct limit_view *owner = fixture_view(&f, 2);
    policies(&set, 100);
    policies(&other, 150);
    cr_assert_eq(limit_publish(front, &set, LIMIT_PUBLISH_IF_ABSENT), 0);
    cr_assert_eq(limit_publish(front2, &other, LIMIT_PUBLISH_IF_ABSENT), -EALREADY);
    struct limit_verdict verdict;
    cr_assert(fixture_ask(front2, 1, &verdict), "takes generation 1 over by itself");
    cr_assert_eq(verdict.charges[0].limit, 100);
    cr_assert_eq(limit_publish(owner, &other, LIMIT_PUBLISH_REPLACE), 0);
    cr_assert_eq(limit_generation(owner), 2);
    cr_assert(fixture_ask(front, 1, &verdict));
    cr_assert_eq(verdict.generation, 2);
    cr_assert_eq(verdict.charges[0].limit, 150);
    cr_assert_eq(verdict.charges[0].remaining, 148, "counts survive a new limit");
    free(front);
    free(front2);
    free(owner);
    fixture_fini(&f);
}

Test(publish, a_lagging_process_keeps_its_cells_to_itself)
{
    struct fixture f;
    fixture_init(&f, 1024);
    struct limit_view *owner = fixture_view(&f, 0), *idle = fixture_view(&f, 1);
    policies(&set, 100);
    cr_assert_eq(limit_publish(owner, &set, LIMIT_PUBLISH_REPLACE), 0);
    limit_refresh(idle);
    int published = 0;
    for (uint64_t window = 1; window < 20 && published < 19; window++) {
        set.policies[0].window_ns = WINDOW + window; // each time another identity
        set.policies[0].identity = policy_identity(&set.policies[0]);
        if (limit_publish(owner, &set, LIMIT_PUBLISH_REPLACE) == 0) {
            published++;
        }
    }
    cr_assert_geq(published, 1);
    cr_assert_lt(published, 19, "the idle process holds the old ranges back");
    limit_refresh(idle);
    cr_assert_eq(limit_publish(owner, &set, LIMIT_PUBLISH_REPLACE), 0);
    limit_refresh(idle);
    set.policies[0].window_ns++;
    set.policies[0].identity = policy_identity(&set.policies[0]);
    cr_assert_eq(limit_publish(owner, &set, LIMIT_PUBLISH_REPLACE), 0, "it has moved on");
    for (int i = 0; i < 50; i++) {
        f.dead[1] = true; // or it has died
        set.policies[0].window_ns++;
        set.policies[0].identity = policy_identity(&set.policies[0]);
        int r = limit_publish(owner, &set, LIMIT_PUBLISH_REPLACE);
        cr_assert_eq(r, 0, "%d", i);
    }
    free(owner);
    free(idle);
    fixture_fini(&f);
}

// The first words of a store: active, and on the next line the publisher's.
#define PUBLISHER_WORD 8

Test(publish, a_dead_publisher_is_succeeded_and_a_live_one_is_not)
{
    struct fixture f;
    fixture_init(&f, 4096);
    struct limit_view *owner = fixture_view(&f, 0);
    policies(&set, 100);
    _Atomic uint64_t *words = (_Atomic uint64_t *)(void *)f.store;
    uint64_t stopped = (UINT64_C(5) + 1) << 32 | 1;
    atomic_store(&words[PUBLISHER_WORD], stopped);
    cr_assert_eq(limit_publish(owner, &set, LIMIT_PUBLISH_REPLACE), -EBUSY);
    cr_assert_eq(limit_generation(owner), 0);
    f.dead[5] = true;
    cr_assert_eq(limit_publish(owner, &set, LIMIT_PUBLISH_REPLACE), 0);
    cr_assert_eq(limit_generation(owner), 1);
    cr_assert_eq(atomic_load(&words[PUBLISHER_WORD]), 0);
    free(owner);
    fixture_fini(&f);
}

Test(publish, damaged_books_are_refused)
{
    struct fixture f;
    fixture_init(&f, 4096);
    struct limit_view *view = fixture_view(&f, 0);
    policies(&set, 100);
    cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_REPLACE), 0);
    struct limit_verdict verdict;
    cr_assert(fixture_ask(view, 1, &verdict));
    memset((char *)f.store + policy_store_bytes() / 2, 0xff, policy_store_bytes() / 2);
    static const uint8_t hash_key[SEGMENT_KEY_BYTES] = {0};
    struct limit_view *late = fixture_memory(sizeof(*late));
    cr_assert_eq(view_init(late, f.cells, f.n_cells, f.store, NULL, hash_key), -EPROTO);
    cr_assert(fixture_ask(view, 1, &verdict), "who has policies goes on with them");
    cr_assert_eq(verdict.n, 2);
    free(view);
    free(late);
    fixture_fini(&f);
}

Test(publish, a_looking_view_changes_nothing)
{
    struct fixture f;
    fixture_init(&f, 4096);
    struct limit_view *view = fixture_view(&f, 0);
    policies(&set, 100);
    cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_REPLACE), 0);
    size_t bytes = policy_store_bytes();
    void *before = malloc(bytes);
    memcpy(before, f.store, bytes);
    static const uint8_t hash_key[SEGMENT_KEY_BYTES] = {0};
    struct limit_view *eye = fixture_memory(sizeof(*eye));
    cr_assert_eq(view_init(eye, f.cells, f.n_cells, f.store, NULL, hash_key), 0);
    struct limit_fill fill;
    limit_fill(eye, &fill);
    cr_assert_gt(fill.cells, 0);
    cr_assert_str_eq(limit_policy_at(eye, 1)->name, "second");
    cr_assert_null(limit_policy_at(eye, 2));
    cr_assert_eq(limit_publish(eye, &set, LIMIT_PUBLISH_REPLACE), -EROFS);
    cr_assert_arr_eq(before, f.store, bytes);
    free(before);
    free(eye);
    free(view);
    fixture_fini(&f);
}

// Words of a policy that is gone mean nothing to the next one that gets its cells.
Test(publish, cells_of_a_policy_that_is_gone_begin_anew)
{
    struct fixture f;
    fixture_init(&f, 4096);
    struct limit_view *view = fixture_view(&f, 0);
    struct limit_verdict verdict;
    static const char *const names[] = {"one", "two", "three"};
    for (uint32_t i = 0; i < 3; i++) { // the third gets what the first one had
        set.n = 0;
        fixture_policy(&set, names[i], 20, 60 * NS_PER_S);
        if (i == 0) {
            fixture_algorithm(&set, LIMIT_GCRA, 20);
        }
        cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_REPLACE), 0);
        for (uint32_t client = 0; client < 500; client++) {
            cr_assert(fixture_ask(view, client, &verdict), "%s, client %u", names[i], client);
            cr_assert_eq(verdict.overflow_cells_used, 0U, "%s, client %u", names[i], client);
            cr_assert_eq(verdict.charges[0].remaining, 19);
        }
    }
    free(view);
    fixture_fini(&f);
}
