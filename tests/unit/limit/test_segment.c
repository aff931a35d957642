// The table in a real segment: attaching, policies that outlive their publisher, eyes that only
// look.
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limit/limit.h"
#include "limit/policy.h"

static char dir[64];
static struct limit_policy_set set;

static struct segment *open_segment(bool with_limits, bool read_only)
{
    const struct segment_section_spec specs[] = {slot_section_spec(), slot_values_section_spec(),
                                                 limit_policy_section_spec(),
                                                 limit_table_section_spec(4096)};
    struct segment_options options = {.dir = dir,
                                      .name = "vc",
                                      .sections = specs,
                                      .n_sections = with_limits ? 4 : 2,
                                      .read_only = read_only};
    char reason[SEGMENT_REASON_MAX];
    struct segment *segment;
    cr_assert_eq(segment_open(&options, reason, &segment), 0, "%s", reason);
    return segment;
}

static void setup(void)
{
    strcpy(dir, "/tmp/vc-unit-limit-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    struct limits_params params;
    struct problems problems = PROBLEMS_INIT;
    struct param_sources sources = {0};
    cr_assert_eq(param_group_load(&limits_param_group, &sources, &params, &problems), 0);
    cr_assert_eq(limit_compile(&params, NULL, ENVIRONMENT_PRODUCTION, &problems, &set), 0);
    param_group_fini(&limits_param_group, &params);
}

static void teardown(void)
{
    cr_assert_eq(segment_unlink(dir, "vc"), 0);
    cr_assert_eq(rmdir(dir), 0);
}

static bool ask(struct limit_view *view, struct limit_verdict *ret_verdict)
{
    struct limit_facts facts = {.client = {.family = 4, .bytes = {10, 0, 0, 1}},
                                .path = "/login",
                                .path_len = 6,
                                .method = HTTP_POST,
                                .cost = 1};
    limit_decide(view, &facts, ret_verdict);
    return ret_verdict->admitted;
}

// A front: publishes if nobody has, spends two of three attempts, and waits to be killed.
static void child_front(int ready)
{
    struct segment *segment = open_segment(true, false);
    struct slot *slot;
    struct limit_view *view;
    struct limit_verdict verdict;
    if (slot_acquire(segment, "api-front", "1", &slot) < 0 ||
        limit_attach(segment, slot, &view) < 0 ||
        limit_publish(view, &set, LIMIT_PUBLISH_IF_ABSENT) < 0 || !ask(view, &verdict) ||
        !ask(view, &verdict) || write(ready, "x", 1) != 1) {
        _exit(1);
    }
    for (;;) {
        pause();
    }
}

static pid_t start_front(void)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        child_front(ends[1]);
    }
    close(ends[1]);
    char byte;
    cr_assert_eq(read(ends[0], &byte, 1), 1, "the front failed");
    close(ends[0]);
    return pid;
}

static int publish_changed(struct limit_view *view)
{
    struct limit_policy *policy = &set.policies[0];
    policy->window_ns++; // another identity: needs cells of its own
    policy->identity = policy_identity(policy);
    return limit_publish(view, &set, LIMIT_PUBLISH_REPLACE);
}

Test(segment, counts_and_policies_outlive_a_killed_front, .init = setup, .fini = teardown,
     .timeout = 60)
{
    pid_t front = start_front();
    struct segment *segment = open_segment(true, false);
    struct slot *slot;
    struct limit_view *view;
    struct limit_verdict verdict;
    cr_assert_eq(slot_acquire(segment, "limiter", "1", &slot), 0);
    cr_assert_eq(limit_attach(segment, slot, &view), 0);
    cr_assert_eq(limit_generation(view), 1);
    cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_IF_ABSENT), -EALREADY);
    cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_REPLACE), 0);
    cr_assert(ask(view, &verdict), "the third of three attempts");
    cr_assert_eq(verdict.charges[0].remaining, 0);
    cr_assert_not(ask(view, &verdict));
    int r = 0;
    for (int i = 0; i < 10 && r == 0; i++) {
        r = publish_changed(view);
    }
    cr_assert_eq(r, -ENOSPC, "the living front decides by generation 1 and keeps its cells");
    cr_assert_eq(kill(front, SIGKILL), 0);
    cr_assert_eq(waitpid(front, NULL, 0), front);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(publish_changed(view), 0, "the dead one holds nothing back");
    }
    limit_detach(&view);
    cr_assert_null(view);
    slot_release(&slot);
    segment_close(&segment);
}

Test(segment, an_eye_without_a_slot_looks_only, .init = setup, .fini = teardown, .timeout = 60)
{
    pid_t front = start_front();
    struct segment *segment = open_segment(true, true);
    struct limit_view *view;
    struct limit_fill fill;
    cr_assert_eq(limit_attach(segment, NULL, &view), 0);
    cr_assert_str_eq(limit_policy_at(view, 0)->name, "auth");
    limit_fill(view, &fill);
    cr_assert_geq(fill.live, 1);
    cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_REPLACE), -EROFS);
    limit_refresh(view);
    limit_detach(&view);
    segment_close(&segment);
    cr_assert_eq(kill(front, SIGKILL), 0);
    cr_assert_eq(waitpid(front, NULL, 0), front);
}

Test(segment, a_segment_without_limits_is_told_apart, .init = setup, .fini = teardown,
     .timeout = 60)
{
    struct segment *segment = open_segment(false, false);
    struct limit_view *view;
    cr_assert_eq(limit_attach(segment, NULL, &view), -ENOENT);
    segment_close(&segment);
}
