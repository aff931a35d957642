// Who gets which cell: floods, takeovers, claims left half done, one cell a key.
#include <errno.h>

#include "fixture.h"

static uint64_t seed = 0x9e3779b97f4a7c15ULL;
static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

#define WINDOW (60 * NS_PER_S)

static struct limit_policy_set set;

static struct limit_view *start(struct fixture *f, uint64_t n_cells, uint64_t limit)
{
    set.n = 0;
    fixture_policy(&set, "policy", limit, WINDOW);
    fixture_init(f, n_cells);
    struct limit_view *view = fixture_view(f, 0);
    cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_IF_ABSENT), 0);
    return view;
}

Test(table, a_flood_of_keys_never_evicts_a_live_cell)
{
    struct fixture f;
    struct limit_view *view = start(&f, 2048, 20);
    struct limit_verdict verdict;
    for (uint32_t client = 0; client < 300; client++) {
        for (int i = 0; i < 20; i++) {
            cr_assert(fixture_ask(view, client, &verdict));
            cr_assert_eq(verdict.overflow_cells_used, 0U);
        }
    }
    uint64_t admitted = 0, overflow = 0;
    for (uint32_t client = 1000; client < 101000; client++) {
        admitted += fixture_ask(view, client, &verdict);
        overflow += verdict.overflow_cells_used;
    }
    const struct limit_policy *policy = limit_policy_at(view, 0);
    cr_assert_gt(overflow, 90000);
    cr_assert_leq(admitted, policy->n_cells + policy->n_overflow_cells * 20U);
    for (uint32_t client = 0; client < 300; client++) {
        cr_assert_not(fixture_ask(view, client, &verdict), "client %u flooded himself free",
                      client);
    }
    free(view);
    fixture_fini(&f);
}

static struct limit_view *start_slim(struct fixture *f, uint64_t n_cells, uint64_t limit)
{
    set.n = 0;
    fixture_policy(&set, "policy", limit, WINDOW);
    fixture_algorithm(&set, LIMIT_FIXED_WINDOW, 0);
    fixture_init(f, n_cells);
    struct limit_view *view = fixture_view(f, 0);
    cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_IF_ABSENT), 0);
    return view;
}

Test(table, a_set_of_slim_cells_is_two_cache_lines)
{
    struct fixture f;
    struct limit_view *view = start_slim(&f, 4096, 5);
    const struct table_range *range = &view->meters[0].range;
    for (int i = 0; i < 100000; i++) {
        struct table_key key = table_key_of(range, rnd());
        cr_assert_eq((uintptr_t)key.set % 64, 0);
        for (uint32_t way = 0; way < key.ways; way++) {
            cr_assert_lt((size_t)((char *)table_way(&key, way) - (char *)key.set), 128);
        }
    }
    free(view);
    fixture_fini(&f);
}

Test(table, a_flood_does_not_evict_slim_cells_that_fill_half)
{
    struct fixture f;
    struct limit_view *view = start_slim(&f, 65536, 5);
    struct limit_verdict verdict;
    const struct limit_policy *policy = limit_policy_at(view, 0);
    uint64_t cells = UINT64_C(4) * (policy->n_cells + policy->n_overflow_cells), overflow = 0;
    uint32_t keys = (uint32_t)(cells / 2);
    f.now_ns = f.now_ns / WINDOW * WINDOW;
    for (uint32_t client = 0; client < keys; client++) {
        fixture_ask(view, client, &verdict);
        overflow += verdict.overflow_cells_used;
        cr_assert(verdict.admitted || verdict.overflow_cells_used > 0);
    }
    cr_log_info("%.2f %% of the keys share an overflow cell", 100.0 * (double)overflow / keys);
    cr_assert_lt(overflow, keys / 25U);
    for (uint32_t client = 1000000; client < 1500000; client++) {
        fixture_ask(view, client, &verdict);
    }
    for (uint32_t client = 0; client < 1000; client++) { // each has one of five
        uint64_t admitted = 0;
        for (int i = 0; i < 10; i++) {
            admitted += fixture_ask(view, client, &verdict);
        }
        cr_assert(admitted == 4 || verdict.overflow_cells_used > 0, "client %u: %lu", client,
                  admitted);
    }
    free(view);
    fixture_fini(&f);
}

Test(table, dead_cells_are_taken_over_and_carry_nothing)
{
    struct fixture f;
    struct limit_view *view = start(&f, 256, 20);
    struct limit_verdict verdict;
    for (uint32_t round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < 60; i++) {
            uint32_t client = round * 1000 + i;
            for (int n = 0; n < 20; n++) {
                cr_assert(fixture_ask(view, client, &verdict), "round %u client %u", round, i);
            }
            cr_assert_not(fixture_ask(view, client, &verdict));
            cr_assert_eq(verdict.overflow_cells_used, 0U);
        }
        f.now_ns += WINDOW + WINDOW / 20;
    }
    free(view);
    fixture_fini(&f);
}

// Far more keys than cells, so that keys move between cells and overflow cells all the time: each
// key's own admissions are held against an exact log.
static void crowded(uint64_t limit, uint64_t steps)
{
    enum { KEYS = 400 };
    struct fixture f;
    struct limit_view *view = start(&f, 256, limit);
    uint64_t *log = calloc(KEYS * limit, sizeof(*log)), *count = calloc(KEYS, sizeof(*count));
    struct limit_verdict verdict;
    uint64_t admitted = 0, overflow = 0;
    for (uint64_t step = 0; step < steps; step++) {
        uint32_t key = (uint32_t)(rnd() % (rnd() % 4 ? 40 : KEYS));
        f.now_ns += rnd() % (WINDOW / 400);
        if (rnd() % 5000 == 0) {
            f.now_ns += rnd() % (2 * WINDOW);
        }
        bool ok = fixture_ask(view, key, &verdict);
        overflow += verdict.overflow_cells_used;
        if (!ok) {
            continue;
        }
        admitted++;
        uint64_t *slot = &log[key * limit + count[key] % limit]; // the admission `limit` ago
        cr_assert(count[key]++ < limit || *slot + WINDOW <= f.now_ns, "key %u, step %lu", key,
                  step);
        *slot = f.now_ns;
    }
    cr_assert_gt(admitted, steps / 10);
    cr_assert_gt(overflow, steps / 100, "%lu", overflow);
    free(log);
    free(count);
    free(view);
    fixture_fini(&f);
}

Test(table, no_key_exceeds_its_limit_in_a_crowd)
{
    for (int i = 0; i < 10; i++) {
        crowded(1 + rnd() % 12, 100000);
        crowded(13 + rnd() % 300, 100000);
    }
}

// ---- claims, step by step
// ------------------------------------------------------------------------

struct bench_set {
    struct cell *cells; // one set and two overflow cells
    struct table_range range;
    struct table_key key;
};

static void set_up(struct bench_set *s, uint64_t hash)
{
    s->cells = fixture_memory((TABLE_WAYS + 2) * sizeof(struct cell));
    s->range = table_range_of(s->cells, TABLE_WAYS, s->cells + TABLE_WAYS, 2, false);
    s->key = table_key_of(&s->range, hash);
}

static uint32_t cells_of(const struct bench_set *s, const struct table_key *key, bool confirmed)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < TABLE_WAYS; i++) {
        uint64_t owner = atomic_load(&s->cells[i].owner);
        n += owner_is(owner, key->print) && !(owner & OWNER_CONFIRMED) == !confirmed;
    }
    return n;
}

// As a charge begins: a place, raised and settled when that is needed.
static int take_place(const struct bench_set *s, uint64_t epoch, struct table_place *place)
{
    int r = table_claim(&s->key, epoch, place);
    if (r == 0 && place->tentative) {
        atomic_store(&place->cell->last, epoch);
        r = table_settle(&s->key, epoch, place);
    }
    return r;
}

#define HASH      UINT64_C(0x123456789abcdef0)
#define LIVE_FROM 100

Test(table, a_newcomer_gets_one_confirmed_cell)
{
    struct bench_set s;
    set_up(&s, HASH);
    struct table_place place;
    table_find(&s.key, LIVE_FROM, &place);
    cr_assert_null(place.cell);
    cr_assert_eq(take_place(&s, LIVE_FROM, &place), 0);
    cr_assert_eq(place.cell, table_way(&s.key, 0));
    cr_assert(table_stands(&s.key, &place));
    cr_assert_eq(cells_of(&s, &s.key, true), 1U);
    cr_assert_eq(cells_of(&s, &s.key, false), 0U);
    free(s.cells);
}

Test(table, a_claim_left_half_done_is_completed_by_the_next)
{
    struct bench_set s;
    set_up(&s, HASH);
    for (uint32_t way = 0; way < TABLE_WAYS; way++) { // a dead stranger everywhere
        atomic_store(&table_way(&s.key, way)->owner, owner_next(77, 5, OWNER_CONFIRMED));
    }
    atomic_store(&table_way(&s.key, 9)->owner, owner_next(s.key.print, 5, 0));
    atomic_store(&table_way(&s.key, 3)->owner, owner_next(s.key.print, 5, 0));
    struct table_place place;
    table_find(&s.key, LIVE_FROM, &place);
    cr_assert_null(place.cell, "not confirmed is not found");
    cr_assert_eq(take_place(&s, LIVE_FROM, &place), 0);
    cr_assert_eq(place.cell, table_way(&s.key, 3), "the first in probe order");
    cr_assert_eq(cells_of(&s, &s.key, true), 1U);
    cr_assert_eq(cells_of(&s, &s.key, false), 0U, "the other one was abandoned");
    free(s.cells);
}

Test(table, a_taker_who_slept_loses_against_the_key_that_came_back)
{
    struct bench_set s;
    set_up(&s, HASH);
    struct table_place place, back;
    table_find(&s.key, LIVE_FROM, &place);
    cr_assert_eq(take_place(&s, LIVE_FROM, &place), 0);
    atomic_store(&place.cell->last, LIVE_FROM - 1); // its counts are dead
    uint64_t judged = atomic_load(&place.cell->owner);
    table_find(&s.key, LIVE_FROM, &back);
    cr_assert_eq(back.cell, place.cell);
    cr_assert_eq(take_place(&s, LIVE_FROM, &back), 0);
    cr_assert_neq(back.owner, judged, "coming back changes the owner word");
    cr_assert_not(table_stands(&s.key, &place));
    cr_assert(table_stands(&s.key, &back));
    cr_assert_eq(table_claim(&s.key, LIVE_FROM + 1, &place), -EAGAIN, "the sleeper's view is old");
    free(s.cells);
}

// Between the claim and the confirmation the cell can be taken: nothing was counted there yet.
Test(table, a_tentative_claim_can_be_lost_and_a_confirmed_one_is_live)
{
    struct bench_set s;
    set_up(&s, HASH);
    struct table_place place = {0};
    cr_assert_eq(table_claim(&s.key, LIVE_FROM, &place), 0);
    cr_assert(place.tentative);
    cr_assert(table_free_dead(place.cell, LIVE_FROM), "a sweeper or another newcomer is faster");
    atomic_store(&place.cell->last, LIVE_FROM);
    cr_assert_eq(table_settle(&s.key, LIVE_FROM, &place), -EAGAIN);
    place = (struct table_place){0};
    cr_assert_eq(take_place(&s, LIVE_FROM, &place), 0);
    cr_assert_not(table_free_dead(place.cell, LIVE_FROM));
    free(s.cells);
}

Test(table, a_claim_gives_way_when_the_overflow_cell_comes_alive_meanwhile)
{
    struct bench_set s;
    set_up(&s, HASH);
    struct table_place place = {0};
    cr_assert_eq(table_claim(&s.key, LIVE_FROM, &place), 0);
    cr_assert(place.tentative);
    atomic_store(&s.key.overflow->last,
                 LIVE_FROM); // another process found no cell and charged here
    atomic_store(&place.cell->last, LIVE_FROM);
    cr_assert_eq(table_settle(&s.key, LIVE_FROM, &place), -EAGAIN);
    cr_assert_eq(cells_of(&s, &s.key, true) + cells_of(&s, &s.key, false), 0U);
    table_find(&s.key, LIVE_FROM, &place);
    cr_assert(place.overflow);
    free(s.cells);
}

Test(table, a_returning_key_keeps_its_cell_beside_a_busy_overflow_cell)
{
    struct bench_set s;
    set_up(&s, HASH);
    struct table_place place = {0}, back;
    cr_assert_eq(take_place(&s, LIVE_FROM, &place), 0);
    atomic_store(&s.key.overflow->last, LIVE_FROM + 50);
    table_find(&s.key, LIVE_FROM + 50, &back);
    cr_assert_eq(take_place(&s, LIVE_FROM + 50, &back), 0);
    cr_assert_eq(back.cell, place.cell);
    cr_assert_not(back.overflow);
    free(s.cells);
}

Test(table, live_cells_of_others_are_left_alone)
{
    struct bench_set s;
    set_up(&s, HASH);
    for (uint32_t way = 0; way < TABLE_WAYS; way++) {
        atomic_store(&table_way(&s.key, way)->owner, owner_next(77 + way, 5, OWNER_CONFIRMED));
        atomic_store(&table_way(&s.key, way)->last, LIVE_FROM);
    }
    struct table_place place;
    table_find(&s.key, LIVE_FROM, &place);
    cr_assert_null(place.cell);
    cr_assert_eq(take_place(&s, LIVE_FROM, &place), 0);
    cr_assert(place.overflow);
    cr_assert_eq(place.cell, s.key.overflow);
    cr_assert(table_stands(&s.key, &place));
    free(s.cells);
}

// Its counts may be in the overflow cell: no cell of its own until those are dead.
Test(table, a_key_stays_in_its_overflow_cell_while_that_lives)
{
    struct bench_set s;
    set_up(&s, HASH);
    struct table_place place;
    atomic_store(&s.key.overflow->last, LIVE_FROM);
    table_find(&s.key, LIVE_FROM, &place);
    cr_assert(place.overflow);
    place = (struct table_place){0}; // as if it had looked before
    cr_assert_eq(take_place(&s, LIVE_FROM, &place), 0);
    cr_assert(place.overflow);
    cr_assert_eq(cells_of(&s, &s.key, true), 0U);
    struct table_place late = place;
    table_find(&s.key, LIVE_FROM + 1, &place);
    cr_assert_null(place.cell);
    cr_assert_eq(take_place(&s, LIVE_FROM + 1, &place), 0);
    cr_assert_not(place.overflow);
    cr_assert_not(table_stands(&s.key, &late), "a charge in the overflow cell no longer stands");
    free(s.cells);
}

Test(table, sweep_frees_dead_cells_only)
{
    struct fixture f;
    struct limit_view *view = start(&f, 4096, 20);
    struct limit_verdict verdict;
    struct limit_fill fill;
    for (uint32_t client = 0; client < 200; client++) {
        cr_assert(fixture_ask(view, client, &verdict));
    }
    limit_fill(view, &fill);
    cr_assert_eq(fill.live, 200, "a small table is counted in full");
    cr_assert_eq(limit_sweep(view, 100000), 0U);
    f.now_ns += WINDOW / 2;
    for (uint32_t client = 0; client < 50; client++) {
        cr_assert(fixture_ask(view, client, &verdict));
    }
    f.now_ns += WINDOW * 6 / 10;
    uint32_t freed = 0, rounds = 0;
    while (rounds++ < 100) {
        freed += limit_sweep(view, 64); // a budget at a time, all around
    }
    cr_assert_eq(freed, 150U);
    limit_fill(view, &fill);
    cr_assert_eq(fill.live, 50);
    fixture_ask(view, 7, &verdict);
    cr_assert_eq(verdict.charges[0].remaining, 18, "the live ones kept their counts");
    free(view);
    fixture_fini(&f);
}
