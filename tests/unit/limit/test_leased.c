// Distributed policies in a decision: what is spent, asked for, refused, given back, and what
// happens while the store is away. Virtual clock, cells filled by hand as the limiter would.
#include <stdio.h>

#include "fixture.h"
#include "limit/key.h"
#include "limit/limit_lease.h"

static struct fixture f;
static struct limit_view *view;
static struct limit_policy_set set;
static const struct limit_facts facts = {
    .client = {.family = 4, .bytes = {192, 0, 2, 1}}, .method = HTTP_GET, .cost = 1};

static void distribute(uint32_t policy, uint8_t on_failure)
{
    set.policies[policy].scope = POLICY_DISTRIBUTED;
    set.policies[policy].on_store_failure = on_failure;
}

static void setup(void)
{
    fixture_init(&f, 4096);
    view = fixture_view(&f, 0);
    size_t bytes = (size_t)lease_section_spec(64).bytes;
    view->leases = lease_view_over(fixture_memory(bytes), bytes);
    set = (struct limit_policy_set){0};
    fixture_policy(&set, "far", 100, 60 * NS_PER_S);
    fixture_policy(&set, "near", 3, 60 * NS_PER_S);
    distribute(0, POLICY_FAIL_LOCAL);
}
static void teardown(void)
{
    free(view->leases.table);
    free(view);
    fixture_fini(&f);
}
TestSuite(leased, .init = setup, .fini = teardown);

static void publish(void)
{
    cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_REPLACE), 0);
}

static void store_is(bool up)
{
    atomic_store(&view->leases.table->store_until_ns, up ? f.now_ns + 60 * NS_PER_S : 0);
}

static uint64_t print_of(uint32_t policy)
{
    uint64_t hash = key_hash(view->hash_key, &facts, LIMIT_KEY_CLIENT, &set.policies[policy]);
    return lease_print(hash, set.policies[policy].identity);
}

static struct lease_cell *give(uint32_t policy, uint64_t tokens)
{
    struct lease_cell *cell = lease_claim(&view->leases, print_of(policy), f.now_ns);
    lease_fill(&view->leases, cell, 0, tokens, f.now_ns + 300 * NS_PER_MS);
    return cell;
}

static struct limit_verdict decide(void)
{
    struct limit_verdict verdict;
    limit_decide(view, &facts, &verdict);
    return verdict;
}

Test(leased, tokens_in_the_cell_are_spent_and_no_local_cell_is_touched)
{
    set.n = 1;
    publish();
    store_is(true);
    struct lease_cell *cell = give(0, 2);
    cr_assert(decide().admitted);
    struct limit_verdict verdict = decide();
    cr_assert(verdict.admitted && verdict.charges[0].leased);
    cr_assert_eq(lease_tokens(cell, f.now_ns), 0);
    verdict = decide();
    cr_assert_not(verdict.admitted);
    cr_assert(verdict.waits && verdict.asks);
    cr_assert_eq(verdict.charges[0].ask, LIMIT_ASK_WAIT);
    store_is(false);
    for (int i = 0; i < 100; i++)
        cr_assert(decide().admitted, "the local count begins with the outage");
    cr_assert_not(decide().admitted);
}

Test(leased, a_lease_that_ends_during_the_decision_is_not_spent)
{
    publish();
    store_is(true);
    struct lease_cell *cell = give(0, 2);
    f.now_ns += 300 * NS_PER_MS;
    cr_assert(decide().waits);
    cr_assert_eq(lease_collect(&view->leases, cell, 0), 2, "all of it is still there to return");
}

Test(leased, all_policies_are_charged_or_none)
{
    publish();
    store_is(true);
    struct lease_cell *cell = give(0, 10);
    for (int i = 0; i < 3; i++)
        cr_assert(decide().admitted);
    cr_assert_not(decide().admitted, "near is used up");
    cr_assert_eq(lease_tokens(cell, f.now_ns), 7);
    lease_collect(&view->leases, cell, 0);
    struct limit_verdict verdict = decide();
    cr_assert_not(verdict.waits, "who is refused here anyway asks nobody");
    cr_assert_not(verdict.admitted);
}

Test(leased, a_refund_goes_back_into_the_cell)
{
    publish();
    store_is(true);
    struct lease_cell *cell = give(0, 1);
    struct limit_verdict verdict = decide();
    struct limit_return returns[LIMIT_MATCHED_MAX];
    limit_refund(view, &verdict);
    limit_refund(view, &verdict);
    cr_assert_eq(lease_tokens(cell, f.now_ns), 1, "once");
    cr_assert_eq(limit_returns(&verdict, returns), 0);
}

static struct limit_grant grant(const struct limit_ask *ask, uint8_t kind)
{
    return (struct limit_grant){.kind = kind,
                                .identity = ask->identity,
                                .key_id = {ask->key_id[0], ask->key_id[1]},
                                .lease = 77,
                                .fits_after_ns = 5 * NS_PER_S,
                                .left = 40};
}

Test(leased, what_the_limiter_granted_is_charged_and_can_be_returned)
{
    publish();
    store_is(true);
    struct limit_verdict verdict = decide();
    struct limit_ask asks[LIMIT_MATCHED_MAX];
    struct limit_return returns[LIMIT_MATCHED_MAX];
    cr_assert_eq(limit_asks(view, &facts, &verdict, asks), 1);
    cr_assert_eq(asks[0].cost, 1);
    cr_assert_eq(asks[0].limit, 100);
    cr_assert(asks[0].key_id[0] != 0 && asks[0].key_id[0] != asks[0].key_id[1]);
    struct limit_grant granted = grant(&asks[0], LIMIT_GRANTED);
    limit_decide_granted(view, &facts, &granted, 1, &verdict);
    cr_assert(verdict.admitted);
    cr_assert_eq(verdict.charges[0].remaining, 40);
    cr_assert_eq(limit_returns(&verdict, returns), 0);
    limit_refund(view, &verdict);
    cr_assert_eq(limit_returns(&verdict, returns), 1);
    cr_assert(returns[0].lease == 77 && returns[0].tokens == 1 &&
              returns[0].key_id[0] == asks[0].key_id[0]);
    cr_assert_eq(limit_returns(&verdict, returns), 0, "once");
}

Test(leased, what_was_granted_to_a_request_that_is_then_refused_goes_back)
{
    publish();
    store_is(true);
    struct limit_verdict verdict = decide();
    struct limit_ask asks[LIMIT_MATCHED_MAX];
    limit_asks(view, &facts, &verdict, asks);
    struct lease_cell *cell = give(0, 3);
    for (int i = 0; i < 3; i++)
        cr_assert(decide().admitted, "others use near up while it waits");
    struct limit_grant granted = grant(&asks[0], LIMIT_GRANTED);
    limit_decide_granted(view, &facts, &granted, 1, &verdict);
    cr_assert_not(verdict.admitted);
    struct limit_return returns[LIMIT_MATCHED_MAX];
    cr_assert_eq(limit_returns(&verdict, returns), 1);
    cr_assert_eq(lease_tokens(cell, f.now_ns), 0);
}

Test(leased, the_stores_refusal_is_a_denial_with_its_time)
{
    publish();
    store_is(true);
    struct limit_verdict verdict = decide();
    struct limit_ask asks[LIMIT_MATCHED_MAX];
    limit_asks(view, &facts, &verdict, asks);
    struct limit_grant refused = grant(&asks[0], LIMIT_REFUSED);
    limit_decide_granted(view, &facts, &refused, 1, &verdict);
    cr_assert_not(verdict.admitted || verdict.waits);
    cr_assert_eq(verdict.retry_after_ns, 5 * NS_PER_S);
    cr_assert_not(verdict.charges[0].store_away);
}

Test(leased, a_refusal_is_remembered_until_it_is_of_use_to_ask_again)
{
    publish();
    store_is(true);
    struct lease_cell *cell = give(0, 0);
    atomic_store(&cell->refused_until_ns, f.now_ns + NS_PER_S);
    atomic_store(&cell->fits_at_ns, f.now_ns + 9 * NS_PER_S);
    struct limit_verdict verdict = decide();
    cr_assert_not(verdict.admitted || verdict.waits);
    cr_assert_eq(verdict.retry_after_ns, 9 * NS_PER_S);
    store_is(false);
    cr_assert_not(decide().admitted, "what the store said stands while it is away");
    store_is(true);
    f.now_ns += NS_PER_S;
    cr_assert(decide().waits);
}

Test(leased, tokens_that_run_low_are_asked_for_by_one)
{
    publish();
    store_is(true);
    struct lease_cell *cell = give(0, 3);
    atomic_store(&cell->low, 2);
    struct limit_verdict verdict = decide();
    struct limit_ask asks[LIMIT_MATCHED_MAX];
    cr_assert(verdict.admitted && verdict.asks);
    cr_assert_eq(limit_asks(view, &facts, &verdict, asks), 1);
    cr_assert_eq(asks[0].cost, 0);
    verdict = decide();
    cr_assert(verdict.admitted && !verdict.asks);
}

Test(leased, while_the_store_is_away_the_policy_says_what_happens)
{
    distribute(0, POLICY_FAIL_OPEN);
    publish();
    for (int i = 0; i < 3; i++)
        cr_assert(decide().admitted);
    cr_assert_not(decide().admitted, "the local policy still counts");
    set.policies[1].limit = 12;
    distribute(0, POLICY_FAIL_CLOSED);
    publish();
    struct limit_verdict verdict = decide();
    cr_assert_not(verdict.admitted || verdict.waits);
    cr_assert(verdict.charges[0].store_away);
    cr_assert_gt(verdict.retry_after_ns, 0);
    give(0, 1);
    cr_assert(decide().admitted, "tokens that are here are good");
    cr_assert(decide().charges[0].store_away);
}

Test(leased, an_answer_that_never_came_is_the_store_being_away)
{
    distribute(0, POLICY_FAIL_CLOSED);
    publish();
    store_is(true);
    struct limit_verdict verdict = decide();
    struct limit_ask asks[LIMIT_MATCHED_MAX];
    limit_asks(view, &facts, &verdict, asks);
    struct limit_grant away = grant(&asks[0], LIMIT_STORE_AWAY);
    limit_decide_granted(view, &facts, &away, 1, &verdict);
    cr_assert(!verdict.admitted && !verdict.waits && verdict.charges[0].store_away);
}

Test(leased, a_shadow_policy_keeps_nobody_waiting)
{
    set.policies[0].mode = LIMIT_SHADOW;
    publish();
    store_is(true);
    struct limit_verdict verdict = decide();
    cr_assert(verdict.admitted && verdict.asks && !verdict.waits);
    cr_assert_eq(verdict.charges[0].ask, LIMIT_ASK_SHADOW);
    struct limit_ask asks[LIMIT_MATCHED_MAX];
    cr_assert_eq(limit_asks(view, &facts, &verdict, asks), 1);
    cr_assert_eq(asks[0].cost, 1);
}

Test(leased, a_limit_of_nothing_and_a_cost_beyond_it_ask_nobody)
{
    set.policies[0].limit = 0;
    publish();
    store_is(true);
    struct limit_verdict verdict = decide();
    cr_assert_not(verdict.admitted || verdict.waits);
    cr_assert_gt(verdict.retry_after_ns, 0);
}

Test(leased, looking_asks_nobody_and_takes_nothing)
{
    publish();
    store_is(true);
    struct limit_facts look = facts;
    struct limit_verdict verdict;
    look.cost = 0;
    limit_decide(view, &look, &verdict);
    cr_assert(verdict.admitted && !verdict.asks);
    struct lease_cell *cell = give(0, 2);
    limit_decide(view, &look, &verdict);
    cr_assert(verdict.admitted);
    cr_assert_eq(verdict.charges[0].remaining, 2);
    cr_assert_eq(lease_tokens(cell, f.now_ns), 2);
}

Test(leased, a_year_and_sixteen_million)
{
    set.n = 0;
    fixture_policy(&set, "year", 16777215, LIMIT_WINDOW_STORE_NS);
    distribute(0, POLICY_FAIL_LOCAL);
    publish();
    store_is(true);
    struct lease_cell *cell = give(0, 16777215);
    cr_assert_eq(lease_tokens(cell, f.now_ns), 16777215);
    cr_assert(decide().admitted);
    cr_assert_eq(lease_tokens(cell, f.now_ns), 16777214);
    lease_collect(&view->leases, cell, 0);
    store_is(false);
    struct limit_facts dear = facts;
    struct limit_verdict verdict;
    dear.cost = 1000000;
    for (int i = 0; i < 16; i++) {
        limit_decide(view, &dear, &verdict);
        cr_assert(verdict.admitted, "%d", i);
        f.now_ns += 86400 * NS_PER_S;
    }
    limit_decide(view, &dear, &verdict);
    cr_assert_not(verdict.admitted, "what was counted here half a month ago still counts");
    cr_assert_gt(verdict.charges[0].reset_ns, 300 * 86400 * NS_PER_S);
    cr_assert_leq(verdict.charges[0].reset_ns, LIMIT_WINDOW_STORE_NS / 11 * 12);
}

// A decision lives on the stack and fills in what it needs; once a flag that a leased charge never
// set let what lay there before decide whether it was charged.
static __attribute__((noinline)) void leave_on_the_stack(int byte)
{
    volatile unsigned char bytes[32768];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)byte;
    cr_assert_eq(bytes[0], (unsigned char)byte);
}

Test(leased, what_lay_on_the_stack_decides_nothing)
{
    static const int bytes[] = {0, 1, 0x55, 0xff};
    publish();
    store_is(true);
    struct lease_cell *cell = give(0, 8);
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        struct limit_verdict verdict;
        memset(&verdict, bytes[i], sizeof(verdict));
        leave_on_the_stack(bytes[i]);
        limit_decide(view, &facts, &verdict);
        cr_assert(verdict.admitted && !verdict.waits && !verdict.asks);
        cr_assert_eq(lease_tokens(cell, f.now_ns), 7, "charged, with %#x there", bytes[i]);
        limit_refund(view, &verdict);
        cr_assert_eq(lease_tokens(cell, f.now_ns), 8, "and given back");
    }
}
