// libvalvechain as an application uses it: errors, threads, forks, deaths. One suite's segment,
// with one process of the suite that watches.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "hammer.h"
#include "libvalvechain/valvechain.h"

#define THREADS 4
#define ROUNDS  2000

static struct process watcher;

static struct valvechain *attach(const char *name)
{
    char reason[VALVECHAIN_REASON_MAX] = "";
    struct valvechain *handle = NULL;
    int r = valvechain_attach(name, reason, sizeof(reason), &handle);
    CHECK(r == 0, "%d: %s", r, reason);
    return handle;
}

static uint32_t in_flight(void)
{
    return status_of(&watcher, 0, clock_mono_ns()).in_flight;
}

static void check_errors(void)
{
    char reason[VALVECHAIN_REASON_MAX] = "";
    struct valvechain *handle = NULL;
    CHECK(valvechain_attach("Bad Name", reason, sizeof(reason), &handle) == -EINVAL, "name");
    CHECK(strstr(reason, "1 to 19 of a-z") != NULL, "%s", reason);
    CHECK(valvechain_attach(NULL, reason, sizeof(reason), &handle) == -EINVAL, "no name");
    CHECK(valvechain_attach("a-name-of-20-letters", NULL, 0, &handle) == -EINVAL, "long name");
    setenv("VALVECHAIN_NAME", "nobody", 1);
    CHECK(valvechain_attach("app", reason, sizeof(reason), &handle) == -ENOENT, "no suite");
    CHECK(strstr(reason, "no such segment") != NULL && handle == NULL, "%s", reason);
    setenv("VALVECHAIN_NAME", "vc", 1);
    handle = attach("app");
    struct valvechain_permit permit = {{0}};
    CHECK(valvechain_report(handle, &permit, VALVECHAIN_SUCCESS, 0) == -EINVAL, "no permit");
    CHECK(valvechain_acquire(handle, "nobody", &permit, NULL) == -ENOENT, "no breaker");
    CHECK(valvechain_acquire(handle, "database", &permit, NULL) == 0, "acquire");
    CHECK(in_flight() == 1, "%u", in_flight());
    CHECK(valvechain_report(handle, &permit, (enum valvechain_outcome)4, 0) == -EINVAL, "outcome");
    CHECK(valvechain_report(handle, &permit, VALVECHAIN_SUCCESS, MS) == 0, "report");
    CHECK(valvechain_report(handle, &permit, VALVECHAIN_SUCCESS, 0) == -EALREADY, "twice");
    CHECK(in_flight() == 0, "%u", in_flight());
    CHECK(valvechain_alive(handle) == 0, "alive");
    valvechain_detach(&handle);
    CHECK(handle == NULL, "detached");
    valvechain_detach(&handle);
}

static void check_refusals(void)
{
    struct valvechain *handle = attach("app");
    struct valvechain_permit permits[11];
    uint64_t wait_ms = 0;
    for (int i = 0; i < 10; i++)
        CHECK(valvechain_acquire(handle, "database", &permits[i], NULL) == 0, "%d", i);
    CHECK(valvechain_acquire(handle, "database", &permits[10], &wait_ms) == -EBUSY, "capacity");
    CHECK(wait_ms == 1000 && strcmp(valvechain_refusal(-EBUSY), "capacity") == 0, "wait");
    for (int i = 0; i < 10; i++)
        CHECK(valvechain_report(handle, &permits[i], VALVECHAIN_FAILURE, 0) == 0, "%d", i);
    CHECK(valvechain_acquire(handle, "database", &permits[0], &wait_ms) == -EHOSTDOWN, "open");
    CHECK(wait_ms > 4000 && wait_ms <= 5001, "%llu", (unsigned long long)wait_ms);
    breaker_force(watcher.view, 0, BREAKER_FORCED_OPEN, 0, "a", "b", clock_mono_ns());
    CHECK(valvechain_acquire(handle, "database", &permits[0], NULL) == -ESHUTDOWN, "forced");
    breaker_reset(watcher.view, 0, "a", "b", clock_mono_ns());
    CHECK(valvechain_acquire(handle, "database", &permits[0], NULL) == 0, "closed again");
    valvechain_detach(&handle); // gives it back
    CHECK(in_flight() == 0, "%u", in_flight());
}

static void wait_for_none(void)
{
    uint64_t end_ns = clock_mono_ns() + 60 * S;
    while (in_flight() > 0) {
        CHECK(clock_mono_ns() < end_ns, "%u permits did not come back", in_flight());
        breaker_reclaim(watcher.view, clock_mono_ns());
    }
}

static void read_byte(int fd)
{
    char byte;
    CHECK(read(fd, &byte, 1) == 1, "read");
}

static void write_byte(int fd)
{
    CHECK(write(fd, "", 1) == 1, "write");
}

// A child of the application: its handle is its parent's, and it lives on when the parent dies.
static void be_child(struct valvechain *handle, int told, int leave)
{
    struct valvechain_permit permit;
    CHECK(valvechain_acquire(handle, "database", &permit, NULL) == -ECHILD, "acquire in a child");
    CHECK(valvechain_alive(handle) == -ECHILD, "alive in a child");
    valvechain_detach(&handle);
    CHECK(handle == NULL, "detach in a child");
    struct valvechain *own = attach("app");
    CHECK(valvechain_acquire(own, "database", &permit, NULL) == 0, "a handle of its own");
    CHECK(valvechain_report(own, &permit, VALVECHAIN_IGNORED, 0) == 0, "and report");
    valvechain_detach(&own);
    write_byte(told);
    read_byte(leave);
    _exit(0);
}

static void be_application(int told, int leave)
{
    struct valvechain *handle = attach("app");
    struct valvechain_permit permit;
    CHECK(valvechain_acquire(handle, "database", &permit, NULL) == 0, "acquire");
    pid_t child = fork();
    if (child == 0)
        be_child(handle, told, leave);
    raise(SIGSTOP); // until it is killed
}

static void check_death_with_a_living_child(void)
{
    int told[2], leave[2], status;
    CHECK(pipe(told) == 0 && pipe(leave) == 0, "pipe");
    pid_t pid = fork();
    if (pid == 0)
        be_application(told[1], leave[0]);
    read_byte(told[0]);
    CHECK(in_flight() == 1, "%u: the parent's", in_flight());
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, &status, 0) == pid, "wait");
    wait_for_none(); // though the grandchild lives, with what it inherited
    write_byte(leave[1]);
    for (int i = 0; i < 2; i++)
        close(told[i]), close(leave[i]);
}

// Who starts again takes its predecessor's slot; 8 slots are not for applications.
static void check_slots(void)
{
    struct valvechain *handles[SLOT_COUNT] = {NULL};
    struct slot_info info;
    int n = 0, r = 0;
    while (n < SLOT_COUNT && (r = valvechain_attach("app", NULL, 0, &handles[n])) == 0)
        n++;
    CHECK(r == -ENOSPC && n == SLOT_COUNT - 8 - 1, "%d of %d", r, n); // and the watcher
    valvechain_detach(&handles[3]);
    handles[3] = attach("app");
    uint32_t restarts = 0;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (slot_read(watcher.segment, i, &info) && strcmp(info.name, "app-app") == 0 &&
            strcmp(info.instance, "4") == 0)
            restarts = info.restarts;
    CHECK(restarts > 0, "the fourth has another slot");
    for (int i = 0; i < n; i++)
        valvechain_detach(&handles[i]);
}

static void *call_often(void *arg)
{
    struct valvechain *handle = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct valvechain_permit permit;
        int r = valvechain_acquire(handle, "database", &permit, NULL);
        CHECK(r == 0, "%d", r);
        CHECK(valvechain_report(handle, &permit, VALVECHAIN_SUCCESS, 0) == 0, "report");
    }
    return NULL;
}

static void check_threads(void)
{
    struct valvechain *handle = attach("app");
    pthread_t threads[THREADS];
    uint64_t before = status_of(&watcher, 0, clock_mono_ns()).total_successes;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, call_often, handle) == 0, "thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    uint64_t calls_made = status_of(&watcher, 0, clock_mono_ns()).total_successes - before;
    CHECK(calls_made == (uint64_t)THREADS * ROUNDS, "%llu", (unsigned long long)calls_made);
    CHECK(in_flight() == 0, "%u", in_flight());
    valvechain_detach(&handle);
}

int main(void)
{
    fixture_setup();
    setenv("SHM_DIR", fixture_dir, 1);
    setenv("VALVECHAIN_NAME", "vc", 1);
    watcher = process_start("watcher");
    struct breaker_definition definition = definition_named("database");
    publish_one(&watcher, &definition);
    check_errors();
    check_refusals();
    check_death_with_a_living_child();
    check_slots();
    check_threads();
    process_stop(&watcher);
    fixture_teardown();
    return 0;
}
