// What a breaker costs a call: nanoseconds of CPU for permit and outcome, and for a refusal while
// open, with 1, 2 and 4 processes on one breaker and each on its own; beside it the plain counters
// that it is compared with (docs/decisions/004). CSV: a header, then one line per measurement, the
// median, least and most of all processes and rounds. Arguments: --rounds N --operations N.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "breaker/breaker.h"

#define PROCESSES_MAX 4
#define ROUNDS_MAX    50

enum kind { CALL, CALL_CLOCK, REFUSED_OPEN, ONE_COUNTER, PADDED_COUNTER };

struct measurement {
    const char *name;
    enum kind kind;
    uint32_t capacity;
    bool is_same_only;
};
static const struct measurement measurements[] = {
    {"acquire+report", CALL, 64, false},
    {"acquire+report+2 clock readings", CALL_CLOCK, 64, false},
    {"acquire+report, capacity 1", CALL, 1, true},
    {"refused while open", REFUSED_OPEN, 64, false},
    {"reference: one shared counter, add and subtract", ONE_COUNTER, 64, true},
    {"reference: padded counters, add and subtract", PADDED_COUNTER, 64, true},
};

// Shared by the processes of one measurement.
struct arena {
    _Atomic uint32_t ready;
    double ns[PROCESSES_MAX];
    _Alignas(64) _Atomic uint64_t counters[PROCESSES_MAX][8];
};

static char dir[64];
static struct arena *arena;
static unsigned long n_rounds = 7, n_operations = 2000000;

static void require(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "bench_segment_breaker: %s\n", what);
        exit(1);
    }
}

static struct segment *open_segment(void)
{
    const struct segment_section_spec specs[] = {slot_section_spec(), slot_values_section_spec(),
                                                 breaker_state_section_spec(),
                                                 breaker_window_section_spec()};
    const struct segment_options options = {
        .dir = dir, .name = "bench", .sections = specs, .n_sections = 4};
    char reason[SEGMENT_REASON_MAX];
    struct segment *segment = NULL;
    require(segment_open(&options, reason, &segment) == 0, reason);
    return segment;
}

static void publish(struct breaker_view *view, uint32_t capacity)
{
    struct breaker_definition_set set = {.n = PROCESSES_MAX};
    for (uint32_t i = 0; i < set.n; i++) {
        set.items[i] = (struct breaker_definition){.timeout_ns = NS_PER_S,
                                                   .reset_timeout_ns = 86400 * NS_PER_S,
                                                   .reset_timeout_max_ns = 86400 * NS_PER_S,
                                                   .rolling_timeout_ns = 10 * NS_PER_S,
                                                   .probe_lease_ns = NS_PER_S,
                                                   .rolling_buckets = 10,
                                                   .error_threshold_percent = 50,
                                                   .volume_threshold = 10,
                                                   .reset_backoff_percent = 150,
                                                   .probes = 1,
                                                   .capacity = capacity,
                                                   .enabled = 1};
        snprintf(set.items[i].name, BREAKER_NAME_MAX, "bench-%u", i);
    }
    require(breaker_publish(view, &set, BREAKER_PUBLISH_REPLACE) == 0, "publish");
}

static void open_breaker(struct breaker_view *view, uint32_t index)
{
    struct breaker_permit permit;
    while (breaker_acquire(view, index, clock_mono_ns(), &permit, NULL) == BREAKER_GRANTED)
        breaker_report(view, &permit, BREAKER_FAILURE, clock_mono_ns());
}

static void run_calls(struct breaker_view *view, uint32_t index, bool with_clock)
{
    uint64_t now_ns = clock_mono_ns();
    for (unsigned long i = 0; i < n_operations; i++) {
        struct breaker_permit permit;
        now_ns = with_clock ? clock_mono_ns() : now_ns + 1000;
        breaker_acquire(view, index, now_ns, &permit, NULL);
        now_ns = with_clock ? clock_mono_ns() : now_ns;
        breaker_report(view, &permit, BREAKER_SUCCESS, now_ns);
    }
}

static void run_counter(_Atomic uint64_t *counter)
{
    for (unsigned long i = 0; i < n_operations; i++) {
        atomic_fetch_add(counter, 1);
        atomic_fetch_sub(counter, 1);
    }
}

static void run(const struct measurement *what, struct breaker_view *view, int process,
                uint32_t index)
{
    if (what->kind == ONE_COUNTER)
        run_counter(&arena->counters[0][0]);
    else if (what->kind == PADDED_COUNTER)
        run_counter(&arena->counters[process][0]);
    else
        run_calls(view, index, what->kind == CALL_CLOCK);
}

// Side by side as long as there are processors; without it the kernel may run them in turn.
static void pin(int process)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET((size_t)(process % (int)sysconf(_SC_NPROCESSORS_ONLN)), &cpus);
    (void)sched_setaffinity(0, sizeof(cpus), &cpus); // in a smaller set of CPUs: unpinned
}

static void worker(const struct measurement *what, int process, int processes, bool is_same)
{
    char instance[8];
    pin(process);
    snprintf(instance, sizeof(instance), "%d", process);
    struct segment *segment = open_segment();
    struct slot *slot = NULL;
    struct breaker_view *view = NULL;
    require(slot_acquire(segment, "bench", instance, &slot) == 0, "slot");
    require(breaker_attach(segment, slot, &view) == 0, "attach");
    uint32_t index = is_same ? 0 : (uint32_t)process;
    if (what->kind == REFUSED_OPEN)
        open_breaker(view, index);
    atomic_fetch_add(&arena->ready, 1);
    while (atomic_load(&arena->ready) < (uint32_t)processes)
        sched_yield();
    uint64_t begin_ns = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
    run(what, view, process, index);
    uint64_t end_ns = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
    arena->ns[process] = (double)(end_ns - begin_ns) / (double)n_operations;
    breaker_detach(&view);
    slot_release(&slot);
    segment_close(&segment);
    _exit(0);
}

static void run_round(const struct measurement *what, int processes, bool is_same)
{
    struct segment *segment = open_segment();
    struct slot *slot = NULL;
    struct breaker_view *view = NULL;
    require(slot_acquire(segment, "bench", "owner", &slot) == 0, "slot");
    require(breaker_attach(segment, slot, &view) == 0, "attach");
    publish(view, what->capacity);
    memset(arena, 0, sizeof(*arena));
    for (int i = 0; i < processes; i++) {
        pid_t pid = fork();
        require(pid >= 0, "fork");
        if (pid == 0)
            worker(what, i, processes, is_same);
    }
    for (int i = 0; i < processes; i++) {
        int status = 0;
        require(wait(&status) > 0 && status == 0, "a process failed");
    }
    breaker_detach(&view);
    slot_release(&slot);
    segment_close(&segment);
    require(segment_unlink(dir, "bench") == 0, "unlink");
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const struct measurement *what, int processes, bool is_same)
{
    double all[ROUNDS_MAX * PROCESSES_MAX];
    size_t n = 0;
    for (unsigned long round = 0; round < n_rounds; round++) {
        run_round(what, processes, is_same);
        for (int i = 0; i < processes; i++)
            all[n++] = arena->ns[i];
    }
    qsort(all, n, sizeof(all[0]), by_size);
    printf("breaker,\"%s\",%s,%d,%.1f,%.1f,%.1f\n", what->name, is_same ? "same" : "different",
           processes, all[n / 2], all[0], all[n - 1]);
    fflush(stdout);
}

static unsigned long number_of(const char *name, const char *text, unsigned long max)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = text != NULL ? strtoul(text, &end, 10) : 0;
    if (text == NULL || errno != 0 || *end != '\0' || value < 1 || value > max) {
        fprintf(stderr, "bench_segment_breaker: %s %s: allowed is 1 to %lu\n", name,
                text != NULL ? text : "(nothing)", max);
        exit(1);
    }
    return value;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--rounds") == 0)
            n_rounds = number_of(argv[i], argv[i + 1], ROUNDS_MAX);
        else if (strcmp(argv[i], "--operations") == 0)
            n_operations = number_of(argv[i], argv[i + 1], 1000000000);
        else
            require(false, "allowed are --rounds N and --operations N");
    }
    strcpy(dir, "/dev/shm/vc-bench-XXXXXX");
    require(mkdtemp(dir) != NULL, "no folder in /dev/shm");
    arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(arena != MAP_FAILED, "mmap");
    printf("bench,case,breaker,processes,cpu_ns_median,cpu_ns_min,cpu_ns_max\n");
    for (size_t i = 0; i < sizeof(measurements) / sizeof(measurements[0]); i++)
        for (int processes = 1; processes <= PROCESSES_MAX; processes *= 2) {
            measure(&measurements[i], processes, true);
            if (processes > 1 && !measurements[i].is_same_only)
                measure(&measurements[i], processes, false);
        }
    rmdir(dir);
    return 0;
}
