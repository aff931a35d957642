// Holders of permits that are killed, stopped, or leave: all they hold is back within one lease, in
// every one of so many runs. Half of them hold calls of a closed breaker, half the probe of a
// half-open one. Argument: runs of each kind (100; the soak test takes 1000).
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "hammer.h"

#define HOLDERS  10 // at a time, each with a breaker of its own
#define HELD     3
#define LEASE_NS (200 * MS)

enum way { KILLED, STOPPED, LEFT, WAYS };
static const char *const way_names[WAYS] = {"SIGKILL", "SIGSTOP", "leaving"};

static struct process owner;
static pid_t pids[HOLDERS];
static int told[2], leave[2];

static void publish(void)
{
    struct breaker_definition_set set = {.n = HOLDERS};
    for (uint32_t i = 0; i < HOLDERS; i++) {
        char name[BREAKER_NAME_MAX];
        snprintf(name, sizeof(name), "holder-%u", i);
        set.items[i] = definition_named(name);
        set.items[i].capacity = HELD;
        set.items[i].reset_timeout_ns = set.items[i].reset_timeout_max_ns = MS;
        set.items[i].permit_lease_ns = set.items[i].probe_lease_ns = LEASE_NS;
    }
    CHECK(breaker_publish(owner.view, &set, BREAKER_PUBLISH_REPLACE) == 0, "publish");
}

static bool holds_probe(uint32_t index)
{
    return index % 2 == 1;
}

static void take(struct process *process, uint32_t index)
{
    struct breaker_permit permit;
    for (int i = 0; i < (holds_probe(index) ? 1 : HELD); i++) {
        enum breaker_grant grant =
            breaker_acquire(process->view, index, clock_mono_ns(), &permit, NULL);
        CHECK(grant == (holds_probe(index) ? BREAKER_GRANTED_PROBE : BREAKER_GRANTED),
              "holder %u: grant %d", index, (int)grant);
    }
}

// Beats until it may leave; killed or stopped, it never gets there.
static void hold(uint32_t index)
{
    char instance[8], byte = 0;
    snprintf(instance, sizeof(instance), "%u", index);
    struct process process = process_start(instance);
    slot_heartbeat(process.slot, clock_mono_ns());
    take(&process, index);
    CHECK(write(told[1], &byte, 1) == 1, "write");
    struct pollfd wait = {.fd = leave[0], .events = POLLIN};
    while (poll(&wait, 1, 2) == 0)
        slot_heartbeat(process.slot, clock_mono_ns());
    process_stop(&process);
    _exit(0);
}

static void open_half(uint32_t index)
{
    struct breaker_permit permit;
    breaker_reset(owner.view, index, "", "", clock_mono_ns());
    for (int i = 0; holds_probe(index) && i < 4; i++) {
        breaker_acquire(owner.view, index, clock_mono_ns(), &permit, NULL);
        breaker_report(owner.view, &permit, BREAKER_FAILURE, clock_mono_ns());
    }
    uint64_t until_ns = clock_mono_ns() + 3 * MS; // its open time is over
    while (clock_mono_ns() < until_ns)
        continue;
}

static void start_all(void)
{
    CHECK(pipe(told) == 0 && pipe(leave) == 0, "pipe");
    for (uint32_t i = 0; i < HOLDERS; i++) {
        open_half(i);
        pids[i] = fork();
        CHECK(pids[i] >= 0, "fork");
        if (pids[i] == 0)
            hold(i);
    }
    for (int n = 0; n < HOLDERS; n++) {
        char byte;
        CHECK(read(told[0], &byte, 1) == 1, "a holder died");
    }
}

static uint32_t held_by(uint32_t index)
{
    struct breaker_status status;
    CHECK(breaker_status(owner.view, index, clock_mono_ns(), &status) == 0, "status");
    return status.in_flight + status.probes_out;
}

static void end(uint32_t index, enum way way)
{
    int status;
    if (way == STOPPED) {
        CHECK(kill(pids[index], SIGSTOP) == 0, "kill");
        CHECK(waitpid(pids[index], &status, WUNTRACED) == pids[index] && WIFSTOPPED(status),
              "waitpid");
        return;
    }
    if (way == KILLED)
        CHECK(kill(pids[index], SIGKILL) == 0, "kill");
    else
        CHECK(write(leave[1], "", 1) == 1, "write");
    if (way == KILLED)
        CHECK(waitpid(pids[index], &status, 0) == pids[index], "waitpid");
}

// Returns how many got back what was held: at once, or by the first look after the lease.
static int round_of(enum way way)
{
    int back = 0;
    start_all();
    uint64_t begin_ns = clock_mono_ns();
    for (uint32_t i = 0; i < HOLDERS; i++)
        end(i, way);
    for (uint32_t i = 0; way == LEFT && i < HOLDERS; i++)
        CHECK(waitpid(pids[i], NULL, 0) == pids[i], "waitpid");
    if (way == STOPPED) {
        for (uint32_t i = 0; i < HOLDERS && clock_mono_ns() - begin_ns < LEASE_NS / 4; i++)
            CHECK(held_by(i) > 0, "holder %u lost its permit while it was alive", i);
        uint64_t stopped_ns = clock_mono_ns();
        while (clock_mono_ns() < stopped_ns + LEASE_NS)
            poll(NULL, 0, 5);
    }
    breaker_reclaim(owner.view, clock_mono_ns());
    for (uint32_t i = 0; i < HOLDERS; i++)
        back += held_by(i) == 0;
    for (uint32_t i = 0; way == STOPPED && i < HOLDERS; i++) {
        kill(pids[i], SIGKILL);
        CHECK(waitpid(pids[i], NULL, 0) == pids[i], "waitpid");
    }
    for (int i = 0; i < 2; i++) {
        close(told[i]);
        close(leave[i]);
    }
    return back;
}

int main(int argc, char **argv)
{
    int runs = argc > 1 ? atoi(argv[1]) : 100;
    CHECK(runs >= HOLDERS, "runs: %d at least", HOLDERS);
    fixture_setup();
    owner = process_start("owner");
    publish();
    for (enum way way = KILLED; way < WAYS; way++) {
        int done = 0, back = 0;
        for (; done < runs; done += HOLDERS)
            back += round_of(way);
        printf("%s: %d of %d\n", way_names[way], back, done);
        CHECK(back == done, "%d holders did not give back", done - back);
    }
    process_stop(&owner);
    fixture_teardown();
    return 0;
}
