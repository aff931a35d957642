// Decisions over a table in plain memory, under a virtual clock.
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

static struct limit_view *start(struct fixture *f, uint64_t n_cells)
{
    fixture_init(f, n_cells);
    struct limit_view *view = fixture_view(f, 0);
    cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_IF_ABSENT), 0);
    return view;
}

static struct limit_view *start_builtin(struct fixture *f, const char *assignment)
{
    struct limits_params params;
    struct problems problems = PROBLEMS_INIT;
    struct param_sources sources = {.assignments = &assignment,
                                    .n_assignments = assignment != NULL};
    cr_assert_eq(param_group_load(&limits_param_group, &sources, &params, &problems), 0);
    cr_assert_eq(limit_compile(&params, NULL, ENVIRONMENT_PRODUCTION, &problems, &set), 0);
    param_group_fini(&limits_param_group, &params);
    return start(f, 16384);
}

static void finish(struct fixture *f, struct limit_view *view)
{
    free(view);
    fixture_fini(f);
}

static struct limit_facts facts_at(const char *path)
{
    struct limit_facts facts = fixture_facts(0x0100000a);
    facts.path = path;
    facts.path_len = strlen(path);
    return facts;
}

static int admitted_of(struct limit_view *view, const struct limit_facts *facts, int n)
{
    struct limit_verdict verdict;
    int admitted = 0;
    for (int i = 0; i < n; i++) {
        limit_decide(view, facts, &verdict);
        admitted += verdict.admitted;
    }
    return admitted;
}

static const char *policy_name(const struct limit_view *view, const struct limit_verdict *verdict)
{
    return limit_policy_at(view, verdict->charges[verdict->denied_by].policy)->name;
}

Test(limit, without_policies_everything_is_admitted)
{
    struct fixture f;
    fixture_init(&f, 1024);
    struct limit_view *view = fixture_view(&f, 0);
    struct limit_verdict verdict;
    cr_assert(fixture_ask(view, 1, &verdict));
    cr_assert_eq(verdict.n, 0);
    cr_assert_eq(limit_generation(view), 0);
    finish(&f, view);
}

Test(limit, figures_of_an_admission_and_of_a_refusal)
{
    struct fixture f;
    set.n = 0;
    fixture_policy(&set, "five", 5, 60 * NS_PER_S);
    struct limit_view *view = start(&f, 1024);
    struct limit_verdict verdict;
    for (uint64_t i = 0; i < 5; i++) {
        cr_assert(fixture_ask(view, 1, &verdict));
        cr_assert_eq(verdict.charges[0].remaining, 4 - i);
        cr_assert_eq(verdict.charges[0].limit, 5);
        cr_assert_eq(verdict.retry_after_ns, 0);
        f.now_ns += NS_PER_S;
    }
    cr_assert_not(fixture_ask(view, 1, &verdict));
    cr_assert_eq(verdict.n, 1);
    cr_assert(verdict.charges[0].denied);
    cr_assert_eq(verdict.charges[0].remaining, 0);
    cr_assert_eq(verdict.retry_after_ns, verdict.charges[0].reset_ns);
    cr_assert_geq(verdict.retry_after_ns, 55 * NS_PER_S);
    cr_assert_leq(verdict.retry_after_ns, 55 * NS_PER_S + NS_PER_MS, "a ring is exact");
    cr_assert(fixture_ask(view, 2, &verdict), "another client has its own count");
    f.now_ns += 55 * NS_PER_S + NS_PER_MS;
    cr_assert(fixture_ask(view, 1, &verdict));
    cr_assert_not(fixture_ask(view, 1, &verdict));
    finish(&f, view);
}

Test(limit, callers_are_counted_by_subject_then_key_then_address)
{
    struct fixture f;
    struct limit_view *view = start_builtin(&f, "GLOBAL_RATE_MAX=65535");
    struct limit_facts facts = facts_at("/api/app");
    cr_assert_eq(admitted_of(view, &facts, 110), 100, "by address");
    facts.api_key = "key-1";
    facts.api_key_len = 5;
    cr_assert_eq(admitted_of(view, &facts, 110), 100, "by key");
    facts.subject = "alice";
    facts.subject_len = 5;
    cr_assert_eq(admitted_of(view, &facts, 110), 100, "by subject");
    facts.client.bytes[0] = 77;
    facts.api_key = "key-2";
    cr_assert_eq(admitted_of(view, &facts, 10), 0, "the subject alone counts");
    facts.subject = "key-1"; // the same text in another part is another key
    cr_assert_eq(admitted_of(view, &facts, 1), 1);
    char subject[1000];
    memset(subject, 's', sizeof(subject));
    facts.subject = subject;
    facts.subject_len = 1000;
    cr_assert_eq(admitted_of(view, &facts, 110), 100, "a long one");
    facts.subject_len = 999;
    cr_assert_eq(admitted_of(view, &facts, 110), 100, "a long one that differs");
    finish(&f, view);
}

Test(limit, verified_paid_tiers_are_not_bound_by_global)
{
    struct fixture f;
    struct limit_view *view = start_builtin(&f, "GLOBAL_RATE_MAX=50");
    struct limit_facts facts = facts_at("/api/app");
    facts.tier = LIMIT_TIER_PREMIUM;
    cr_assert_eq(admitted_of(view, &facts, 60), 50, "nobody promotes himself");
    facts.tier_verified = true;
    cr_assert_eq(admitted_of(view, &facts, 1200), 950, "1 000 of the tier, 50 are spent");
    facts.tier = LIMIT_TIER_FREE;
    facts.client.bytes[0] = 9;
    cr_assert_eq(admitted_of(view, &facts, 60), 50, "a verified free caller is bound");
    finish(&f, view);
}

Test(limit, login_paths_are_limited_on_segment_boundaries)
{
    struct fixture f;
    struct limit_view *view = start_builtin(&f, NULL);
    struct limit_facts facts = facts_at("/api/auth/login");
    struct limit_verdict verdict;
    cr_assert_eq(admitted_of(view, &facts, 10), 3);
    limit_decide(view, &facts, &verdict);
    cr_assert_str_eq(policy_name(view, &verdict), "auth");
    cr_assert_eq(verdict.n, 3, "auth, tier and global");
    facts = facts_at("/login");
    cr_assert_eq(admitted_of(view, &facts, 10), 0, "one count for all of them");
    facts = facts_at("/api/authors");
    cr_assert_eq(admitted_of(view, &facts, 200), 97, "not a login; three of the tier are spent");
    finish(&f, view);
}

Test(limit, a_refusal_charges_nobody)
{
    struct fixture f;
    set.n = 0;
    fixture_policy(&set, "wide", 100, 60 * NS_PER_S);
    fixture_policy(&set, "narrow", 3, 60 * NS_PER_S);
    fixture_policy(&set, "wide-too", 1000, 60 * NS_PER_S);
    struct limit_view *view = start(&f, 4096);
    struct limit_verdict verdict;
    for (int i = 0; i < 50; i++) {
        cr_assert_eq(fixture_ask(view, 1, &verdict), i < 3);
    }
    cr_assert_str_eq(policy_name(view, &verdict), "narrow");
    cr_assert_eq(verdict.charges[0].remaining, 97);
    cr_assert_eq(verdict.charges[2].remaining, 997);
    cr_assert_not(verdict.charges[0].denied);
    finish(&f, view);
}

Test(limit, the_longest_wait_is_told)
{
    struct fixture f;
    set.n = 0;
    fixture_policy(&set, "minute", 3, 60 * NS_PER_S);
    fixture_policy(&set, "hour", 3, 3600 * NS_PER_S);
    struct limit_view *view = start(&f, 4096);
    struct limit_verdict verdict;
    for (int i = 0; i < 4; i++) {
        fixture_ask(view, 1, &verdict);
    }
    cr_assert_not(verdict.admitted);
    cr_assert_str_eq(policy_name(view, &verdict), "hour");
    cr_assert_geq(verdict.retry_after_ns, 3600 * NS_PER_S - 1);
    finish(&f, view);
}

Test(limit, shadow_refuses_nothing_and_says_what_it_would)
{
    struct fixture f;
    set.n = 0;
    fixture_policy(&set, "shadow", 5, 60 * NS_PER_S);
    fixture_policy(&set, "real", 100, 60 * NS_PER_S);
    set.policies[0].mode = LIMIT_SHADOW;
    struct limit_view *view = start(&f, 4096);
    struct limit_verdict verdict;
    for (int i = 0; i < 100; i++) {
        cr_assert(fixture_ask(view, 1, &verdict));
        cr_assert(verdict.charges[0].shadow);
        cr_assert_eq(verdict.charges[0].denied, i >= 5);
    }
    cr_assert_not(fixture_ask(view, 1, &verdict));
    cr_assert_str_eq(policy_name(view, &verdict), "real");
    f.now_ns += 62 * NS_PER_S;
    cr_assert(fixture_ask(view, 1, &verdict));
    cr_assert_not(verdict.charges[0].denied, "what it would refuse does not count there");
    finish(&f, view);
}

Test(limit, zero_is_a_ban)
{
    struct fixture f;
    struct limit_view *view = start_builtin(&f, "TIER_FREE_MAX=0");
    struct limit_facts facts = facts_at("/");
    struct limit_verdict verdict;
    limit_decide(view, &facts, &verdict);
    cr_assert_not(verdict.admitted);
    cr_assert_eq(verdict.retry_after_ns, LIMIT_NEVER, "no wait helps, so none is told");
    cr_assert_str_eq(policy_name(view, &verdict), "tier-free");
    finish(&f, view);
}

Test(limit, cost)
{
    struct fixture f;
    set.n = 0;
    fixture_policy(&set, "small", 10, 60 * NS_PER_S);
    fixture_policy(&set, "large", 100, 60 * NS_PER_S);
    struct limit_view *view = start(&f, 4096);
    struct limit_facts facts = fixture_facts(1);
    struct limit_verdict verdict;
    facts.cost = 0;
    for (int i = 0; i < 50; i++) {
        limit_decide(view, &facts, &verdict);
        cr_assert(verdict.admitted);
        cr_assert_eq(verdict.charges[0].remaining, 10, "looking costs nothing");
    }
    facts.cost = 7;
    limit_decide(view, &facts, &verdict);
    cr_assert(verdict.admitted);
    cr_assert_eq(verdict.charges[0].remaining, 3);
    cr_assert_eq(verdict.charges[1].remaining, 93);
    limit_decide(view, &facts, &verdict);
    cr_assert_not(verdict.admitted);
    facts.cost = 11;
    limit_decide(view, &facts, &verdict);
    cr_assert_not(verdict.admitted, "can never fit");
    cr_assert_eq(verdict.retry_after_ns, LIMIT_NEVER);
    cr_assert_neq(verdict.charges[1].reset_ns, LIMIT_NEVER, "there it would");
    facts.cost = UINT32_MAX;
    limit_decide(view, &facts, &verdict);
    cr_assert_not(verdict.admitted);
    facts.cost = 3;
    cr_assert_eq(admitted_of(view, &facts, 1), 1);
    facts.cost = 0;
    limit_decide(view, &facts, &verdict);
    cr_assert_not(verdict.admitted, "a request of cost 1 would be refused");
    finish(&f, view);
}

Test(limit, a_refund_gives_back_once_and_only_what_was_charged)
{
    struct fixture f;
    set.n = 0;
    fixture_policy(&set, "ring", 3, 60 * NS_PER_S);
    fixture_policy(&set, "window", 20, 60 * NS_PER_S);
    struct limit_view *view = start(&f, 4096);
    struct limit_verdict verdict, refused;
    for (int i = 0; i < 3; i++) {
        cr_assert(fixture_ask(view, 1, &verdict));
    }
    cr_assert_not(fixture_ask(view, 1, &refused));
    limit_refund(view, &refused);
    cr_assert_not(fixture_ask(view, 1, &refused), "a refusal gives nothing back");
    limit_refund(view, &verdict);
    cr_assert(fixture_ask(view, 1, &verdict));
    cr_assert_eq(verdict.charges[1].remaining, 17);
    cr_assert_not(fixture_ask(view, 1, &refused));
    limit_publish(view, &set, LIMIT_PUBLISH_REPLACE);
    limit_refund(view, &verdict);
    cr_assert(fixture_ask(view, 1, &verdict), "a policy keeps its counts through a reload");
    cr_assert_not(fixture_ask(view, 1, &refused));
    set.policies[0].window_ns = set.policies[1].window_ns += NS_PER_S;
    set.policies[0].identity = policy_identity(&set.policies[0]);
    set.policies[1].identity = policy_identity(&set.policies[1]);
    cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_REPLACE), 0);
    cr_assert(fixture_ask(view, 1, &refused));
    limit_refund(view, &verdict);
    cr_assert(fixture_ask(view, 1, &refused));
    cr_assert(fixture_ask(view, 1, &refused));
    cr_assert_not(fixture_ask(view, 1, &refused), "another window counts anew: nothing to refund");
    finish(&f, view);
}

Test(limit, ipv6_clients_count_by_prefix_and_nat64_by_client)
{
    struct fixture f;
    set.n = 0;
    fixture_policy(&set, "three", 3, 60 * NS_PER_S);
    struct limit_view *view = start(&f, 4096);
    struct limit_facts facts = fixture_facts(1);
    static const struct {
        const char *text;
        int admitted;
    } rows[] = {{"2001:db8:1234:5600::1", 3},
                {"2001:db8:1234:56ff:9::1", 0},
                {"2001:db8:1234:5700::1", 3},
                {"64:ff9b::1.2.3.4", 3},
                {"64:ff9b::1.2.3.5", 3},
                {"64:ff9b::1.2.3.4", 0},
                {"1.2.3.4", 3},
                {"::ffff:1.2.3.4", 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(address_parse(rows[i].text, strlen(rows[i].text), &facts.client), 0);
        cr_assert_eq(admitted_of(view, &facts, 5), rows[i].admitted, "%s", rows[i].text);
    }
    finish(&f, view);
}

// Who waits as told is admitted; over the built-in set, where several policies may refuse at once.
Test(limit, obeying_retry_after_is_admitted)
{
    struct fixture f;
    struct limit_view *view = start_builtin(&f, "GLOBAL_RATE_MAX=120");
    struct limit_verdict verdict;
    int refusals = 0;
    while (refusals < 3000) {
        struct limit_facts facts = facts_at(rnd() % 4 ? "/api" : "/login");
        facts.client.bytes[1] = (uint8_t)(rnd() % 3);
        limit_decide(view, &facts, &verdict);
        f.now_ns += rnd() % (16 * NS_PER_S);
        if (verdict.admitted) {
            continue;
        }
        refusals++;
        limit_decide(view, &facts, &verdict);
        if (!verdict.admitted) {
            f.now_ns += verdict.retry_after_ns;
            limit_decide(view, &facts, &verdict);
            cr_assert(verdict.admitted, "refusal %d", refusals);
        }
    }
    finish(&f, view);
}

// The same to the nanosecond, with wide counts and costs: a moment earlier it is refused.
Test(limit, obeying_retry_after_is_exact_with_wide_counts_and_costs)
{
    static const uint64_t limits[] = {1000, 60000, 1048576, 16777215};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct fixture f;
        set.n = 0;
        fixture_policy(&set, "wide", limits[i], 60 * NS_PER_S);
        struct limit_view *view = start(&f, 4096);
        struct limit_verdict verdict;
        struct limit_facts facts = fixture_facts(1);
        for (int refusals = 0; refusals < 300;) {
            facts.cost = 1 + (uint32_t)(rnd() % (limits[i] / 10));
            f.now_ns += rnd() % (4 * NS_PER_S);
            limit_decide(view, &facts, &verdict);
            if (verdict.admitted) {
                continue;
            }
            refusals++;
            f.now_ns += verdict.retry_after_ns - 1;
            limit_decide(view, &facts, &verdict);
            cr_assert_not(verdict.admitted, "limit %lu, a moment early", limits[i]);
            f.now_ns++;
            limit_decide(view, &facts, &verdict);
            cr_assert(verdict.admitted, "limit %lu, refusal %d", limits[i], refusals);
        }
        finish(&f, view);
    }
}

// What `concurrency` promises: r more requests at once, and one for each that ends.
Test(limit, concurrency_has_as_many_places_as_it_tells)
{
    struct fixture f;
    struct limit_verdict held[5], verdict;
    set.n = 0;
    fixture_policy(&set, "places", 5, 60 * NS_PER_S);
    fixture_algorithm(&set, LIMIT_CONCURRENCY, 30 * NS_PER_S);
    struct limit_view *view = start(&f, 4096);
    for (uint64_t i = 0; i < 5; i++) {
        cr_assert(fixture_ask(view, 1, &held[i]));
        cr_assert_eq(held[i].charges[0].remaining, 4 - i);
    }
    for (int i = 0; i < 5; i++) {
        cr_assert_not(fixture_ask(view, 1, &verdict));
        cr_assert_eq(verdict.charges[0].remaining, 0);
        limit_release(view, &held[i]);
        cr_assert(fixture_ask(view, 1, &held[i]), "the place of the one that ended");
        cr_assert_eq(held[i].charges[0].remaining, 0);
    }
    finish(&f, view);
}

// reset_ns of an admission: the remaining grows then, and not a moment before.
Test(limit, reset_is_when_the_remaining_grows)
{
    struct fixture f;
    set.n = 0;
    fixture_policy(&set, "fifty", 50, 60 * NS_PER_S);
    struct limit_view *view = start(&f, 4096);
    struct limit_verdict verdict;
    struct limit_facts look = fixture_facts(1);
    look.cost = 0;
    for (int i = 0; i < 2000; i++) {
        f.now_ns += rnd() % (2 * NS_PER_S);
        if (!fixture_ask(view, 1, &verdict)) {
            continue;
        }
        uint64_t remaining = verdict.charges[0].remaining, now = f.now_ns;
        f.now_ns = now + verdict.charges[0].reset_ns - 1;
        limit_decide(view, &look, &verdict);
        cr_assert_eq(verdict.charges[0].remaining, remaining);
        f.now_ns++;
        limit_decide(view, &look, &verdict);
        cr_assert_gt(verdict.charges[0].remaining, remaining);
    }
    finish(&f, view);
}

// A batch is so many single decisions, whatever stands in it and however often.
Test(limit, a_batch_decides_as_one_after_the_other)
{
    enum { N = 100 };
    static struct limit_facts facts[N];
    static struct limit_verdict together[N];
    struct fixture f, g;
    set.n = 0;
    fixture_policy(&set, "five", 5, 60 * NS_PER_S);
    fixture_policy(&set, "seventeen", 17, 60 * NS_PER_S);
    struct limit_view *view = start(&f, 1024), *other = start(&g, 1024);
    for (uint32_t i = 0; i < N; i++) {
        facts[i] = fixture_facts(i % 7 * (i % 3));
        facts[i].cost = i % 4;
    }
    limit_decide_batch(view, facts, N, together);
    uint32_t admitted = 0;
    for (uint32_t i = 0; i < N; i++) {
        struct limit_verdict single;
        limit_decide(other, &facts[i], &single);
        cr_assert_eq(single.admitted, together[i].admitted, "%u", i);
        cr_assert_eq(single.n, together[i].n);
        for (uint32_t j = 0; j < single.n; j++) {
            cr_assert_eq(single.charges[j].remaining, together[i].charges[j].remaining, "%u", i);
        }
        admitted += single.admitted;
    }
    cr_assert_gt(admitted, N / 5);
    cr_assert_lt(admitted, N);
    finish(&g, other);
    finish(&f, view);
}

// Does a decision by this policy ever go by a clock reading that is older than itself?
static bool decides_by_older_reading(enum limit_algorithm algorithm, uint64_t window_ns)
{
    struct fixture f;
    set = (struct limit_policy_set){0};
    fixture_policy(&set, "p", 100, window_ns);
    if (algorithm != LIMIT_SLIDING_WINDOW) {
        fixture_algorithm(&set, algorithm, algorithm == LIMIT_CONCURRENCY ? NS_PER_S : 10);
    }
    struct limit_view *view = start(&f, 4096);
    bool older = false;
    view->clock_ns = NULL;
    for (uint32_t client = 0; client < 1000; client++) {
        struct limit_verdict verdict;
        uint64_t before_ns = clock_mono_ns();
        (void)fixture_ask(view, client, &verdict);
        older |= view->hint_ns < before_ns;
        cr_expect_gt(view->hint_ns + RECENT_LAG_NS, before_ns);
    }
    finish(&f, view);
    return older;
}

Test(limit, reads_the_clock_unless_the_epoch_surely_lasts)
{
    const uint64_t lag_ns = RECENT_LAG_NS, day_ns = 86400 * NS_PER_S;
    bool sound = recent_clock_is_sound();
    cr_expect_eq(decides_by_older_reading(LIMIT_SLIDING_WINDOW, day_ns), sound);
    cr_expect_eq(decides_by_older_reading(LIMIT_FIXED_WINDOW, day_ns), sound);
    cr_expect_not(decides_by_older_reading(LIMIT_SLIDING_WINDOW, 40 * lag_ns)); // 41 epochs
    cr_expect_not(decides_by_older_reading(LIMIT_FIXED_WINDOW, lag_ns));
    cr_expect_not(decides_by_older_reading(LIMIT_GCRA, day_ns));
    cr_expect_not(decides_by_older_reading(LIMIT_CONCURRENCY, day_ns));
}
