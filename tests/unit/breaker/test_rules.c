// The rules that bind our circuit breakers, each as given / when / then through the face. "Unlike
// opossum" marks a defect of that library which ours must not have.
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

TestSuite(rules, .init = setup, .fini = teardown);

static void republish(void)
{
    publish_one(&front, &definition);
}

static void trip(uint64_t now_ns)
{
    calls(&front, 4, BREAKER_FAILURE, now_ns);
    cr_assert_eq(state_of(&front, now_ns), BREAKER_OPEN);
}

static struct breaker_permit take(struct process *process, uint64_t now_ns,
                                  enum breaker_grant expected)
{
    struct breaker_permit permit;
    enum breaker_grant grant = breaker_acquire(process->view, 0, now_ns, &permit, NULL);
    cr_assert_eq(grant, expected, "grant %d", grant);
    return permit;
}

// Ours opens at the threshold itself (as resilience4j), not only above it.
Test(rules, rate_at_the_threshold_opens)
{
    definition.volume_threshold = 5;
    republish();
    calls(&front, 3, BREAKER_SUCCESS, T0);
    calls(&front, 2, BREAKER_FAILURE, T0); // 40 %
    cr_assert_eq(state_of(&front, T0), BREAKER_CLOSED);
    call(&front, BREAKER_FAILURE, T0); // 3 of 6
    cr_assert_eq(state_of(&front, T0), BREAKER_OPEN);
}

// Unlike opossum: what is in flight or refused does not dilute the rate.
Test(rules, calls_in_flight_do_not_dilute)
{
    struct breaker_permit permits[10];
    for (int i = 0; i < 10; i++)
        permits[i] = take(&front, T0, BREAKER_GRANTED);
    for (int i = 0; i < 4; i++)
        breaker_report(front.view, &permits[i], BREAKER_FAILURE, T0);
    cr_assert_eq(state_of(&front, T0), BREAKER_OPEN);
}

// Unlike opossum: the success that first reaches the volume is judged too.
Test(rules, success_that_reaches_the_volume_is_judged)
{
    calls(&front, 2, BREAKER_FAILURE, T0);
    call(&front, BREAKER_SUCCESS, T0);
    cr_assert_eq(state_of(&front, T0), BREAKER_CLOSED);
    call(&other, BREAKER_SUCCESS, T0); // in another process: 2 of 4
    cr_assert_eq(state_of(&front, T0), BREAKER_OPEN);
}

// The n-th outcome itself qualifies, counted over all processes.
Test(rules, the_volume_includes_the_outcome_that_reaches_it)
{
    calls(&front, 2, BREAKER_FAILURE, T0);
    call(&other, BREAKER_FAILURE, T0);
    cr_assert_eq(state_of(&front, T0), BREAKER_CLOSED);
    call(&other, BREAKER_FAILURE, T0);
    cr_assert_eq(state_of(&other, T0), BREAKER_OPEN);
}

// The volume does not matter in half-open: one failed probe re-opens.
Test(rules, volume_is_ignored_in_half_open)
{
    definition.volume_threshold = 100;
    republish();
    calls(&front, 99, BREAKER_FAILURE, T0);
    cr_assert_eq(state_of(&front, T0), BREAKER_CLOSED);
    call(&front, BREAKER_FAILURE, T0);
    cr_assert(call(&front, BREAKER_FAILURE, T0 + 5 * S));
    cr_assert_eq(state_of(&front, T0 + 5 * S), BREAKER_OPEN);
    cr_assert_eq(status_of(&front, 0, T0 + 5 * S).reopened, 1);
}

// A half-open whose probe gives no verdict is never stuck.
Test(rules, an_ignored_probe_gives_its_permit_back)
{
    trip(T0);
    struct breaker_permit probe = take(&front, T0 + 5 * S, BREAKER_GRANTED_PROBE);
    take(&other, T0 + 5 * S, BREAKER_REFUSED_OPEN);
    cr_assert(!breaker_report(front.view, &probe, BREAKER_IGNORED, T0 + 6 * S));
    cr_assert_eq(state_of(&front, T0 + 6 * S), BREAKER_HALF_OPEN);
    probe = take(&other, T0 + 6 * S, BREAKER_GRANTED_PROBE);
    cr_assert(breaker_report(other.view, &probe, BREAKER_SUCCESS, T0 + 6 * S));
    cr_assert_eq(state_of(&front, T0 + 6 * S), BREAKER_CLOSED);
}

// A probe's answer may stream for longer than its lease: its head decides, its end gives back.
Test(rules, a_judged_probe_closes_and_keeps_its_capacity_until_its_end)
{
    trip(T0);
    struct breaker_permit probe = take(&front, T0 + 5 * S, BREAKER_GRANTED_PROBE);
    cr_assert(breaker_judge(front.view, &probe, BREAKER_SUCCESS, T0 + 6 * S));
    struct breaker_status status = status_of(&other, 0, T0 + 6 * S);
    cr_assert_eq(status.state, BREAKER_CLOSED);
    cr_assert_eq(status.in_flight, 1);
    cr_assert_eq(status.probes_out, 0);
    cr_assert_eq(status.total_successes, 1);
    cr_assert(!breaker_judge(front.view, &probe, BREAKER_FAILURE, T0 + 7 * S));
    breaker_reclaim(other.view, T0 + 100 * S);
    cr_assert_eq(state_of(&other, T0 + 100 * S), BREAKER_CLOSED);
    cr_assert(!breaker_report(front.view, &probe, BREAKER_TIMEOUT, T0 + 100 * S));
    status = status_of(&other, 0, T0 + 100 * S);
    cr_assert_eq(status.state, BREAKER_CLOSED);
    cr_assert_eq(status.in_flight, 0);
    cr_assert_eq(status.total_successes, 1);
    cr_assert_eq(status.total_timeouts, 0);
}

Test(rules, a_probe_judged_failed_opens_again_at_once_and_only_once)
{
    trip(T0);
    struct breaker_permit probe = take(&front, T0 + 5 * S, BREAKER_GRANTED_PROBE);
    cr_assert(breaker_judge(front.view, &probe, BREAKER_FAILURE, T0 + 6 * S));
    struct breaker_status status = status_of(&other, 0, T0 + 6 * S);
    cr_assert_eq(status.state, BREAKER_OPEN);
    cr_assert_eq(status.reopened, 1);
    // The next probe goes while the first call still lasts; that one's end says nothing of it.
    struct breaker_permit next = take(&other, status.deadline_ns, BREAKER_GRANTED_PROBE);
    cr_assert(!breaker_report(front.view, &probe, BREAKER_SUCCESS, status.deadline_ns));
    cr_assert_eq(state_of(&other, status.deadline_ns), BREAKER_HALF_OPEN);
    cr_assert_eq(status_of(&other, 0, status.deadline_ns).probes_out, 1);
    cr_assert(breaker_judge(other.view, &next, BREAKER_SUCCESS, status.deadline_ns));
    cr_assert_eq(state_of(&front, status.deadline_ns), BREAKER_CLOSED);
}

Test(rules, a_judgement_of_an_expired_probe_is_dropped)
{
    trip(T0);
    struct breaker_permit lost = take(&front, T0 + 5 * S, BREAKER_GRANTED_PROBE);
    take(&other, T0 + 20 * S, BREAKER_REFUSED_OPEN); // its lease is over
    struct breaker_status status = status_of(&other, 0, T0 + 20 * S);
    cr_assert_eq(status.state, BREAKER_OPEN);
    struct breaker_permit next = take(&other, status.deadline_ns, BREAKER_GRANTED_PROBE);
    cr_assert(!breaker_judge(front.view, &lost, BREAKER_SUCCESS, status.deadline_ns));
    cr_assert_eq(state_of(&other, status.deadline_ns), BREAKER_HALF_OPEN);
    cr_assert_eq(status_of(&other, 0, status.deadline_ns).in_flight, 2);
    cr_assert(!breaker_report(front.view, &lost, BREAKER_SUCCESS, status.deadline_ns));
    cr_assert_eq(status_of(&other, 0, status.deadline_ns).in_flight, 1);
    cr_assert_eq(status_of(&other, 0, status.deadline_ns).probes_out, 1);
    cr_assert(breaker_report(other.view, &next, BREAKER_SUCCESS, status.deadline_ns));
}

// Between judgement and report its process dies: the share comes back, the verdict stands.
Test(rules, a_death_after_the_judgement_costs_nothing)
{
    trip(T0);
    struct process third = process_start("3");
    struct breaker_permit probe = take(&third, T0 + 5 * S, BREAKER_GRANTED_PROBE);
    cr_assert(breaker_judge(third.view, &probe, BREAKER_SUCCESS, T0 + 5 * S));
    process_kill(&third);
    breaker_reclaim(other.view, T0 + 6 * S);
    struct breaker_status status = status_of(&other, 0, T0 + 6 * S);
    cr_assert_eq(status.state, BREAKER_CLOSED);
    cr_assert_eq(status.in_flight, 0);
    cr_assert_eq(status.probes_out, 0);
}

Test(rules, a_judgement_needs_a_probe)
{
    struct breaker_permit plain = take(&front, T0, BREAKER_GRANTED);
    cr_assert(!breaker_judge(front.view, &plain, BREAKER_FAILURE, T0));
    cr_assert_eq(status_of(&front, 0, T0).total_failures, 0);
    breaker_report(front.view, &plain, BREAKER_FAILURE, T0);
    cr_assert_eq(status_of(&front, 0, T0).total_failures, 1);
}

// A slow upload's probe: it goes to another call, the upload keeps its share.
Test(rules, a_probe_judged_ignored_lets_another_call_probe)
{
    trip(T0);
    struct breaker_permit slow = take(&front, T0 + 5 * S, BREAKER_GRANTED_PROBE);
    take(&other, T0 + 6 * S, BREAKER_REFUSED_OPEN);
    cr_assert(!breaker_judge(front.view, &slow, BREAKER_IGNORED, T0 + 7 * S));
    struct breaker_permit next = take(&other, T0 + 7 * S, BREAKER_GRANTED_PROBE);
    struct breaker_status status = status_of(&front, 0, T0 + 7 * S);
    cr_assert_eq(status.probes_out, 1);
    cr_assert_eq(status.in_flight, 2);
    cr_assert(!breaker_report(front.view, &slow, BREAKER_SUCCESS, T0 + 8 * S));
    cr_assert_eq(state_of(&front, T0 + 8 * S), BREAKER_HALF_OPEN);
    cr_assert(breaker_report(other.view, &next, BREAKER_SUCCESS, T0 + 8 * S));
    cr_assert_eq(status_of(&front, 0, T0 + 8 * S).in_flight, 0);
}

Test(rules, a_probe_without_result_counts_as_failed_after_its_lease)
{
    trip(T0);
    struct breaker_permit lost = take(&front, T0 + 5 * S, BREAKER_GRANTED_PROBE);
    take(&other, T0 + 20 * S - 1, BREAKER_REFUSED_OPEN);
    cr_assert_eq(state_of(&other, T0 + 20 * S - 1), BREAKER_HALF_OPEN);
    take(&other, T0 + 20 * S, BREAKER_REFUSED_OPEN); // any asker notices
    struct breaker_status status = status_of(&other, 0, T0 + 20 * S);
    cr_assert_eq(status.state, BREAKER_OPEN);
    cr_assert_eq(status.reopened, 1);
    cr_assert_eq(status.total_opens, 2);
    // Its late success is of an older generation.
    cr_assert(!breaker_report(front.view, &lost, BREAKER_SUCCESS, T0 + 21 * S));
    cr_assert_eq(state_of(&other, T0 + 21 * S), BREAKER_OPEN);
    struct breaker_permit probe = take(&other, status.deadline_ns, BREAKER_GRANTED_PROBE);
    breaker_report(other.view, &probe, BREAKER_SUCCESS, status.deadline_ns);
    cr_assert_eq(state_of(&other, status.deadline_ns), BREAKER_CLOSED);
}

Test(rules, the_owner_expires_leases_without_traffic)
{
    trip(T0);
    take(&front, T0 + 5 * S, BREAKER_GRANTED_PROBE);
    breaker_reclaim(other.view, T0 + 20 * S);
    cr_assert_eq(state_of(&front, T0 + 20 * S), BREAKER_OPEN);
}

// No second opening, the deadline does not move.
Test(rules, late_failures_do_not_extend_an_open_breaker)
{
    struct breaker_permit late[4];
    for (int i = 0; i < 4; i++)
        late[i] = take(&other, T0, BREAKER_GRANTED);
    trip(T0);
    uint64_t deadline_ns = status_of(&front, 0, T0).deadline_ns;
    for (int i = 0; i < 4; i++)
        cr_assert(!breaker_report(other.view, &late[i], BREAKER_FAILURE, T0 + 3 * S));
    struct breaker_status status = status_of(&front, 0, T0 + 3 * S);
    cr_assert_eq(status.deadline_ns, deadline_ns);
    cr_assert_eq(status.total_opens, 1);
    cr_assert_eq(status.total_failures, 8); // they happened, so the figures have them
}

// Unlike opossum: at capacity a call is refused at once and that says nothing of the dependency.
Test(rules, a_capacity_refusal_never_trips)
{
    definition.capacity = 1;
    republish();
    struct breaker_permit held = take(&front, T0, BREAKER_GRANTED);
    for (int i = 0; i < 100; i++) {
        take(&other, T0, BREAKER_REFUSED_CAPACITY);
        take(&front, T0, BREAKER_REFUSED_CAPACITY);
    }
    breaker_report(front.view, &held, BREAKER_SUCCESS, T0);
    struct breaker_status status = status_of(&front, 0, T0);
    cr_assert_eq(status.state, BREAKER_CLOSED);
    cr_assert_eq(status.total_refused_capacity, 200);
    cr_assert_eq(status.window_failures, 0);
    cr_assert_eq(status.in_flight, 0);
}

// Unlike opossum: a probe that finds no capacity is refused, nothing re-opens, the next one probes.
Test(rules, a_probe_without_capacity_changes_nothing)
{
    definition.capacity = 2;
    republish();
    struct breaker_permit old[2] = {take(&other, T0, BREAKER_GRANTED),
                                    take(&other, T0, BREAKER_GRANTED)};
    breaker_report(other.view, &old[1], BREAKER_IGNORED, T0);
    trip(T0);
    old[1] = take(&front, T0 + 5 * S, BREAKER_GRANTED_PROBE);
    breaker_report(front.view, &old[1], BREAKER_FAILURE, T0 + 5 * S);
    definition.capacity = 1;
    republish();
    uint64_t due_ns = status_of(&front, 0, T0 + 5 * S).deadline_ns;
    take(&front, due_ns, BREAKER_REFUSED_CAPACITY);
    cr_assert_eq(status_of(&front, 0, due_ns).reopened, 1);
    cr_assert_eq(status_of(&front, 0, due_ns).total_opens, 2);
    breaker_report(other.view, &old[0], BREAKER_SUCCESS, due_ns);
    cr_assert_eq(state_of(&front, due_ns), BREAKER_OPEN); // of an old generation: no verdict
    take(&front, due_ns, BREAKER_GRANTED_PROBE);
}

// Unlike opossum: only the end of the call gives its share back; a timeout of the caller does not.
Test(rules, the_share_stays_until_the_call_ends)
{
    definition.capacity = 2;
    republish();
    struct breaker_permit a = take(&front, T0, BREAKER_GRANTED);
    struct breaker_permit b = take(&other, T0, BREAKER_GRANTED);
    take(&front, T0 + 3600 * S, BREAKER_REFUSED_CAPACITY);
    breaker_report(front.view, &a, BREAKER_TIMEOUT, T0 + 3600 * S);
    a = take(&front, T0 + 3600 * S, BREAKER_GRANTED);
    breaker_report(other.view, &b, BREAKER_TIMEOUT, T0 + 3600 * S);
    cr_assert_eq(status_of(&front, 0, T0 + 3600 * S).in_flight, 1);
    breaker_report(front.view, &a, BREAKER_SUCCESS, T0 + 3600 * S);
    cr_assert_eq(status_of(&front, 0, T0 + 3600 * S).in_flight, 0);
}

// Half-open admits exactly `probes`; others are refused and counted.
Test(rules, half_open_admits_exactly_its_probes)
{
    definition.probes = 3;
    republish();
    trip(T0);
    uint64_t before = status_of(&front, 0, T0).total_refused_open;
    struct breaker_permit probes[3];
    for (int i = 0; i < 3; i++)
        probes[i] = take(i % 2 ? &front : &other, T0 + 5 * S, BREAKER_GRANTED_PROBE);
    for (int i = 0; i < 7; i++)
        take(i % 2 ? &front : &other, T0 + 5 * S, BREAKER_REFUSED_OPEN);
    cr_assert_eq(status_of(&front, 0, T0 + 5 * S).total_refused_open, before + 7);
    cr_assert_eq(status_of(&front, 0, T0 + 5 * S).probes_out, 3);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(state_of(&front, T0 + 5 * S), BREAKER_HALF_OPEN);
        take(&front, T0 + 5 * S, BREAKER_REFUSED_OPEN); // a judged permit is not given again
        breaker_report(i % 2 ? front.view : other.view, &probes[i], BREAKER_SUCCESS, T0 + 5 * S);
    }
    cr_assert_eq(state_of(&front, T0 + 5 * S), BREAKER_CLOSED);
}

// A probe's timeout re-opens like its failure; and closing leaves an empty window.
Test(rules, success_closes_with_an_empty_window)
{
    trip(T0);
    cr_assert(call(&other, BREAKER_TIMEOUT, T0 + 5 * S));
    uint64_t due_ns = status_of(&front, 0, T0 + 5 * S).deadline_ns;
    cr_assert_geq(due_ns, T0 + 5 * S + 7500 * MS); // half as long again
    cr_assert_leq(due_ns, T0 + 5 * S + 8250 * MS + MS);
    cr_assert(call(&other, BREAKER_SUCCESS, due_ns));
    struct breaker_status status = status_of(&front, 0, due_ns);
    cr_assert_eq(status.state, BREAKER_CLOSED);
    cr_assert_eq(status.reopened, 1); // not forgotten at once: see growth_is_remembered
    cr_assert_eq(status.window_failures + status.window_timeouts + status.window_successes, 0);
    calls(&front, 3, BREAKER_FAILURE, due_ns);
    cr_assert_eq(state_of(&front, due_ns), BREAKER_CLOSED); // old failures do not help these
    call(&front, BREAKER_FAILURE, due_ns);
    cr_assert_eq(state_of(&front, due_ns), BREAKER_OPEN);
    cr_assert_geq(status_of(&front, 0, due_ns).deadline_ns, due_ns + 7500 * MS);
}

// Open refuses and counts; the first who asks at the deadline becomes the probe.
Test(rules, the_next_call_after_the_deadline_is_the_probe)
{
    trip(T0);
    uint64_t retry_ns = 0;
    struct breaker_permit permit;
    cr_assert_eq(breaker_acquire(other.view, 0, T0 + 2 * S, &permit, &retry_ns),
                 BREAKER_REFUSED_OPEN);
    cr_assert_eq(retry_ns, 3 * S);
    cr_assert(!breaker_report(other.view, &permit, BREAKER_FAILURE, T0 + 2 * S)); // holds nothing
    take(&other, T0 + 5 * S - 1, BREAKER_REFUSED_OPEN);
    struct breaker_status status = status_of(&front, 0, T0 + 5 * S - 1);
    cr_assert_eq(status.total_refused_open, 2);
    cr_assert_eq(status.total_failures, 4);
    cr_assert_eq(state_of(&front, T0 + 100 * S), BREAKER_OPEN); // no timer, no traffic
    take(&other, T0 + 5 * S, BREAKER_GRANTED_PROBE);
    cr_assert_eq(state_of(&front, T0 + 5 * S), BREAKER_HALF_OPEN);
    cr_assert_eq(breaker_acquire(front.view, 0, T0 + 5 * S, &permit, &retry_ns),
                 BREAKER_REFUSED_OPEN);
    cr_assert_eq(retry_ns, 1 * S); // the probe has begun to answer within the call's timeout
}

// A timeout is one failure, not two.
Test(rules, a_timeout_counts_once)
{
    call(&front, BREAKER_TIMEOUT, T0);
    struct breaker_status status = status_of(&front, 0, T0);
    cr_assert_eq(status.window_timeouts, 1);
    cr_assert_eq(status.window_failures, 0);
    cr_assert_eq(status.total_timeouts, 1);
    cr_assert_eq(status.total_failures, 0);
}

// An ignored outcome is neither success nor failure, nor volume.
Test(rules, ignored_outcomes_do_not_count)
{
    calls(&front, 3, BREAKER_FAILURE, T0);
    calls(&front, 50, BREAKER_IGNORED, T0);
    struct breaker_status status = status_of(&front, 0, T0);
    cr_assert_eq(status.state, BREAKER_CLOSED);
    cr_assert_eq(status.window_failures, 3);
    cr_assert_eq(status.window_successes, 0);
}

// CIRCUIT_BREAKERS=false: permits all, records nothing.
Test(rules, disabled_grants_all_and_counts_nothing)
{
    definition.enabled = 0;
    definition.capacity = 1;
    republish();
    for (int i = 0; i < 100; i++)
        cr_assert(call(&front, BREAKER_FAILURE, T0));
    take(&front, T0, BREAKER_GRANTED);
    take(&front, T0, BREAKER_GRANTED);
    struct breaker_status status = status_of(&front, 0, T0);
    cr_assert_eq(status.state, BREAKER_CLOSED);
    cr_assert_eq(status.total_failures, 0);
    cr_assert_eq(status.in_flight, 0);
}

// Polly #216: results of calls that began before the state changed decide nothing.
Test(rules, overhanging_calls_do_not_decide_half_open)
{
    struct breaker_permit old_good = take(&other, T0, BREAKER_GRANTED);
    struct breaker_permit old_bad = take(&other, T0, BREAKER_GRANTED);
    trip(T0);
    struct breaker_permit probe = take(&front, T0 + 5 * S, BREAKER_GRANTED_PROBE);
    cr_assert(!breaker_report(other.view, &old_good, BREAKER_SUCCESS, T0 + 5 * S));
    cr_assert(!breaker_report(other.view, &old_bad, BREAKER_FAILURE, T0 + 5 * S));
    cr_assert_eq(state_of(&front, T0 + 5 * S), BREAKER_HALF_OPEN);
    cr_assert_eq(status_of(&front, 0, T0 + 5 * S).in_flight, 1); // but their shares came back
    cr_assert(breaker_report(front.view, &probe, BREAKER_SUCCESS, T0 + 5 * S));
}

Test(rules, results_of_before_a_closing_do_not_fill_the_new_window)
{
    struct breaker_permit old[5];
    for (int i = 0; i < 5; i++)
        old[i] = take(&other, T0, BREAKER_GRANTED);
    trip(T0);
    cr_assert(call(&front, BREAKER_SUCCESS, T0 + 5 * S));
    for (int i = 0; i < 5; i++)
        breaker_report(other.view, &old[i], BREAKER_FAILURE, T0 + 5 * S);
    cr_assert_eq(state_of(&front, T0 + 5 * S), BREAKER_CLOSED);
    cr_assert_eq(status_of(&front, 0, T0 + 5 * S).window_failures, 0);
}

// Failures older than the window are forgotten, without a timer.
Test(rules, old_failures_age_out)
{
    calls(&front, 3, BREAKER_FAILURE, T0);
    call(&front, BREAKER_FAILURE, T0 + 10 * S);
    cr_assert_eq(state_of(&front, T0 + 10 * S), BREAKER_CLOSED);
    cr_assert_eq(status_of(&front, 0, T0 + 10 * S).window_failures, 1);
}

// Unlike opossum: the state's beginning is its own, and history tells every change.
Test(rules, history_tells_every_change)
{
    cr_assert_eq(status_of(&front, 0, T0).generation, 0);
    calls(&front, 2, BREAKER_SUCCESS, T0);
    calls(&front, 1, BREAKER_TIMEOUT, T0);
    call(&front, BREAKER_FAILURE, T0 + S);
    call(&front, BREAKER_SUCCESS, T0 + 6 * S);
    struct breaker_transition list[BREAKER_HISTORY];
    cr_assert_eq(breaker_transitions(other.view, 0, 0, list), 3);
    cr_assert_eq(list[0].from, BREAKER_CLOSED);
    cr_assert_eq(list[0].to, BREAKER_OPEN);
    cr_assert_eq(list[0].at_ns, T0 + S);
    cr_assert_eq(list[0].successes, 2);
    cr_assert_eq(list[0].failures, 1);
    cr_assert_eq(list[0].timeouts, 1);
    cr_assert_eq(list[1].to, BREAKER_HALF_OPEN);
    cr_assert_eq(list[1].at_ns, T0 + 6 * S);
    cr_assert_eq(list[2].from, BREAKER_HALF_OPEN);
    cr_assert_eq(list[2].to, BREAKER_CLOSED);
    cr_assert_eq(list[2].generation, 3);
    cr_assert_eq(status_of(&front, 0, T0 + 9 * S).since_ns, T0 + 6 * S);
    cr_assert_eq(breaker_transitions(other.view, 0, 3, list), 0);
    cr_assert_eq(breaker_transitions(other.view, 0, 2, list), 1);
    trip(T0 + 20 * S);
    cr_assert_eq(breaker_transitions(other.view, 0, 3, list), 1);
    cr_assert_eq(list[0].open_for_ns, 5 * S);
}

Test(rules, a_longer_history_than_is_kept_gives_the_newest)
{
    uint64_t now_ns = T0;
    definition.reset_timeout_ns = MS;
    republish();
    for (int i = 0; i < 5; i++, now_ns += 10 * S) {
        trip(now_ns);
        cr_assert(call(&other, BREAKER_SUCCESS, now_ns + MS));
    }
    struct breaker_transition list[BREAKER_HISTORY];
    cr_assert_eq(breaker_transitions(other.view, 0, 0, list), BREAKER_HISTORY);
    cr_assert_eq(list[0].generation, 8);
    cr_assert_eq(list[7].generation, 15);
    cr_assert_eq(status_of(&front, 0, now_ns).total_opens, 5);
}

// A reload that asks for fewer probes while enough have succeeded must not strand the breaker.
Test(rules, a_reload_in_half_open_settles_with_the_next_asker)
{
    definition.probes = 3;
    republish();
    trip(T0);
    cr_assert(call(&front, BREAKER_SUCCESS, T0 + 5 * S));
    definition.probes = 1;
    republish();
    take(&other, T0 + 5 * S, BREAKER_GRANTED);
    cr_assert_eq(state_of(&front, T0 + 5 * S), BREAKER_CLOSED);
}

Test(rules, each_attempt_of_a_repeated_call_counts_and_its_permit_stays)
{
    struct breaker_permit permit;
    struct breaker_status status;
    cr_assert_eq(breaker_acquire(front.view, 0, T0, &permit, NULL), BREAKER_GRANTED);
    cr_assert(breaker_attempt(front.view, &permit, BREAKER_FAILURE, T0));
    cr_assert_eq(breaker_status(front.view, 0, T0, &status), 0);
    cr_expect_eq(status.window_failures, 1);
    cr_expect_eq(status.in_flight, 1);
    breaker_report(front.view, &permit, BREAKER_SUCCESS, T0);
    cr_assert_eq(breaker_status(front.view, 0, T0, &status), 0);
    cr_expect_eq(status.window_successes, 1);
    cr_expect_eq(status.in_flight, 0);
}

Test(rules, an_attempt_that_opens_the_breaker_is_the_last_and_counts_once)
{
    struct breaker_permit permit;
    struct breaker_status status;
    calls(&front, 3, BREAKER_FAILURE, T0);
    cr_assert_eq(breaker_acquire(front.view, 0, T0, &permit, NULL), BREAKER_GRANTED);
    cr_assert(breaker_is_closed_for(front.view, &permit));
    cr_assert_not(breaker_attempt(front.view, &permit, BREAKER_FAILURE, T0));
    cr_assert_eq(state_of(&front, T0), BREAKER_OPEN);
    cr_assert_not(breaker_is_closed_for(front.view, &permit));
    breaker_report(front.view, &permit, BREAKER_FAILURE, T0);
    cr_assert_eq(breaker_status(front.view, 0, T0, &status), 0);
    cr_expect_eq(status.total_failures, 4);
    cr_expect_eq(status.in_flight, 0);
}

Test(rules, a_probe_is_not_of_a_closed_breaker)
{
    struct breaker_permit permit;
    trip(T0);
    uint64_t later_ns = T0 + 3600 * S;
    cr_assert_eq(breaker_acquire(front.view, 0, later_ns, &permit, NULL), BREAKER_GRANTED_PROBE);
    cr_assert_not(breaker_is_closed_for(front.view, &permit));
    breaker_report(front.view, &permit, BREAKER_SUCCESS, later_ns);
}

// The dependency says how long it wants to be left alone, when the call that heard it opens.
Test(rules, a_dependency_may_ask_for_a_longer_open_time)
{
    struct breaker_permit opener = take(&front, T0, BREAKER_GRANTED);
    struct breaker_permit beside = take(&other, T0, BREAKER_GRANTED);
    struct breaker_permit early = take(&front, T0, BREAKER_GRANTED);
    breaker_report(front.view, &early, BREAKER_FAILURE, T0);
    cr_expect_not(breaker_keep_open(front.view, &early, 30 * S, T0), "it is closed");
    calls(&front, 3, BREAKER_FAILURE, T0);
    cr_assert_eq(state_of(&front, T0), BREAKER_OPEN);
    breaker_report(front.view, &opener, BREAKER_FAILURE, T0);
    cr_expect_not(breaker_keep_open(front.view, &opener, 1 * S, T0), "shorter than it is");
    cr_expect(breaker_keep_open(front.view, &opener, 30 * S, T0));
    struct breaker_permit refused;
    uint64_t retry_ns = 0;
    cr_expect_eq(breaker_acquire(other.view, 0, T0 + 29 * S, &refused, &retry_ns),
                 BREAKER_REFUSED_OPEN);
    cr_expect_eq(retry_ns, 1 * S);
    breaker_report(other.view, &beside, BREAKER_FAILURE, T0);
    cr_expect(breaker_keep_open(other.view, &beside, 3600 * S, T0), "bounded by the definition");
    cr_expect_eq(breaker_acquire(other.view, 0, T0 + 59 * S, &refused, &retry_ns),
                 BREAKER_REFUSED_OPEN);
    struct breaker_permit probe = take(&front, T0 + 60 * S, BREAKER_GRANTED_PROBE);
    cr_expect_not(breaker_keep_open(front.view, &opener, 30 * S, T0 + 60 * S), "half-open by now");
    breaker_report(front.view, &probe, BREAKER_FAILURE, T0 + 60 * S);
    cr_expect_not(breaker_keep_open(front.view, &opener, 50 * S, T0 + 60 * S),
                  "a later generation");
    cr_expect(breaker_keep_open(front.view, &probe, 50 * S, T0 + 60 * S));
}
