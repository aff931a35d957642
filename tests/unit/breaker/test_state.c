#include <criterion/criterion.h>

#include "breaker/state.h"
#include "breaker/tag.h"
#include "breaker_fixture.h"

static struct breaker_definition definition;

static void setup(void)
{
    definition = definition_named("x");
}

TestSuite(state, .init = setup);

Test(state, zero_is_closed_of_generation_0)
{
    cr_assert_eq(state_kind(0), BREAKER_CLOSED);
    cr_assert_eq(state_generation(0), 0);
    cr_assert_eq(state_deadline_ns(0, 5 * S), 0);
}

Test(state, trip_opens_until_the_deadline_and_not_a_moment_less)
{
    uint64_t now = 100 * S + 1; // not a whole ms: rounded up, never early
    uint64_t word = state_trip(0, &definition, 7, 0, now);
    cr_assert_eq(state_kind(word), BREAKER_OPEN);
    cr_assert_eq(state_generation(word), 1);
    cr_assert_eq(state_deadline_ns(word, now), 105 * S + MS);
    cr_assert(!state_is_due(word, 105 * S + MS - 1));
    cr_assert(state_is_due(word, 105 * S + MS));
    cr_assert_eq(state_came_from(word), BREAKER_CLOSED);
}

// The first time exactly the reset timeout, then times 1.5 for each failed recovery.
Test(state, open_time_grows_with_failed_recoveries_up_to_the_bound)
{
    cr_assert_eq(state_open_for_ns(&definition, 0, 12345), 5 * S);
    cr_assert_eq(state_open_for_ns(&definition, 1, 0), 7500 * MS);
    cr_assert_eq(state_open_for_ns(&definition, 2, 0), 11250 * MS);
    cr_assert_eq(state_open_for_ns(&definition, 1, 1000), 8250 * MS); // a tenth of jitter
    cr_assert_eq(state_open_for_ns(&definition, 63, 1000), 60 * S);
    definition.reset_timeout_ns = 90 * S; // beyond the bound, as a damaged segment may say
    cr_assert_eq(state_open_for_ns(&definition, 0, 0), 60 * S);
}

Test(state, jitter_differs_between_generations_and_segments)
{
    uint64_t word = state_first_probe(state_trip(0, &definition, 1, 0, S));
    uint64_t a = state_probe_result(word, false, false, &definition, 1, 100 * S);
    uint64_t b = state_probe_result(word, false, false, &definition, 2, 100 * S);
    cr_assert_eq(state_kind(a), BREAKER_OPEN);
    cr_assert_neq(state_deadline_ns(a, S), state_deadline_ns(b, S));
}

Test(state, one_probe_closes_or_reopens)
{
    uint64_t word = state_first_probe(state_trip(0, &definition, 1, 0, S));
    cr_assert_eq(state_kind(word), BREAKER_HALF_OPEN);
    cr_assert_eq(state_probes_out(word), 1);
    cr_assert(!state_has_permit(word, &definition));

    uint64_t closed = state_probe_result(word, true, false, &definition, 1, 9 * S);
    cr_assert_eq(state_kind(closed), BREAKER_CLOSED);
    cr_assert_eq(state_generation(closed), 3);
    cr_assert_eq(state_reopened(closed), 0);

    uint64_t open = state_probe_result(word, false, false, &definition, 1, 9 * S);
    cr_assert_eq(state_kind(open), BREAKER_OPEN);
    cr_assert_eq(state_reopened(open), 1);
    cr_assert_eq(state_came_from(open), BREAKER_HALF_OPEN);
}

// The ratio that users of one flaky probe ask for: probes are judged together.
Test(state, several_probes_are_judged_together)
{
    definition.probes = 4;
    uint64_t word = state_first_probe(state_trip(0, &definition, 1, 0, S));
    for (int i = 0; i < 3; i++) {
        cr_assert(state_has_permit(word, &definition));
        word = state_next_probe(word);
    }
    cr_assert(!state_has_permit(word, &definition));

    word = state_probe_result(word, false, false, &definition, 1, S); // 1 of 4 is under 50 %
    cr_assert_eq(state_kind(word), BREAKER_HALF_OPEN);
    cr_assert(!state_has_permit(word, &definition)); // a judged permit is used up
    uint64_t bad = state_probe_result(word, false, false, &definition, 1, S);
    cr_assert_eq(state_kind(bad), BREAKER_OPEN); // 2 of 4 cannot be made good any more
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(state_kind(word), BREAKER_HALF_OPEN);
        word = state_probe_result(word, true, false, &definition, 1, S);
    }
    cr_assert_eq(state_kind(word), BREAKER_CLOSED);
}

Test(state, exceed_wants_more_than_the_threshold)
{
    cr_assert(state_share_opens(1, 2, 50, &definition));
    definition.trip_exceeds = 1;
    cr_assert(!state_share_opens(1, 2, 50, &definition));
    cr_assert(state_share_opens(2, 3, 50, &definition));
    definition.error_threshold_percent = 100; // a probe that fails is no recovery all the same
    uint64_t word = state_first_probe(state_trip(0, &definition, 1, 0, S));
    word = state_probe_result(word, false, false, &definition, 1, S);
    cr_assert_eq(state_kind(word), BREAKER_OPEN);
}

Test(state, slow_probes_reopen_though_they_succeed)
{
    definition.probes = 2;
    definition.slow_threshold_percent = 50;
    uint64_t word = state_next_probe(state_first_probe(state_trip(0, &definition, 1, 0, S)));
    cr_assert_eq(state_kind(state_probe_result(word, true, true, &definition, 1, S)), BREAKER_OPEN);
    definition.slow_threshold_percent = 60;
    word = state_probe_result(word, true, true, &definition, 1, S);
    cr_assert_eq(state_kind(word), BREAKER_HALF_OPEN);
    cr_assert_eq(state_kind(state_probe_result(word, true, false, &definition, 1, S)),
                 BREAKER_CLOSED);
}

// Failed recoveries are forgotten one by one, each by an open time in which it stayed closed.
Test(state, growth_decays_while_it_stays_closed)
{
    uint64_t word = state_trip(0, &definition, 1, 0, S);
    for (int i = 0; i < 2; i++)
        word = state_probe_result(state_first_probe(word), false, false, &definition, 1, S);
    cr_assert_eq(state_reopened(word), 2);
    word = state_probe_result(state_first_probe(word), true, false, &definition, 1, S);
    cr_assert_eq(state_kind(word), BREAKER_CLOSED);
    cr_assert_eq(state_reopened(word), 2);
    cr_assert_eq(state_reopened(state_with_waiting(word, true)), 2);
    cr_assert_eq(state_reopened(state_trip(word, &definition, 1, 11249 * MS, S)), 2);
    cr_assert_eq(state_reopened(state_trip(word, &definition, 1, 11250 * MS, S)), 1);
    cr_assert_eq(state_reopened(state_trip(word, &definition, 1, 18750 * MS, S)), 0);
    cr_assert_eq(state_came_from(state_trip(word, &definition, 1, 0, S)), BREAKER_CLOSED);
    cr_assert_eq(state_reopened(state_reset(word)), 0);
}

Test(state, forced_states_last_until_their_end)
{
    for (enum breaker_state state = BREAKER_FORCED_OPEN; state < BREAKER_STATES; state++) {
        uint64_t word = state_force(0, state, 100 * S);
        cr_assert_eq(state_shown(word), state);
        cr_assert_eq(state_generation(word), 1);
        cr_assert_eq(state_came_from(word), BREAKER_CLOSED);
        uint64_t end_ns = state_deadline_ns(word, 50 * S);
        cr_assert(end_ns >= 100 * S && end_ns < 100 * S + 256 * MS);
        cr_assert(!state_is_forced_over(word, end_ns - 1));
        cr_assert(state_is_forced_over(word, end_ns));
        uint64_t next = state_unforce(word);
        cr_assert_eq(state_shown(next),
                     state == BREAKER_FORCED_OPEN ? BREAKER_HALF_OPEN : BREAKER_CLOSED);
        cr_assert_eq(state_came_from(next), state);
        cr_assert_eq(state_generation(next), 2);
        word = state_force(0, state, 0);
        cr_assert_eq(state_deadline_ns(word, S), 0);
        cr_assert(!state_is_forced_over(word, UINT64_MAX / 2));
        cr_assert_eq(state_came_from(state_force(word, BREAKER_DISABLED, 0)), state);
    }
}

Test(state, permits_that_come_back_can_go_out_again)
{
    uint64_t word = state_first_probe(state_trip(0, &definition, 1, 0, S));
    word = state_probes_back(word, 1);
    cr_assert_eq(state_kind(word), BREAKER_HALF_OPEN);
    cr_assert(state_has_permit(word, &definition));
    cr_assert_eq(state_probes_back(word, 3), word); // never below none
    cr_assert_eq(state_probe_result(word, true, false, &definition, 1, S),
                 word); // nobody is awaited
}

Test(state, lost_probes_count_as_failed)
{
    definition.probes = 4;
    uint64_t word = state_first_probe(state_trip(0, &definition, 1, 0, S));
    uint64_t generation = state_generation(word);
    word = state_expire_probes(word, &definition, 1, 20 * S); // 1 of 4 failed: undecided
    cr_assert_eq(state_kind(word), BREAKER_HALF_OPEN);
    cr_assert_eq(state_generation(word), generation + 1); // its late result will be dropped
    cr_assert_eq(state_probes_failed(word), 1);
    cr_assert_eq(state_came_from(word), BREAKER_HALF_OPEN);
    cr_assert(state_has_permit(word, &definition));
    word = state_expire_probes(state_next_probe(word), &definition, 1, 40 * S);
    cr_assert_eq(state_kind(word), BREAKER_OPEN);
}

Test(state, fewer_probes_by_a_reload_settle_at_once)
{
    definition.probes = 3;
    uint64_t word = state_first_probe(state_trip(0, &definition, 1, 0, S));
    word = state_probe_result(word, true, false, &definition, 1, S);
    cr_assert_eq(state_settle(word, &definition, 1, S), word);
    definition.probes = 1;
    cr_assert_eq(state_kind(state_settle(word, &definition, 1, S)), BREAKER_CLOSED);
}

Test(state, generations_wrap_and_still_know_who_is_younger)
{
    cr_assert_eq(generation_next(GENERATION_MASK), 0);
    cr_assert(generation_is_after(0, GENERATION_MASK));
    cr_assert(!generation_is_after(GENERATION_MASK, 0));
    cr_assert(!generation_is_after(5, 5));
    uint64_t last = (uint64_t)GENERATION_MASK << 2;
    cr_assert_eq(state_generation(state_trip(last, &definition, 1, 0, S)), 0);
}

// The deadline's low 35 bits wrap every 1.1 years of uptime.
Test(state, deadline_across_the_wrap)
{
    uint64_t wrap_ns = (UINT64_C(1) << 35) * MS, now = wrap_ns - 2 * S;
    uint64_t word = state_trip(0, &definition, 1, 0, now);
    cr_assert_eq(state_deadline_ns(word, now), wrap_ns + 3 * S);
    cr_assert(!state_is_due(word, wrap_ns + 2 * S));
    cr_assert(state_is_due(word, wrap_ns + 3 * S));
    cr_assert(state_is_due(word, wrap_ns + 500 * 86400 * S)); // and nobody asked for long
}

// A damaged word must find its way out: whatever the bits, a breaker that is asked every second and
// whose calls succeed (or get lost) is closed within a few deadlines.
static bool finds_its_way(uint64_t word)
{
    uint64_t now = 1000 * S;
    for (int i = 0; i < 90000 && state_kind(word) != BREAKER_CLOSED; i++, now += S) {
        if (state_kind(word) == BREAKER_OPEN && state_is_due(word, now))
            word = state_first_probe(word);
        else if (state_kind(word) == BREAKER_HALF_OPEN && state_probes_out(word) > 0)
            word = i % 2 ? state_probe_result(word, true, false, &definition, 1, now)
                         : state_expire_probes(word, &definition, 1, now);
        else if (state_kind(word) == BREAKER_HALF_OPEN && state_has_permit(word, &definition))
            word = state_next_probe(word);
        else if (state_kind(word) == BREAKER_HALF_OPEN)
            word = state_settle(word, &definition, 1, now);
        else if (state_is_damaged(word))
            word = state_reset(word);
        else if (state_kind(word) == STATE_FORCED) // a valid one: its end, or a person
            word = state_is_forced_over(word, now) ? state_unforce(word) : state_reset(word);
    }
    return state_kind(word) == BREAKER_CLOSED;
}

Test(state, any_64_bits_find_their_way_to_closed)
{
    uint64_t x = 88172645463325252ULL;
    for (int i = 0; i < 3000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17; // xorshift64
        cr_assert(finds_its_way(x), "%llx", (unsigned long long)x);
    }
}

Test(state, an_open_time_may_be_lengthened_never_shortened)
{
    uint64_t now = 100 * S, word = state_trip(0, &definition, 7, 0, now);
    cr_assert_eq(state_open_longer(word, 104 * S, now), word);
    uint64_t longer = state_open_longer(word, 130 * S + 1, now);
    cr_assert_eq(state_deadline_ns(longer, now), 130 * S + MS);
    cr_assert_eq(state_generation(longer), state_generation(word));
    cr_assert_eq(state_kind(longer), BREAKER_OPEN);
    cr_assert_eq(state_came_from(longer), BREAKER_CLOSED);
    cr_assert_eq(state_reopened(longer), state_reopened(word));
    cr_assert_eq(state_open_longer(0, 130 * S, now), 0, "only an open one");
}
