// What a person sets, the ramp, slow calls, rows of failures and silent holders: through the face.
#include <criterion/criterion.h>
#include <errno.h>

#include "breaker_fixture.h"

#define T0 (1000 * S)

static struct process front, other;
static struct breaker_definition definition;

static void setup(void)
{
    fixture_setup();
    front = process_start("1");
    other = process_start("2");
    definition = definition_named("database");
    publish_one(&front, &definition);
}

static void teardown(void)
{
    process_stop(&front);
    process_stop(&other);
    fixture_teardown();
}

TestSuite(forced, .init = setup, .fini = teardown);

static void force(enum breaker_state state, uint64_t until_ns)
{
    cr_assert_eq(breaker_force(front.view, 0, state, until_ns, "ann", "drill", T0), 0);
    struct breaker_status status = status_of(&front, 0, T0);
    cr_assert_eq(status.state, state);
    cr_assert_str_eq(status.author, "ann");
    cr_assert_str_eq(status.reason, "drill");
}

static enum breaker_grant ask(struct process *process, uint64_t now_ns)
{
    struct breaker_permit permit;
    enum breaker_grant grant = breaker_acquire(process->view, 0, now_ns, &permit, NULL);
    breaker_report(process->view, &permit, BREAKER_IGNORED, now_ns);
    return grant;
}

Test(forced, open_refuses_all_and_probes_nothing_until_its_end)
{
    force(BREAKER_FORCED_OPEN, T0 + 100 * S);
    struct breaker_permit permit;
    uint64_t retry_ns = 0;
    cr_assert_eq(breaker_acquire(other.view, 0, T0 + 40 * S, &permit, &retry_ns),
                 BREAKER_REFUSED_FORCED);
    cr_assert(retry_ns >= 60 * S && retry_ns < 61 * S);
    breaker_reclaim(other.view, T0 + 99 * S);
    cr_assert_eq(state_of(&front, T0 + 99 * S), BREAKER_FORCED_OPEN);
    // At its end the dependency is not trusted blindly: one probe.
    cr_assert_eq(breaker_acquire(other.view, 0, T0 + 101 * S, &permit, NULL),
                 BREAKER_GRANTED_PROBE);
    cr_assert_eq(ask(&front, T0 + 101 * S), BREAKER_REFUSED_OPEN);
    cr_assert(breaker_report(other.view, &permit, BREAKER_SUCCESS, T0 + 101 * S));
    struct breaker_status status = status_of(&front, 0, T0 + 101 * S);
    cr_assert_eq(status.state, BREAKER_CLOSED);
    cr_assert_eq(status.total_refused_forced, 1);
    cr_assert_str_eq(status.author, "");
}

Test(forced, the_owner_ends_it_without_traffic)
{
    force(BREAKER_FORCED_OPEN, T0 + 10 * S);
    struct breaker_transition list[BREAKER_HISTORY];
    cr_assert_eq(breaker_transitions(other.view, 0, 0, list), 1);
    cr_assert_eq(list[0].open_for_ns, 10 * S); // as asked, whatever the word's grain
    cr_assert_eq(list[0].successes, 0);
    breaker_reclaim(other.view, T0 + 11 * S);
    cr_assert_eq(state_of(&front, T0 + 11 * S), BREAKER_HALF_OPEN);
    force(BREAKER_DISABLED, T0 + 20 * S);
    breaker_reclaim(other.view, T0 + 21 * S);
    cr_assert_eq(state_of(&front, T0 + 21 * S), BREAKER_CLOSED);
}

Test(forced, closed_counts_and_never_trips)
{
    force(BREAKER_FORCED_CLOSED, 0);
    calls(&front, 50, BREAKER_FAILURE, T0 + S);
    struct breaker_status status = status_of(&front, 0, T0 + S);
    cr_assert_eq(status.state, BREAKER_FORCED_CLOSED);
    cr_assert_eq(status.window_failures, 50);
    struct breaker_permit permits[11];
    for (int i = 0; i < 11; i++) // the capacity still holds
        cr_assert_eq(breaker_acquire(front.view, 0, T0, &permits[i], NULL),
                     i < 10 ? BREAKER_GRANTED : BREAKER_REFUSED_CAPACITY);
}

Test(forced, disabled_admits_all_and_counts_nothing)
{
    force(BREAKER_DISABLED, 0);
    struct breaker_permit permits[20];
    for (int i = 0; i < 20; i++)
        cr_assert_eq(breaker_acquire(front.view, 0, T0, &permits[i], NULL), BREAKER_GRANTED);
    for (int i = 0; i < 20; i++)
        breaker_report(front.view, &permits[i], BREAKER_FAILURE, T0);
    struct breaker_status status = status_of(&front, 0, T0);
    cr_assert_eq(status.state, BREAKER_DISABLED);
    cr_assert_eq(status.in_flight, 0);
    cr_assert_eq(status.total_failures, 0);
}

Test(forced, observe_admits_all_and_notes_once_what_would_have_opened)
{
    force(BREAKER_OBSERVE, 0);
    struct breaker_transition transition;
    calls(&front, 3, BREAKER_FAILURE, T0);
    cr_assert(!breaker_would_open(other.view, 0, &transition));
    calls(&front, 3, BREAKER_SUCCESS, T0); // one of them brings the volume
    cr_assert(breaker_would_open(other.view, 0, &transition));
    cr_assert_eq(transition.rule, BREAKER_RULE_ERROR_RATE);
    cr_assert_eq(transition.failures, 3);
    cr_assert_eq(transition.successes, 1);
    calls(&front, 30, BREAKER_FAILURE, T0);
    cr_assert(breaker_would_open(other.view, 0, &transition));
    cr_assert_eq(transition.failures, 3); // the first time
    cr_assert_eq(state_of(&front, T0), BREAKER_OBSERVE);
    struct breaker_permit permits[12];
    for (int i = 0; i < 12; i++) // beyond the capacity, too, and counted as refusals
        cr_assert_eq(breaker_acquire(front.view, 0, T0, &permits[i], NULL), BREAKER_GRANTED);
    cr_assert_eq(status_of(&front, 0, T0).total_refused_capacity, 2);
    for (int i = 0; i < 12; i++)
        breaker_report(front.view, &permits[i], BREAKER_SUCCESS, T0);
    cr_assert_eq(status_of(&front, 0, T0).in_flight, 0);
    cr_assert_eq(status_of(&front, 0, T0).window_successes, 15);
}

Test(forced, reset_closes_with_an_empty_window_from_any_state)
{
    calls(&front, 4, BREAKER_FAILURE, T0);
    cr_assert_eq(state_of(&front, T0), BREAKER_OPEN);
    cr_assert_eq(breaker_reset(other.view, 0, "bob", "fixed", T0), 0);
    struct breaker_status status = status_of(&front, 0, T0);
    cr_assert_eq(status.state, BREAKER_CLOSED);
    cr_assert_eq(status.window_failures, 0);
    struct breaker_transition list[BREAKER_HISTORY];
    size_t n = breaker_transitions(front.view, 0, 0, list);
    cr_assert_eq(n, 2);
    cr_assert_eq(list[1].from, BREAKER_OPEN);
    cr_assert_eq(list[1].rule, BREAKER_RULE_COMMAND);
    cr_assert_str_eq(list[1].author, "bob");
    cr_assert_str_eq(list[1].reason, "fixed");
}

// Results of before a person's word change nothing behind it.
Test(forced, results_of_before_do_not_count)
{
    struct breaker_permit permits[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(breaker_acquire(front.view, 0, T0, &permits[i], NULL), BREAKER_GRANTED);
    force(BREAKER_OBSERVE, 0);
    cr_assert_eq(breaker_reset(front.view, 0, "ann", "", T0), 0);
    for (int i = 0; i < 4; i++)
        cr_assert(!breaker_report(front.view, &permits[i], BREAKER_FAILURE, T0));
    cr_assert_eq(state_of(&front, T0), BREAKER_CLOSED);
    cr_assert_eq(status_of(&front, 0, T0).in_flight, 0);
}

Test(forced, what_is_no_forced_state_or_no_end_is_refused)
{
    cr_assert_eq(breaker_force(front.view, 0, BREAKER_OPEN, 0, "", "", T0), -EINVAL);
    cr_assert_eq(breaker_force(front.view, 0, BREAKER_STATES, 0, "", "", T0), -EINVAL);
    cr_assert_eq(breaker_force(front.view, 0, BREAKER_DISABLED, T0, "", "", T0), -EINVAL);
    cr_assert_eq(
        breaker_force(front.view, 0, BREAKER_DISABLED, T0 + BREAKER_FORCE_MAX_NS + 1, "", "", T0),
        -EINVAL);
    cr_assert_eq(breaker_force(front.view, 7, BREAKER_DISABLED, 0, "", "", T0), -ENOENT);
    cr_assert_eq(breaker_reset(front.view, 7, "", "", T0), -ENOENT);
}

Test(forced, long_texts_are_cut)
{
    char text[200];
    memset(text, 'x', sizeof(text));
    text[199] = '\0';
    cr_assert_eq(breaker_force(front.view, 0, BREAKER_DISABLED, 0, text, text, T0), 0);
    struct breaker_status status = status_of(&other, 0, T0);
    cr_assert_eq(strlen(status.author), BREAKER_AUTHOR_MAX - 1);
    cr_assert_eq(strlen(status.reason), BREAKER_REASON_MAX - 1);
}

Test(forced, a_text_cut_within_a_character_stays_utf8)
{
    char text[BREAKER_REASON_MAX + 4];
    memset(text, 'x', sizeof(text));
    snprintf(text + BREAKER_REASON_MAX - 2, 6, "\u20ac"); // three bytes, room for one
    cr_assert_eq(breaker_force(front.view, 0, BREAKER_DISABLED, 0, "\xff!", text, T0), 0);
    struct breaker_status status = status_of(&other, 0, T0);
    cr_assert_str_eq(status.author, "?!");
    cr_assert_eq(strlen(status.reason), BREAKER_REASON_MAX - 1);
    cr_assert_eq(status.reason[BREAKER_REASON_MAX - 2], '?');
}

static void recover(void)
{
    calls(&front, 4, BREAKER_FAILURE, T0);
    cr_assert(call(&front, BREAKER_SUCCESS, T0 + 5 * S));
    cr_assert_eq(state_of(&front, T0 + 5 * S), BREAKER_CLOSED);
}

// From a tenth to all, evenly; what the ramp refuses is never a failure of the dependency.
Test(forced, the_ramp_admits_a_growing_share)
{
    definition.ramp_ns = 10 * S;
    publish_one(&front, &definition);
    recover();
    uint64_t begin_ns = T0 + 5 * S;
    int admitted[10] = {0};
    for (uint64_t i = 0; i < 10000; i++)
        admitted[i / 1000] += call(&front, BREAKER_SUCCESS, begin_ns + i * MS);
    for (int second = 0; second < 10; second++) // the middle of the second
        cr_assert(abs(admitted[second] - (145 + 90 * second)) <= 2, "%d: %d", second,
                  admitted[second]);
    struct breaker_status status = status_of(&front, 0, begin_ns + 9 * S);
    cr_assert_eq(status.total_failures, 4);
    cr_assert_gt(status.total_refused_ramp, 4000);
    for (int i = 0; i < 100; i++)
        cr_assert(call(&front, BREAKER_SUCCESS, begin_ns + 10 * S));
}

Test(forced, the_first_call_after_a_recovery_is_admitted)
{
    definition.ramp_ns = 10 * S;
    publish_one(&front, &definition);
    recover();
    cr_assert(call(&other, BREAKER_SUCCESS, T0 + 5 * S));
    cr_assert(!call(&other, BREAKER_SUCCESS, T0 + 5 * S));
}

static void timed_call(struct process *process, enum breaker_outcome outcome, uint64_t begin_ns,
                       uint64_t answered_ns, uint64_t end_ns)
{
    struct breaker_permit permit;
    cr_assert_eq(breaker_acquire(process->view, 0, begin_ns, &permit, NULL), BREAKER_GRANTED);
    if (answered_ns != 0)
        breaker_answered(&permit, answered_ns);
    breaker_report(process->view, &permit, outcome, end_ns);
}

Test(forced, slow_calls_open_though_they_succeed)
{
    definition.slow_threshold_percent = 50;
    definition.slow_duration_ns = 100 * MS;
    publish_one(&front, &definition);
    timed_call(&front, BREAKER_SUCCESS, T0, 0, T0 + 100 * MS);       // exactly that long: fast
    timed_call(&front, BREAKER_SUCCESS, T0, T0 + MS, T0 + 500 * MS); // a long body is not slow
    timed_call(&front, BREAKER_SUCCESS, T0, 0, T0 + 101 * MS);
    cr_assert_eq(state_of(&front, T0), BREAKER_CLOSED);
    timed_call(&other, BREAKER_SUCCESS, T0, T0 + 101 * MS, T0 + 101 * MS);
    struct breaker_status status = status_of(&front, 0, T0 + S);
    cr_assert_eq(status.state, BREAKER_OPEN);
    cr_assert_eq(status.total_slow, 2);
    struct breaker_transition list[BREAKER_HISTORY];
    cr_assert_eq(breaker_transitions(front.view, 0, 0, list), 1);
    cr_assert_eq(list[0].rule, BREAKER_RULE_SLOW_RATE);
    cr_assert_eq(list[0].slow, 2);
    cr_assert_eq(list[0].successes, 4);
}

Test(forced, failures_in_a_row_open_whoever_saw_them)
{
    definition.consecutive = 3;
    definition.volume_threshold = 100;
    publish_one(&front, &definition);
    call(&front, BREAKER_FAILURE, T0);
    call(&other, BREAKER_TIMEOUT, T0);
    call(&other, BREAKER_SUCCESS, T0); // ends the row of all
    call(&front, BREAKER_FAILURE, T0);
    call(&other, BREAKER_FAILURE, T0);
    call(&other, BREAKER_IGNORED, T0); // says nothing
    cr_assert_eq(state_of(&front, T0), BREAKER_CLOSED);
    cr_assert_eq(status_of(&front, 0, T0).consecutive, 2);
    call(&front, BREAKER_FAILURE, T0);
    cr_assert_eq(state_of(&front, T0), BREAKER_OPEN);
    struct breaker_transition list[BREAKER_HISTORY];
    cr_assert_eq(breaker_transitions(front.view, 0, 0, list), 1);
    cr_assert_eq(list[0].rule, BREAKER_RULE_CONSECUTIVE);
    cr_assert_eq(list[0].consecutive, 3);
}

Test(forced, growth_is_remembered_after_a_recovery)
{
    calls(&front, 4, BREAKER_FAILURE, T0);
    call(&front, BREAKER_FAILURE, T0 + 5 * S); // a failed recovery: 7.5 to 8.25 s
    cr_assert(call(&front, BREAKER_SUCCESS, T0 + 14 * S));
    calls(&front, 4, BREAKER_FAILURE, T0 + 15 * S); // closed for a second only
    struct breaker_status status = status_of(&front, 0, T0 + 15 * S);
    cr_assert_eq(status.reopened, 1);
    cr_assert(status.deadline_ns >= T0 + 22 * S + 500 * MS);
    cr_assert(call(&front, BREAKER_SUCCESS, T0 + 24 * S));
    calls(&front, 4, BREAKER_FAILURE, T0 + 40 * S); // closed for longer than it was open
    cr_assert_eq(status_of(&front, 0, T0 + 40 * S).deadline_ns, T0 + 45 * S);
}

// A holder that is stopped has its lock and no heartbeat.
Test(forced, the_share_of_a_silent_process_comes_back_with_the_lease)
{
    struct breaker_permit held[10], permit;
    for (int i = 0; i < 10; i++)
        cr_assert_eq(breaker_acquire(other.view, 0, T0, &held[i], NULL), BREAKER_GRANTED);
    slot_heartbeat(other.slot, T0);
    breaker_reclaim(front.view, T0 + 10 * S - 1);
    cr_assert_eq(ask(&front, T0 + 10 * S - 1), BREAKER_REFUSED_CAPACITY);
    breaker_reclaim(front.view, T0 + 10 * S);
    cr_assert_eq(breaker_acquire(front.view, 0, T0 + 10 * S, &permit, NULL), BREAKER_GRANTED);
    // It goes on: its old calls end and take nothing off what it holds anew.
    slot_heartbeat(other.slot, UINT64_MAX);
    struct breaker_permit again;
    cr_assert_eq(breaker_acquire(other.view, 0, T0 + 11 * S, &again, NULL), BREAKER_GRANTED);
    for (int i = 0; i < 10; i++)
        breaker_report(other.view, &held[i], BREAKER_SUCCESS, T0 + 11 * S);
    cr_assert_eq(status_of(&front, 0, T0 + 11 * S).in_flight, 2);
    breaker_report(other.view, &again, BREAKER_SUCCESS, T0 + 11 * S);
    breaker_report(front.view, &permit, BREAKER_SUCCESS, T0 + 11 * S);
    cr_assert_eq(status_of(&front, 0, T0 + 11 * S).in_flight, 0);
}
