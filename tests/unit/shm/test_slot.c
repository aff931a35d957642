#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "segment_fixture.h"

TestSuite(slot, .init = fixture_setup, .fini = fixture_teardown);

static struct segment *open_it(bool read_only)
{
    char reason[SEGMENT_REASON_MAX];
    const struct segment_section_spec specs[] = {slot_section_spec(), slot_values_section_spec()};
    const struct segment_options options = {.dir = fixture_dir,
                                            .name = "vc",
                                            .sections = specs,
                                            .n_sections = 2,
                                            .read_only = read_only};
    struct segment *segment = NULL;
    int r = segment_open(&options, reason, &segment);
    cr_assert_eq(r, 0, "%s", reason);
    return segment;
}

static struct slot *acquire(struct segment *segment, const char *name, const char *instance)
{
    struct slot *slot = NULL;
    int r = slot_acquire(segment, name, instance, &slot);
    cr_assert_eq(r, 0, "%d", r);
    return slot;
}

static void close_it(struct segment *segment, struct slot *one, struct slot *two)
{
    slot_release(&one);
    slot_release(&two);
    segment_close(&segment);
}

// A child that acquires, tells, and waits to be killed.
static pid_t spawn_holder(const char *name, const char *instance)
{
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct segment *segment = open_it(false);
        struct slot *slot = acquire(segment, name, instance);
        atomic_store(&slot_values(slot)[1], 42);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char byte;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void kill_holder(pid_t pid)
{
    kill(pid, SIGKILL);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(slot, tells_who_is_here)
{
    struct segment *segment = open_it(false), *reader = open_it(true);
    struct slot *slot = acquire(segment, "api-front", "1");
    struct slot_info info;
    slot_set_ready(slot, true);
    slot_heartbeat(slot, 12345);

    cr_assert(slot_read(reader, slot_index(slot), &info));
    cr_assert_str_eq(info.name, "api-front");
    cr_assert_str_eq(info.instance, "1");
    cr_assert(info.in_use && info.alive && info.ready && !info.left_cleanly);
    cr_assert_eq(info.pid, getpid());
    cr_assert_eq(info.heartbeat_ns, 12345);
    cr_assert_eq(info.restarts, 0);
    cr_assert_eq(info.generation, slot_generation(slot));
    cr_assert_neq(info.generation, 0);
    cr_assert(slot_is_alive(reader, info.index, info.generation));
    cr_assert(slot_is_alive(segment, info.index, info.generation), "its own holder knows too");
    cr_assert_not(slot_is_alive(reader, info.index, info.generation + 1));
    cr_assert_not(slot_read(reader, 1, &info));
    cr_assert_not(slot_read(reader, SLOT_COUNT, &info));

    uint32_t index = slot_index(slot);
    slot_release(&slot);
    cr_assert_null(slot);
    cr_assert(slot_read(reader, index, &info));
    cr_assert(info.in_use && !info.alive && !info.ready && info.left_cleanly);
    segment_close(&segment);
    segment_close(&reader);
}

Test(slot, values_are_aligned_and_begin_at_zero)
{
    struct segment *segment = open_it(false);
    struct slot *one = acquire(segment, "limiter", ""), *two = acquire(segment, "breaker", "");
    cr_assert_neq(slot_index(one), slot_index(two));
    cr_assert_eq((uintptr_t)slot_values(two) % 64, 0);
    cr_assert_eq(atomic_load(&slot_values(two)[SLOT_VALUES - 1]), 0);
    close_it(segment, one, two);
}

Test(slot, killed_holder_is_dead_and_its_successor_adopts)
{
    struct segment *segment = open_it(false);
    struct slot_info info;
    pid_t pid = spawn_holder("api-front", "1");
    cr_assert(slot_read(segment, 0, &info));
    cr_assert(info.alive);
    uint32_t generation = info.generation;
    kill_holder(pid);
    cr_assert(slot_read(segment, 0, &info));
    cr_assert(!info.alive && !info.left_cleanly);
    cr_assert_not(slot_is_alive(segment, 0, generation));

    struct slot *slot = acquire(segment, "api-front", "1");
    cr_assert(slot_was_adopted(slot));
    cr_assert_eq(slot_index(slot), 0);
    cr_assert_neq(slot_generation(slot), generation);
    cr_assert_eq(atomic_load(&slot_values(slot)[1]), 42, "counters go on");
    cr_assert(slot_read(segment, 0, &info));
    cr_assert_eq(info.restarts, 1);
    cr_assert_not(slot_is_alive(segment, 0, generation), "its predecessor stays dead");
    close_it(segment, slot, NULL);
}

Test(slot, stopped_holder_is_alive)
{
    struct segment *segment = open_it(false);
    pid_t pid = spawn_holder("limiter", "");
    struct slot_info info;
    int status;
    kill(pid, SIGSTOP);
    cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
    cr_assert(WIFSTOPPED(status));
    cr_assert(slot_read(segment, 0, &info));
    cr_assert(info.alive);

    struct slot *slot = acquire(segment, "limiter", "");
    cr_assert_not(slot_was_adopted(slot));
    cr_assert_neq(slot_index(slot), 0, "two of one name have two slots");
    kill_holder(pid);
    close_it(segment, slot, NULL);
}

Test(slot, other_instance_takes_its_own)
{
    struct segment *segment = open_it(false);
    struct slot *slot = acquire(segment, "api-front", "1");
    slot_release(&slot);
    slot = acquire(segment, "api-front", "2");
    cr_assert_eq(slot_index(slot), 1);
    cr_assert_not(slot_was_adopted(slot));
    close_it(segment, slot, NULL);
}

Test(slot, full_table_takes_the_longest_dead)
{
    struct segment *segment = open_it(false);
    struct slot *slots[SLOT_COUNT];
    char instance[16];
    for (int i = 0; i < SLOT_COUNT; i++) {
        snprintf(instance, sizeof(instance), "%d", i);
        slots[i] = acquire(segment, "api-front", instance);
    }
    struct slot *extra = NULL;
    cr_assert_eq(slot_acquire(segment, "limiter", "", &extra), -ENOSPC);

    uint32_t generation = slot_generation(slots[9]);
    atomic_store(&slot_values(slots[9])[3], 5);
    memset(slot_catalogue(slots[9]), 'x', 100);
    uint32_t sequence = atomic_load(slot_catalogue_sequence(slots[9]));
    slot_release(&slots[9]);
    slot_release(&slots[4]);
    extra = acquire(segment, "limiter", "");
    cr_assert_eq(slot_index(extra), 9);
    cr_assert_not(slot_was_adopted(extra));
    cr_assert_gt(slot_generation(extra), generation);
    cr_assert_eq(atomic_load(&slot_values(extra)[3]), 0);
    cr_assert_eq(slot_catalogue(extra)[0], 0);
    cr_assert_neq(atomic_load(slot_catalogue_sequence(extra)), sequence);
    struct slot *last = acquire(segment, "limiter", "");
    cr_assert_eq(slot_index(last), 4);
    for (int i = 0; i < SLOT_COUNT; i++)
        slot_release(&slots[i]);
    close_it(segment, extra, last);
}

Test(slot, bad_callers_are_refused)
{
    struct segment *segment = open_it(false), *reader = open_it(true);
    struct slot *slot = NULL;
    cr_assert_eq(slot_acquire(segment, "", "1", &slot), -EINVAL);
    cr_assert_eq(slot_acquire(segment, "a-name-of-24-characters-", "1", &slot), -EINVAL);
    cr_assert_eq(slot_acquire(segment, "x", "a-name-of-24-characters-", &slot), -EINVAL);
    cr_assert_eq(slot_acquire(reader, "x", "", &slot), -EROFS);
    cr_assert_null(slot);
    segment_close(&segment);
    segment_close(&reader);
}

Test(slot, private_segment_knows_its_own)
{
    char reason[SEGMENT_REASON_MAX];
    const struct segment_section_spec specs[] = {slot_section_spec(), slot_values_section_spec()};
    const struct segment_options options = {.dir = "/nonexistent",
                                            .name = "vc",
                                            .sections = specs,
                                            .n_sections = 2,
                                            .allow_private = true};
    struct segment *segment = NULL;
    cr_assert_eq(segment_open(&options, reason, &segment), 0);
    struct slot *slot = acquire(segment, "api-front", "1");
    struct slot_info info;
    cr_assert(slot_read(segment, 0, &info));
    cr_assert(info.alive);
    cr_assert(slot_is_alive(segment, 0, slot_generation(slot)));
    slot_release(&slot);
    cr_assert_not(slot_is_alive(segment, 0, info.generation));
    segment_close(&segment);
}

Test(slot, foreign_bytes_become_printable_names)
{
    struct segment *segment = open_it(false);
    struct slot *slot = acquire(segment, "limiter", "");
    struct slot_info info;
    memset((char *)segment_section(segment, SLOT_SECTION_NAME, NULL) + 40, 0xff, 48);
    cr_assert(slot_read(segment, 0, &info));
    cr_assert_eq(strlen(info.name), SLOT_NAME_MAX - 1);
    for (const char *c = info.name; *c; c++)
        cr_assert_eq(*c, '?');
    slot_release(&slot);
    segment_close(&segment);
}
