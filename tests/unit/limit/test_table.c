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
            cr_assert_eq(verdict.new_keys, i == 0 ? 1U : 0U, "a key is new once");
        }
    }
    uint64_t admitted = 0, overflow = 0, new_keys = 0;
    for (uint32_t client = 1000; client < 101000; client++) {
        admitted += fixture_ask(view, client, &verdict);
        overflow += verdict.overflow_cells_used;
        new_keys += verdict.new_keys;
    }
    const struct limit_policy *policy = limit_policy_at(view, 0);
    cr_assert_gt(overflow, 90000);
    cr_assert_eq(overflow + new_keys, 100000U, "a newcomer has a cell or shares one");
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

Test(table, a_slim_cell_lies_in_one_line_and_no_line_in_two_sets)
{
    struct fixture f;
    struct limit_view *view = start_slim(&f, 4096, 5);
    const struct table_range *range = &view->meters[0].range;
    cr_assert_eq((uintptr_t)range->sets % 64, 0);
    cr_assert_eq(sizeof(struct table_set), 64);
    uintptr_t before = (uintptr_t)range->sets;
    for (uint32_t i = 0; i < table_n_cells(range); i++) {
        uintptr_t at = (uintptr_t)table_cell(range, i);
        before += i % TABLE_WAYS == 0 ? sizeof(struct table_set) : 0; // the tags
        cr_assert_eq(at, before);
        before += sizeof(struct cell_head);
    }
    cr_assert_leq(before, (uintptr_t)range->overflow);
    free(view);
    fixture_fini(&f);
}

Test(table, a_flood_does_not_evict_slim_cells_that_fill_half)
{
    struct fixture f;
    struct limit_view *view = start_slim(&f, 65536, 5);
    struct limit_verdict verdict;
    const struct limit_policy *policy = limit_policy_at(view, 0);
    uint64_t overflow = 0;
    uint32_t keys = policy->n_cells * 2; // four cells each
    f.now_ns = f.now_ns / WINDOW * WINDOW;
    for (uint32_t client = 0; client < keys; client++) {
        fixture_ask(view, client, &verdict);
        overflow += verdict.overflow_cells_used;
        cr_assert(verdict.admitted || verdict.overflow_cells_used > 0);
    }
    cr_log_info("%.2f %% of the keys share an overflow cell", 100.0 * (double)overflow / keys);
    cr_assert_lt(overflow, keys / 10000U);
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

// Keys that share an overflow cell, in tenths of a per mille, when so many keys are live.
static uint64_t shared_of(bool is_slim, uint64_t n_cells, uint64_t keys)
{
    struct fixture f;
    struct limit_view *view =
        is_slim ? start_slim(&f, n_cells, 5) : start(&f, n_cells, WINDOW / NS_PER_S);
    struct limit_verdict verdict;
    uint64_t shared = 0;
    for (uint32_t client = 0; client < keys; client++) {
        fixture_ask(view, client, &verdict);
        shared += verdict.overflow_cells_used;
    }
    free(view);
    fixture_fini(&f);
    return shared * 10000 / keys;
}

// What the sizing in docs/limits.md promises: bytes a key, everything that belongs to a policy
// included (tags, free cells, overflow cells).
Test(table, keys_with_a_third_of_head_room_hardly_share)
{
    enum { CELLS = 400000, POLICY_CELLS = CELLS / 4 * 3 };
    static const struct {
        bool is_slim;
        uint64_t percent, most; // head room over 64 and 16 bytes; share in tenths of a per mille
    } promises[] = {{false, 35, 100}, {false, 50, 30}, {true, 35, 200}, {true, 50, 60}};
    for (size_t i = 0; i < sizeof(promises) / sizeof(promises[0]); i++) {
        uint64_t lines = POLICY_CELLS, a_line = promises[i].is_slim ? CELL_HEADS : 1;
        uint64_t keys = lines * a_line * 100 / (100 + promises[i].percent);
        uint64_t shared = shared_of(promises[i].is_slim, CELLS, keys);
        cr_log_info("%s, %lu %% of head room: %lu.%02lu %% share",
                    promises[i].is_slim ? "16" : "64", promises[i].percent, shared / 100,
                    shared % 100);
        cr_expect_leq(shared, promises[i].most);
    }
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
    uint32_t n = table_set_cells(false);
    s->cells = fixture_memory((n + 2) * sizeof(struct cell));
    s->range = table_range_of(s->cells, n, s->cells + n, 2, false);
    s->key = table_key_of(&s->range, hash);
}

// The nth cell of the set that is looked at for the key, its home first.
static uint32_t nth_way(const struct bench_set *s, uint32_t nth)
{
    uint32_t first = s->key.home / TABLE_TAGS_A_WORD * TABLE_TAGS_A_WORD;
    return (first + nth) % TABLE_WAYS;
}

static struct cell_head *cell_at(const struct bench_set *s, uint32_t way)
{
    return table_way(s->key.set, s->key.stride, way);
}

// Puts an owner there, and the tag that goes with it.
static void own(const struct bench_set *s, uint32_t way, uint64_t print, uint64_t owner)
{
    _Atomic uint64_t *tags = &s->key.set->tags[way / TABLE_TAGS_A_WORD];
    uint32_t shift = way % TABLE_TAGS_A_WORD * 8;
    atomic_store(&cell_at(s, way)->owner, owner);
    atomic_store(tags, (atomic_load(tags) & ~(UINT64_C(0xff) << shift)) | (print & 0xff) << shift);
}

static uint32_t cells_of(const struct bench_set *s, const struct table_key *key, bool confirmed)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < TABLE_WAYS; i++) {
        uint64_t owner = atomic_load(&cell_at(s, i)->owner);
        n += owner_is(owner, key->print) && !(owner & OWNER_CONFIRMED) == !confirmed;
    }
    return n;
}

static bool free_dead(const struct bench_set *s, const struct cell_head *cell, uint64_t live_from)
{
    uint32_t way = (uint32_t)(cell - cell_at(s, 0)) / s->key.stride;
    return table_free_dead(s->key.set, s->key.stride, way, live_from);
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
    cr_assert_eq(place.cell, cell_at(&s, s.key.home));
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
        own(&s, way, 77, owner_next(77, 5, OWNER_CONFIRMED));
    }
    own(&s, nth_way(&s, 9), s.key.print, owner_next(s.key.print, 5, 0));
    own(&s, nth_way(&s, 3), s.key.print, owner_next(s.key.print, 5, 0));
    struct table_place place;
    table_find(&s.key, LIVE_FROM, &place);
    cr_assert_null(place.cell, "not confirmed is not found");
    cr_assert_eq(take_place(&s, LIVE_FROM, &place), 0);
    cr_assert_eq(place.cell, cell_at(&s, nth_way(&s, 3)), "the first in probe order");
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
    cr_assert(free_dead(&s, place.cell, LIVE_FROM), "a sweeper or another newcomer is faster");
    atomic_store(&place.cell->last, LIVE_FROM);
    cr_assert_eq(table_settle(&s.key, LIVE_FROM, &place), -EAGAIN);
    place = (struct table_place){0};
    cr_assert_eq(take_place(&s, LIVE_FROM, &place), 0);
    cr_assert_not(free_dead(&s, place.cell, LIVE_FROM));
    free(s.cells);
}

Test(table, a_claim_gives_way_when_the_overflow_cell_comes_alive_meanwhile)
{
    struct bench_set s;
    set_up(&s, HASH);
    struct table_place place = {0};
    cr_assert_eq(table_claim(&s.key, LIVE_FROM, &place), 0);
    cr_assert(place.tentative);
    // Another process found no cell and charged in the overflow cell.
    atomic_store(&s.key.overflow->last, LIVE_FROM);
    struct table_place shared = {.cell = s.key.overflow, .overflow = true};
    cr_assert_not(table_stands(&s.key, &shared), "it sees the claim, too");
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
    table_note_shared(&s.key);
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
        own(&s, way, 77 + way, owner_next(77 + way, 5, OWNER_CONFIRMED));
        atomic_store(&cell_at(&s, way)->last, LIVE_FROM);
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
    table_note_shared(&s.key);
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
