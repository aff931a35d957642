// gcra, fixed windows and concurrency: what each promises, over a table under a virtual clock.
#include <errno.h>

#include "fixture.h"

static uint64_t seed = 0x2545f4914f6cdd1dULL;
static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static struct limit_policy_set set;

static struct limit_view *start(struct fixture *f, uint64_t limit, uint64_t window_ns,
                                enum limit_algorithm algorithm, uint64_t extra)
{
    set.n = 0;
    fixture_policy(&set, "policy", limit, window_ns);
    fixture_algorithm(&set, algorithm, extra);
    fixture_init(f, 512);
    struct limit_view *view = fixture_view(f, 0);
    cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_IF_ABSENT), 0);
    return view;
}

static bool ask(struct limit_view *view, uint32_t cost, struct limit_verdict *ret_verdict)
{
    struct limit_facts facts = fixture_facts(1);
    facts.cost = cost;
    limit_decide(view, &facts, ret_verdict);
    return ret_verdict->admitted;
}

// Seconds, rounded up.
static uint64_t seconds(uint64_t ns)
{
    return (ns + NS_PER_S - 1) / NS_PER_S;
}

// ---- gcra ---------------------------------------------------------------------------------------

// redis-cell's CL.THROTTLE key 15 30 60 on a new key: 0, 16, 15, -1, 2.
Test(gcra, answers_as_redis_cell_does)
{
    struct fixture f;
    struct limit_verdict verdict;
    struct limit_view *view = start(&f, 30, 60 * NS_PER_S, LIMIT_GCRA, 16);
    cr_assert(ask(view, 1, &verdict));
    cr_assert_eq(verdict.charges[0].limit, 16);
    cr_assert_eq(verdict.charges[0].remaining, 15);
    cr_assert_eq(seconds(verdict.charges[0].reset_ns), 2);
    free(view);
    fixture_fini(&f);
}

// The table of a burst of 5 and one a second: at, cost, admitted, remaining, wait. What
// costs more than the burst waits in vain.
Test(gcra, drains_one_interval_at_a_time)
{
    enum { NEVER = 999999 };
    static const struct {
        uint64_t at_ms;
        uint32_t cost;
        bool admitted;
        uint64_t remaining, wait_ms;
    } rows[] = {{0, 1, true, 4, 0},    {0, 1, true, 3, 0},        {0, 1, true, 2, 0},
                {0, 1, true, 1, 0},    {0, 1, true, 0, 0},        {0, 1, false, 0, 1000},
                {3000, 1, true, 2, 0}, {3100, 1, true, 1, 0},     {4000, 1, true, 1, 0},
                {8000, 1, true, 4, 0}, {8000, 5, false, 4, 1000}, {8000, 6, false, 4, NEVER}};
    struct fixture f;
    struct limit_verdict verdict;
    struct limit_view *view = start(&f, 5, 5 * NS_PER_S, LIMIT_GCRA, 5);
    uint64_t begin = f.now_ns;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        f.now_ns = begin + rows[i].at_ms * NS_PER_MS;
        cr_assert_eq(ask(view, rows[i].cost, &verdict), rows[i].admitted, "row %zu", i);
        cr_assert_eq(verdict.charges[0].remaining, rows[i].remaining, "row %zu: %lu", i,
                     verdict.charges[0].remaining);
        uint64_t wait_ns = rows[i].wait_ms == NEVER ? LIMIT_NEVER : rows[i].wait_ms * NS_PER_MS;
        cr_assert_eq(verdict.retry_after_ns, wait_ns, "row %zu: %lu", i, verdict.retry_after_ns);
    }
    free(view);
    fixture_fini(&f);
}

// Every burst, rate and idle gap: in no stretch of time more than burst + t / interval. A peer
// admitted 17 at once with a burst of 10 after an idle gap, and everything with a burst of 1.
Test(gcra, never_above_the_burst_and_the_rate)
{
    for (int round = 0; round < 400; round++) {
        uint64_t limit = 1 + rnd() % 40, burst = 1 + rnd() % (round % 3 ? 40 : 3), n = 0;
        uint64_t window_ns = NS_PER_S + rnd() % (60 * NS_PER_S);
        uint64_t interval_ns = (window_ns + limit - 1) / limit, at[600];
        struct fixture f;
        struct limit_verdict verdict;
        struct limit_view *view = start(&f, limit, window_ns, LIMIT_GCRA, burst);
        for (int step = 0; step < 600; step++) {
            uint64_t dice = rnd() % 20;
            f.now_ns += dice == 0   ? rnd() % (2 * burst * interval_ns)
                        : dice == 1 ? interval_ns
                        : dice == 2 ? burst * interval_ns
                                    : rnd() % (interval_ns / 2);
            if (!ask(view, 1, &verdict)) {
                struct fixture after = f;
                f.now_ns += verdict.retry_after_ns - 1;
                cr_assert_not(ask(view, 1, &verdict), "a moment before the wait is over");
                f.now_ns = after.now_ns;
                continue;
            }
            at[n++] = f.now_ns;
            for (uint64_t i = 0; i + burst < n; i++) { // n - i of them in this stretch
                cr_assert_leq(n - i - burst, (f.now_ns - at[i]) / interval_ns,
                              "limit %lu, burst %lu", limit, burst);
            }
        }
        cr_assert_gt(n, burst);
        free(view);
        fixture_fini(&f);
    }
}

Test(gcra, a_refund_gives_back_what_may_not_have_drained)
{
    struct fixture f;
    struct limit_verdict verdict, other;
    struct limit_view *view = start(&f, 10, 10 * NS_PER_S, LIMIT_GCRA, 4);
    cr_assert(ask(view, 4, &verdict));
    limit_refund(view, &verdict);
    limit_refund(view, &verdict);
    cr_assert(ask(view, 4, &verdict), "all of it");
    f.now_ns += NS_PER_S;
    limit_refund(view, &verdict);
    cr_assert(ask(view, 4, &verdict), "one has drained, three come back");
    cr_assert_not(ask(view, 1, &other), "and no more");
    f.now_ns += 20 * NS_PER_S;
    cr_assert(ask(view, 4, &other));
    limit_refund(view, &verdict);
    cr_assert_not(ask(view, 1, &verdict), "it was no part of the present burst");
    free(view);
    fixture_fini(&f);
}

// ---- fixed window -------------------------------------------------------------------------------

Test(fixed, the_limit_in_each_aligned_window_and_twice_across_an_edge)
{
    struct fixture f;
    struct limit_verdict verdict;
    struct limit_view *view = start(&f, 100, 10 * NS_PER_S, LIMIT_FIXED_WINDOW, 0);
    for (uint64_t edge = 101; edge < 110; edge++) {
        uint64_t admitted = 0;
        for (uint64_t side = 0; side < 2; side++) {
            f.now_ns = edge * 20 * NS_PER_S + side - 1;
            for (int i = 0; i < 250; i++) {
                admitted += ask(view, 1, &verdict);
            }
        }
        cr_assert_eq(admitted, 200);
        cr_assert_eq(verdict.retry_after_ns, 10 * NS_PER_S);
    }
    free(view);
    fixture_fini(&f);
}

Test(fixed, a_refund_counts_in_its_own_window_only)
{
    struct fixture f;
    struct limit_verdict verdict, other;
    struct limit_view *view = start(&f, 5, 10 * NS_PER_S, LIMIT_FIXED_WINDOW, 0);
    cr_assert(ask(view, 5, &verdict));
    limit_refund(view, &verdict);
    cr_assert(ask(view, 5, &verdict));
    f.now_ns += 10 * NS_PER_S;
    cr_assert(ask(view, 5, &other));
    limit_refund(view, &verdict);
    cr_assert_not(ask(view, 1, &verdict));
    free(view);
    fixture_fini(&f);
}

// ---- concurrency --------------------------------------------------------------------------------

#define LEASE (64 * NS_PER_S)

Test(hold, as_many_as_the_limit_and_each_is_released_once)
{
    struct fixture f;
    struct limit_verdict held[3], verdict;
    struct limit_view *view = start(&f, 3, 0, LIMIT_CONCURRENCY, LEASE);
    struct limit_view *other = fixture_view(&f, 1);
    for (int round = 0; round < 1000; round++) {
        cr_assert(ask(view, 1, &held[0]));
        cr_assert(ask(other, 1, &held[1]));
        cr_assert(ask(view, 1, &held[2]));
        cr_assert_not(ask(other, 1, &verdict));
        cr_assert_leq(verdict.retry_after_ns, 2 * NS_PER_S);
        limit_release(view, &held[0]);
        limit_release(view, &held[0]);
        cr_assert(ask(other, 1, &held[0]));
        cr_assert_not(ask(view, 1, &verdict), "a second release gives nothing");
        limit_release(other, &held[0]);
        limit_release(other, &held[1]);
        limit_release(view, &held[2]);
        f.now_ns += rnd() % NS_PER_S;
    }
    free(view);
    free(other);
    fixture_fini(&f);
}

Test(hold, returns_with_its_lease_and_a_late_release_frees_nothing_else)
{
    struct fixture f;
    struct limit_verdict old, held, verdict;
    struct limit_view *view = start(&f, 1, 0, LIMIT_CONCURRENCY, LEASE);
    struct limit_view *other = fixture_view(&f, 1);
    for (int round = 0; round < 100; round++) {
        cr_assert(ask(view, 1, &old));
        f.now_ns += LEASE;
        cr_assert_not(ask(other, 1, &verdict), "the whole lease");
        cr_assert_eq(limit_renew(view, &old), 0);
        f.now_ns += LEASE;
        cr_assert_not(ask(other, 1, &verdict), "and as long again");
        f.now_ns += LEASE / 6;
        cr_assert(ask(other, 1, &held), "its process stands still");
        cr_assert_eq(limit_renew(view, &old), -ENOENT);
        limit_release(view, &old);
        cr_assert_not(ask(view, 1, &verdict), "the other one's hold stands");
        limit_release(other, &held);
        cr_assert(ask(view, 1, &held));
        old.charges[0].cost = 1; // as if nobody had released it yet
        limit_release(view, &old);
        cr_assert_not(ask(other, 1, &verdict), "nor may it end a later one of its own process");
        limit_release(view, &held);
        f.now_ns += rnd() % (100 * LEASE);
    }
    free(view);
    free(other);
    fixture_fini(&f);
}

Test(hold, a_dead_processs_holds_come_back)
{
    struct fixture f;
    struct limit_verdict verdict;
    struct limit_view *view = start(&f, 4, 0, LIMIT_CONCURRENCY, LEASE);
    struct limit_view *victim = fixture_view(&f, 1);
    for (int i = 0; i < 3; i++) {
        cr_assert(ask(victim, 5, &verdict), "one request is one hold, whatever it costs");
    }
    cr_assert(ask(view, 1, &verdict));
    cr_assert_not(ask(view, 1, &verdict));
    f.dead[1] = true;
    cr_assert_not(ask(view, 1, &verdict), "it was looked up just now");
    f.now_ns += HOLD_CHECK_NS;
    for (int i = 0; i < 3; i++) {
        cr_assert(ask(view, 1, &verdict));
    }
    cr_assert_not(ask(view, 1, &verdict));
    free(view);
    free(victim);
    fixture_fini(&f);
}

Test(hold, more_processes_than_words_share_one)
{
    enum { MANY = 12 };
    struct fixture f;
    struct limit_verdict held[MANY], verdict;
    struct limit_view *views[MANY] = {start(&f, MANY, 0, LIMIT_CONCURRENCY, LEASE)};
    for (uint32_t i = 1; i < MANY; i++) {
        views[i] = fixture_view(&f, i);
    }
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < MANY; i++) {
            cr_assert(ask(views[i], 1, &held[i]), "process %d", i);
        }
        for (int i = 0; i < MANY; i++) {
            cr_assert_not(ask(views[i], 1, &verdict));
        }
        for (int i = 0; i < MANY; i++) {
            limit_release(views[i], &held[i]);
        }
        f.now_ns += rnd() % (2 * LEASE);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        free(views[i]);
    }
    fixture_fini(&f);
}

Test(hold, outlives_a_reload)
{
    struct fixture f;
    struct limit_verdict held, verdict;
    struct limit_view *view = start(&f, 1, 0, LIMIT_CONCURRENCY, LEASE);
    cr_assert(ask(view, 1, &held));
    set.n = 0;
    fixture_policy(&set, "first", 100, NS_PER_S);
    fixture_policy(&set, "policy", 1, 0);
    fixture_algorithm(&set, LIMIT_CONCURRENCY, LEASE);
    cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_REPLACE), 0);
    cr_assert_not(ask(view, 1, &verdict));
    limit_release(view, &held);
    cr_assert(ask(view, 1, &verdict));
    free(view);
    fixture_fini(&f);
}

// ---- all of them --------------------------------------------------------------------------------

static const struct algorithm {
    enum limit_algorithm algorithm;
    uint64_t limit, window_ns, extra, most; // most: at once
} algorithms[] = {{LIMIT_RING, 6, 60 * NS_PER_S, 0, 6},
                  {LIMIT_SLIDING_WINDOW, 60, 60 * NS_PER_S, 0, 60},
                  {LIMIT_FIXED_WINDOW, 60, 60 * NS_PER_S, 0, 60},
                  {LIMIT_GCRA, 60, 60 * NS_PER_S, 20, 20},
                  {LIMIT_CONCURRENCY, 60, 0, LEASE, 60}};
#define N_ALGORITHMS (sizeof(algorithms) / sizeof(algorithms[0]))

static void add_algorithm(const struct algorithm *row, const char *name)
{
    fixture_policy(&set, name, row->limit, row->window_ns);
    if (row->algorithm > LIMIT_RING) {
        fixture_algorithm(&set, row->algorithm, row->extra);
    }
}

Test(algorithms, a_late_cost_is_charged_and_never_refused)
{
    for (size_t i = 0; i + 1 < N_ALGORITHMS; i++) { // a hold has no later cost
        struct fixture f;
        struct limit_verdict first, verdict;
        fixture_init(&f, 512);
        set.n = 0;
        add_algorithm(&algorithms[i], "policy");
        struct limit_view *view = fixture_view(&f, 0);
        cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_IF_ABSENT), 0);
        cr_assert(ask(view, 1, &first));
        cr_assert_eq(limit_charge_late(view, &first, (uint32_t)algorithms[i].most - 2), 0);
        cr_assert(ask(view, 1, &verdict), "algorithm %zu: the last one", i);
        cr_assert_eq(verdict.charges[0].remaining, 0);
        cr_assert_not(ask(view, 1, &verdict));
        cr_assert_eq(limit_charge_late(view, &first, 1000000), 0);
        cr_assert_not(ask(view, 1, &verdict));
        uint64_t wait_ns = verdict.retry_after_ns;
        cr_assert_leq(wait_ns, 81 * NS_PER_S, "algorithm %zu: %lu", i, wait_ns);
        f.now_ns += wait_ns;
        cr_assert(ask(view, 1, &verdict), "algorithm %zu: aged out", i);
        free(view);
        fixture_fini(&f);
    }
}

Test(algorithms, all_or_none_and_a_refusal_costs_nothing)
{
    struct fixture f;
    struct limit_verdict verdict;
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (size_t tight = 0; tight < N_ALGORITHMS; tight++) {
        fixture_init(&f, 2048);
        set.n = 0;
        for (size_t i = 0; i < N_ALGORITHMS; i++) {
            struct algorithm row = algorithms[i];
            row.limit = i == tight ? 2 : i == 0 ? 6 : row.limit;
            row.extra = i == tight && row.algorithm == LIMIT_GCRA ? 2 : row.extra;
            if (row.algorithm == LIMIT_SLIDING_WINDOW && i == tight) {
                continue; // would be a ring
            }
            add_algorithm(&row, names[i]);
        }
        struct limit_view *view = fixture_view(&f, 0);
        cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_IF_ABSENT), 0);
        uint64_t admitted = 0;
        for (int i = 0; i < 100; i++) {
            admitted += ask(view, 1, &verdict);
        }
        uint64_t expected = set.n == N_ALGORITHMS ? 2 : 6;
        cr_assert_eq(admitted, expected, "%lu", admitted);
        for (uint32_t i = 0; i < verdict.n; i++) {
            const struct limit_charge *charge = &verdict.charges[i];
            cr_assert_eq(charge->remaining, charge->limit - expected, "policy %u", i);
        }
        free(view);
        fixture_fini(&f);
    }
}

Test(algorithms, a_ban_refuses_and_unlimited_is_not_counted)
{
    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        struct fixture f;
        struct limit_verdict verdict;
        struct algorithm row = algorithms[i];
        row.limit = 0;
        fixture_init(&f, 512);
        set.n = 0;
        add_algorithm(&row, "policy");
        struct limit_view *view = fixture_view(&f, 0);
        cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_IF_ABSENT), 0);
        cr_assert_not(ask(view, 1, &verdict), "algorithm %zu", i);
        cr_assert_gt(verdict.retry_after_ns, 0);
        set.policies[0].unlimited = true;
        set.policies[0].identity = policy_identity(&set.policies[0]);
        cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_REPLACE), 0);
        cr_assert(ask(view, 1, &verdict));
        cr_assert_eq(verdict.n, 0);
        free(view);
        fixture_fini(&f);
    }
}
