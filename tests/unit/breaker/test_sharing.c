// What processes share: definitions, indices, and what a dead one leaves behind.
#include <criterion/criterion.h>
#include <errno.h>

#include "breaker/state.h"
#include "breaker_fixture.h"

#define T0 (1000 * S)

TestSuite(sharing, .init = fixture_setup, .fini = fixture_teardown);

static struct breaker_definition_set set_of(const char *a, const char *b)
{
    struct breaker_definition_set set = {.n = 1, .items = {definition_named(a)}};
    if (b != NULL)
        set.items[set.n++] = definition_named(b);
    return set;
}

Test(sharing, nothing_published_guards_nothing)
{
    struct process front = process_start("1");
    cr_assert_eq(breaker_generation(front.view), 0);
    cr_assert_eq(breaker_find(front.view, "database"), -ENOENT);
    cr_assert_null(breaker_definition_at(front.view, 0));
    struct breaker_status status;
    cr_assert_eq(breaker_status(front.view, 0, T0, &status), -ENOENT);
    cr_assert(call(&front, BREAKER_FAILURE, T0));
    process_stop(&front);
}

Test(sharing, a_segment_without_the_sections_is_refused)
{
    const struct segment_section_spec specs[] = {slot_section_spec(), slot_values_section_spec()};
    const struct segment_options options = {
        .dir = fixture_dir, .name = "bare", .sections = specs, .n_sections = 2};
    char reason[SEGMENT_REASON_MAX];
    struct segment *segment = NULL;
    cr_assert_eq(segment_open(&options, reason, &segment), 0, "%s", reason);
    struct breaker_view *view = NULL;
    cr_assert_eq(breaker_attach(segment, NULL, &view), -ENXIO);
    cr_assert_null(view);
    segment_close(&segment);
}

Test(sharing, fronts_publish_if_absent_and_the_owner_replaces)
{
    struct process front = process_start("1"), owner = process_start("owner");
    struct breaker_definition_set set = set_of("a", NULL);
    cr_assert_eq(breaker_publish(front.view, &set, BREAKER_PUBLISH_IF_ABSENT), 0);
    cr_assert_eq(breaker_generation(owner.view), 1);
    set = set_of("b", "a");
    set.items[1].capacity = 3;
    cr_assert_eq(breaker_publish(owner.view, &set, BREAKER_PUBLISH_IF_ABSENT), 0);
    cr_assert_eq(breaker_find(front.view, "a"), 0);
    cr_assert_eq(breaker_find(front.view, "b"), 1);
    cr_assert_eq(breaker_definition_at(front.view, 0)->capacity, 10);
    cr_assert_eq(breaker_publish(owner.view, &set, BREAKER_PUBLISH_REPLACE), 0);
    cr_assert_eq(breaker_definition_at(front.view, 0)->capacity, 3);
    uint64_t generation = breaker_generation(front.view);
    cr_assert_eq(breaker_publish(owner.view, &set, BREAKER_PUBLISH_REPLACE), 0);
    cr_assert_eq(breaker_generation(front.view), generation); // the same again is no news
    process_stop(&front);
    process_stop(&owner);
}

Test(sharing, state_stays_with_the_name_across_reloads)
{
    struct process front = process_start("1");
    struct breaker_definition_set set = set_of("a", "b");
    cr_assert_eq(breaker_publish(front.view, &set, BREAKER_PUBLISH_REPLACE), 0);
    calls(&front, 4, BREAKER_FAILURE, T0);
    cr_assert_eq(state_of(&front, T0), BREAKER_OPEN);
    set = set_of("b", NULL);
    cr_assert_eq(breaker_publish(front.view, &set, BREAKER_PUBLISH_REPLACE), 0);
    struct breaker_status status;
    cr_assert_eq(breaker_status(front.view, 0, T0, &status), -ENODATA);
    cr_assert_eq(breaker_status(front.view, 1, T0, &status), 0);
    cr_assert_str_eq(status.name, "b");
    cr_assert_eq(status.state, BREAKER_CLOSED);
    cr_assert(call(&front, BREAKER_SUCCESS, T0)); // index 0 is retired: not guarded
    set = set_of("b", "a");
    cr_assert_eq(breaker_publish(front.view, &set, BREAKER_PUBLISH_REPLACE), 0);
    cr_assert_eq(breaker_find(front.view, "a"), 0);
    cr_assert_eq(state_of(&front, T0), BREAKER_OPEN);
    process_stop(&front);
}

Test(sharing, many_generations_from_two_publishers_stay_whole)
{
    struct process a = process_start("1"), b = process_start("2");
    for (uint32_t i = 1; i <= 50; i++) {
        struct breaker_definition_set set = set_of("a", NULL);
        set.items[0].capacity = i;
        set.items[0].probes = i;
        struct process *who = i % 3 == 0 ? &a : &b;
        cr_assert_eq(breaker_publish(who->view, &set, BREAKER_PUBLISH_REPLACE), 0);
        const struct breaker_definition *seen = breaker_definition_at(a.view, 0);
        cr_assert_eq(seen->capacity, i);
        cr_assert_eq(seen->probes, i);
        cr_assert_eq(breaker_generation(b.view), i);
    }
    process_stop(&a);
    process_stop(&b);
}

Test(sharing, a_reader_sees_and_changes_nothing)
{
    struct process front = process_start("1");
    struct breaker_definition_set set = set_of("a", NULL);
    cr_assert_eq(breaker_publish(front.view, &set, BREAKER_PUBLISH_REPLACE), 0);
    calls(&front, 4, BREAKER_FAILURE, T0);
    struct segment *segment = fixture_open(true); // mapped without write permission
    struct breaker_view *reader = NULL;
    cr_assert_eq(breaker_attach(segment, NULL, &reader), 0);
    cr_assert_eq(breaker_find(reader, "a"), 0);
    struct breaker_status status;
    cr_assert_eq(breaker_status(reader, 0, T0, &status), 0);
    cr_assert_eq(status.state, BREAKER_OPEN);
    cr_assert_eq(status.deadline_ns, T0 + 5 * S);
    cr_assert_eq(status.total_failures, 4);
    struct breaker_transition list[BREAKER_HISTORY];
    cr_assert_eq(breaker_transitions(reader, 0, 0, list), 1);
    set = set_of("a", "b");
    cr_assert_eq(breaker_publish(front.view, &set, BREAKER_PUBLISH_REPLACE), 0);
    cr_assert_eq(breaker_find(reader, "b"), 1);
    breaker_detach(&reader);
    segment_close(&segment);
    process_stop(&front);
}

static void hold(struct process *process, uint32_t n, struct breaker_permit *permits)
{
    for (uint32_t i = 0; i < n; i++)
        cr_assert_eq(breaker_acquire(process->view, 0, T0, &permits[i], NULL), BREAKER_GRANTED);
}

Test(sharing, the_share_of_a_killed_process_comes_back_by_the_owner)
{
    struct process owner = process_start("owner"), victim = process_start("1");
    struct breaker_definition definition = definition_named("a");
    publish_one(&owner, &definition);
    struct breaker_permit permits[10];
    hold(&victim, 7, permits);
    breaker_reclaim(owner.view, T0); // alive: nothing is taken
    cr_assert_eq(status_of(&owner, 0, T0).in_flight, 7);
    process_kill(&victim);
    cr_assert_eq(status_of(&owner, 0, T0).in_flight, 7);
    breaker_reclaim(owner.view, T0);
    cr_assert_eq(status_of(&owner, 0, T0).in_flight, 0);
    hold(&owner, 10, permits);
    process_stop(&owner);
}

Test(sharing, without_an_owner_whoever_is_short_takes_it_back)
{
    struct process front = process_start("1"), victim = process_start("2");
    struct breaker_definition definition = definition_named("a");
    publish_one(&front, &definition);
    struct breaker_permit permits[10];
    hold(&victim, 10, permits);
    struct breaker_permit permit;
    cr_assert_eq(breaker_acquire(front.view, 0, T0, &permit, NULL), BREAKER_REFUSED_CAPACITY);
    process_kill(&victim);
    cr_assert_eq(breaker_acquire(front.view, 0, T0 + 99 * MS, &permit, NULL),
                 BREAKER_REFUSED_CAPACITY); // looks at most every 100 ms
    cr_assert_eq(breaker_acquire(front.view, 0, T0 + 100 * MS, &permit, NULL), BREAKER_GRANTED);
    process_stop(&front);
}

Test(sharing, a_restart_gives_back_what_its_predecessor_held)
{
    struct process owner = process_start("owner"), victim = process_start("1");
    struct breaker_definition definition = definition_named("a");
    publish_one(&owner, &definition);
    struct breaker_permit permits[4];
    hold(&victim, 4, permits);
    calls(&victim, 3, BREAKER_FAILURE, T0);
    process_kill(&victim);
    victim = process_start("1");
    struct breaker_status status = status_of(&owner, 0, T0);
    cr_assert_eq(status.in_flight, 0);
    cr_assert_eq(status.total_failures, 3);  // totals go on
    cr_assert_eq(status.window_failures, 3); // and so does the window
    process_stop(&victim);
    process_stop(&owner);
}

static void open_half(struct process *process)
{
    calls(process, 4, BREAKER_FAILURE, T0);
    cr_assert_eq(state_of(process, T0), BREAKER_OPEN);
}

Test(sharing, the_probe_of_a_killed_process_comes_back_before_the_lease)
{
    struct process owner = process_start("owner"), victim = process_start("1");
    struct breaker_definition definition = definition_named("a");
    publish_one(&owner, &definition);
    open_half(&owner);
    struct breaker_permit permit;
    cr_assert_eq(breaker_acquire(victim.view, 0, T0 + 5 * S, &permit, NULL), BREAKER_GRANTED_PROBE);
    process_kill(&victim);
    cr_assert_eq(breaker_acquire(owner.view, 0, T0 + 6 * S, &permit, NULL), BREAKER_REFUSED_OPEN);
    breaker_reclaim(owner.view, T0 + 6 * S);
    cr_assert_eq(status_of(&owner, 0, T0 + 6 * S).probes_out, 0);
    cr_assert_eq(breaker_acquire(owner.view, 0, T0 + 6 * S, &permit, NULL), BREAKER_GRANTED_PROBE);
    cr_assert(breaker_report(owner.view, &permit, BREAKER_SUCCESS, T0 + 6 * S));
    process_stop(&owner);
}

Test(sharing, a_leaving_process_gives_its_probe_back)
{
    struct process owner = process_start("owner"), front = process_start("1");
    struct breaker_definition definition = definition_named("a");
    publish_one(&owner, &definition);
    open_half(&owner);
    struct breaker_permit permit;
    cr_assert_eq(breaker_acquire(front.view, 0, T0 + 5 * S, &permit, NULL), BREAKER_GRANTED_PROBE);
    process_stop(&front);
    cr_assert_eq(breaker_acquire(owner.view, 0, T0 + 5 * S, &permit, NULL), BREAKER_GRANTED_PROBE);
    process_stop(&owner);
}

static struct breaker_cell *cell_of(struct process *process)
{
    struct breaker_state_section *section =
        segment_section(process->segment, BREAKER_STATE_SECTION, NULL);
    return &section->cells[0];
}

// A kill between the winning CAS and the notes about it: whoever comes next writes them.
Test(sharing, a_transition_whose_maker_died_is_noted_by_the_next)
{
    struct process owner = process_start("owner");
    struct breaker_definition definition = definition_named("a");
    publish_one(&owner, &definition);
    struct breaker_cell *cell = cell_of(&owner);
    atomic_store(&cell->state, state_trip(0, &definition, 1, 0, T0));
    struct breaker_status status = status_of(&owner, 0, T0);
    cr_assert_eq(status.total_opens, 1);
    struct breaker_transition list[BREAKER_HISTORY];
    cr_assert_eq(breaker_transitions(owner.view, 0, 0, list), 0);
    breaker_reclaim(owner.view, T0 + 20 * MS);
    cr_assert_eq(breaker_transitions(owner.view, 0, 0, list), 1);
    cr_assert_eq(list[0].to, BREAKER_OPEN);
    cr_assert_eq(list[0].at_ns, T0 + 20 * MS);
    cr_assert(call(&owner, BREAKER_SUCCESS, T0 + 5 * S));
    cr_assert_eq(status_of(&owner, 0, T0 + 5 * S).total_opens, 1);
    process_stop(&owner);
}

// A kill between the grant of a probe and its note: nobody knows whose it was; the lease ends it.
Test(sharing, a_probe_whose_holder_died_before_the_note_ends_with_the_lease)
{
    struct process owner = process_start("owner");
    struct breaker_definition definition = definition_named("a");
    publish_one(&owner, &definition);
    struct breaker_cell *cell = cell_of(&owner);
    atomic_store(&cell->state, state_first_probe(state_trip(0, &definition, 1, 0, T0)));
    struct breaker_permit permit; // not even a lease was written: it begins with the first look
    cr_assert_eq(breaker_acquire(owner.view, 0, T0, &permit, NULL), BREAKER_REFUSED_OPEN);
    breaker_reclaim(owner.view, T0 + 15 * S - 1);
    cr_assert_eq(state_of(&owner, T0 + 15 * S - 1), BREAKER_HALF_OPEN);
    breaker_reclaim(owner.view, T0 + 15 * S);
    cr_assert_eq(state_of(&owner, T0 + 15 * S), BREAKER_OPEN);
    process_stop(&owner);
}

Test(sharing, a_damaged_state_word_is_repaired_by_the_next_asker)
{
    struct process front = process_start("1");
    struct breaker_definition definition = definition_named("a");
    publish_one(&front, &definition);
    atomic_store(&cell_of(&front)->state, UINT64_MAX);
    cr_assert(call(&front, BREAKER_SUCCESS, T0));
    cr_assert_eq(state_of(&front, T0), BREAKER_CLOSED);
    process_stop(&front);
}
