// How one key stands, and beginning anew, for every algorithm.
#include <errno.h>

#include "fixture.h"
#include "limit/key_state.h"

#define WINDOW_NS (60 * NS_PER_S)

static struct limit_key key_of(const char *text)
{
    struct limit_key key;
    const char *wrong = limit_key_read(text, &key);
    cr_assert_null(wrong, "%s: %s", text, wrong);
    return key;
}

static void expect_reset(struct limit_policy_set *set, uint64_t most)
{
    struct fixture f;
    struct limit_verdict verdict;
    struct key_state state;
    struct limit_key key = key_of("client:1.0.0.0"), other = key_of("client:2.0.0.0");
    fixture_init(&f, 4096);
    struct limit_view *view = fixture_view(&f, 0);
    cr_assert_eq(limit_publish(view, set, LIMIT_PUBLISH_REPLACE), 0);
    cr_assert_eq(key_state_read(view, 0, &key, &state), 0);
    cr_expect_not(state.in_table, "%u", set->policies[0].algorithm);
    cr_expect_eq(state.remaining, most);
    for (uint64_t i = 0; i < most; i++) {
        cr_assert(fixture_ask(view, 1, &verdict));
        cr_assert(fixture_ask(view, 2, &verdict));
    }
    cr_assert_not(fixture_ask(view, 1, &verdict));
    cr_assert_eq(key_state_read(view, 0, &key, &state), 0);
    cr_expect_eq(state.used, most, "%u: %lu", set->policies[0].algorithm,
                 (unsigned long)state.used);
    cr_expect_eq(state.limit, most);
    cr_expect_eq(state.remaining, 0);
    cr_expect(state.in_table);
    cr_assert_eq(key_state_reset(view, 0, &key), 0);
    cr_assert_eq(key_state_read(view, 0, &key, &state), 0);
    cr_expect_eq(state.used, 0);
    for (uint64_t i = 0; i < most; i++)
        cr_expect(fixture_ask(view, 1, &verdict), "%lu", (unsigned long)i);
    cr_expect_not(fixture_ask(view, 1, &verdict), "and not one more");
    cr_assert_eq(key_state_read(view, 0, &other, &state), 0);
    cr_expect_eq(state.remaining, 0, "another key stays as it was");
    limit_refund(view, &verdict);
    free(view);
    fixture_fini(&f);
}

Test(key_state, every_algorithm_begins_anew)
{
    static const struct {
        enum limit_algorithm algorithm;
        uint64_t limit, extra, most;
    } rows[] = {{LIMIT_RING, 5, 0, 5},
                {LIMIT_SLIDING_WINDOW, 40, 0, 40},
                {LIMIT_FIXED_WINDOW, 7, 0, 7},
                {LIMIT_GCRA, 10, 4, 4},
                {LIMIT_CONCURRENCY, 3, NS_PER_S, 3}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct limit_policy_set *set = calloc(1, sizeof(*set));
        cr_assert_not_null(set);
        fixture_policy(set, "p", rows[i].limit,
                       rows[i].algorithm == LIMIT_CONCURRENCY ? 0 : WINDOW_NS);
        if (rows[i].algorithm != LIMIT_RING && rows[i].algorithm != LIMIT_SLIDING_WINDOW)
            fixture_algorithm(set, rows[i].algorithm, rows[i].extra);
        expect_reset(set, rows[i].most);
        free(set);
    }
}

Test(key_state, the_bound_of_overrides_is_what_the_cells_count)
{
    struct limit_policy_set *set = calloc(1, sizeof(*set));
    cr_assert_not_null(set);
    fixture_policy(set, "ring", 5, WINDOW_NS);
    fixture_policy(set, "window", 100, WINDOW_NS);
    cr_expect_eq(key_state_limit_max(&set->policies[0]), RING_LIMIT_MAX);
    cr_expect_eq(key_state_limit_max(&set->policies[1]), 255);
    free(set);
}

// The end counts for whoever decides, with nobody there to publish anything.
Test(key_state, a_limit_of_its_own_ends_on_time)
{
    struct limit_policy_set *set = calloc(1, sizeof(*set));
    struct fixture f;
    struct limit_verdict verdict;
    struct key_state state;
    struct limit_key one = key_of("client:1.0.0.0"), two = key_of("client:2.0.0.0");
    cr_assert_not_null(set);
    fixture_policy(set, "p", 3, WINDOW_NS);
    fixture_init(&f, 4096);
    uint64_t end_ns = f.now_ns + NS_PER_S;
    set->overrides[0] =
        (struct limit_override){.key = one, .limit = 5, .until_ns = end_ns, .limit_after = 4};
    set->overrides[1] = (struct limit_override){
        .key = two, .limit = UINT64_MAX, .until_ns = end_ns, .limit_after = 3};
    set->n_overrides = 2;
    struct limit_view *view = fixture_view(&f, 0);
    cr_assert_eq(limit_publish(view, set, LIMIT_PUBLISH_REPLACE), 0);
    for (int i = 0; i < 3; i++)
        cr_expect(fixture_ask(view, 1, &verdict));
    for (int i = 0; i < 30; i++)
        cr_expect(fixture_ask(view, 2, &verdict));
    f.now_ns = end_ns - 1;
    cr_assert_eq(key_state_read(view, 0, &one, &state), 0);
    cr_expect_eq(state.limit, 5);
    f.now_ns = end_ns;
    cr_assert_eq(key_state_read(view, 0, &one, &state), 0);
    cr_expect_eq(state.limit, 4);
    cr_expect(fixture_ask(view, 1, &verdict));
    cr_expect_not(fixture_ask(view, 1, &verdict), "four, as before");
    for (int i = 0; i < 3; i++)
        cr_expect(fixture_ask(view, 2, &verdict), "%d: nothing was counted while it was unlimited",
                  i);
    cr_expect_not(fixture_ask(view, 2, &verdict));
    free(view);
    free(set);
    fixture_fini(&f);
}

// Whoever waits as long as a ban says is admitted, what was counted before it included.
Test(key_state, the_wait_of_a_ban_that_ends_is_true)
{
    static const enum limit_algorithm algorithms[] = {LIMIT_SLIDING_WINDOW, LIMIT_FIXED_WINDOW,
                                                      LIMIT_GCRA};
    static const uint64_t limits[] = {3, 40}; // of a sliding window: a ring, and sub-buckets
    for (size_t i = 0; i < 2 * sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        struct limit_policy_set *set = calloc(1, sizeof(*set));
        struct limit_key spent = key_of("client:1.0.0.0"), fresh = key_of("client:2.0.0.0"),
                         endless = key_of("client:3.0.0.0");
        struct fixture f;
        struct limit_verdict verdict;
        uint64_t limit = limits[i % 2];
        cr_assert_not_null(set);
        fixture_policy(set, "p", limit, WINDOW_NS);
        struct limit_policy *policy = &set->policies[0];
        policy->algorithm = algorithms[i / 2];
        policy->burst = (uint32_t)limit;
        cr_assert(policy_finish(policy));
        fixture_init(&f, 4096);
        struct limit_view *view = fixture_view(&f, 0);
        cr_assert_eq(limit_publish(view, set, LIMIT_PUBLISH_REPLACE), 0);
        for (uint64_t n = 0; n < limit; n++)
            cr_assert(fixture_ask(view, 1, &verdict));
        uint64_t end_ns = f.now_ns + NS_PER_S;
        const struct limit_override ban = {.until_ns = end_ns, .limit_after = limit};
        set->overrides[0] = set->overrides[1] = set->overrides[2] = ban;
        set->overrides[0].key = spent;
        set->overrides[1].key = fresh;
        set->overrides[2].key = endless;
        set->overrides[2].limit_after = 0;
        set->n_overrides = 3;
        cr_assert_eq(limit_publish(view, set, LIMIT_PUBLISH_REPLACE), 0);
        cr_expect_not(fixture_ask(view, 3, &verdict));
        cr_expect_eq(verdict.retry_after_ns, LIMIT_NEVER, "%zu: the policy bans it, too", i);
        cr_expect_not(fixture_ask(view, 2, &verdict));
        cr_expect_eq(verdict.retry_after_ns, NS_PER_S, "%zu: until its end", i);
        cr_expect_not(fixture_ask(view, 1, &verdict));
        cr_assert_neq(verdict.retry_after_ns, LIMIT_NEVER, "%zu", i);
        uint64_t retry_at_ns = f.now_ns + verdict.retry_after_ns;
        f.now_ns = end_ns;
        cr_expect(fixture_ask(view, 2, &verdict), "%zu", i);
        f.now_ns = retry_at_ns;
        cr_expect(fixture_ask(view, 1, &verdict), "%zu: obeyed", i);
        free(view);
        free(set);
        fixture_fini(&f);
    }
}

Test(key_state, a_limit_of_its_own_holds_in_every_algorithm)
{
    static const enum limit_algorithm algorithms[] = {LIMIT_SLIDING_WINDOW, LIMIT_FIXED_WINDOW,
                                                      LIMIT_GCRA};
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        struct limit_policy_set *set = calloc(1, sizeof(*set));
        struct fixture f;
        struct limit_verdict verdict;
        cr_assert_not_null(set);
        fixture_policy(set, "p", 40, WINDOW_NS);
        if (algorithms[i] != LIMIT_SLIDING_WINDOW)
            fixture_algorithm(set, algorithms[i], 40);
        set->overrides[0] = (struct limit_override){
            .key = {.parts = LIMIT_KEY_CLIENT, .client = fixture_facts(1).client}, .limit = 20};
        set->n_overrides = 1;
        fixture_init(&f, 4096);
        struct limit_view *view = fixture_view(&f, 0);
        cr_assert_eq(limit_publish(view, set, LIMIT_PUBLISH_REPLACE), 0);
        for (int admitted = 0; admitted < 20; admitted++) {
            cr_assert(fixture_ask(view, 1, &verdict), "%u: %d", algorithms[i], admitted);
            cr_assert(fixture_ask(view, 2, &verdict), "%u: %d", algorithms[i], admitted);
        }
        cr_expect_not(fixture_ask(view, 1, &verdict), "%u", algorithms[i]);
        cr_expect(fixture_ask(view, 2, &verdict), "%u", algorithms[i]);
        free(view);
        free(set);
        fixture_fini(&f);
    }
}
