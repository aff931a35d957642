// Several processes on the same keys at full speed, with the real clock: never more than the limit
// in any trailing window, and the whole limit when nobody else holds anything back. In some rounds
// processes are killed in the middle of whatever they do, and policies are published meanwhile.
// Built with ThreadSanitizer the same code runs as threads (nobody is killed then).
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "limit/policy.h"
#include "limit/view.h"

#ifdef __SANITIZE_THREAD__
#define THREADS 1
#else
#define THREADS 0
#endif

#define WORKERS  4
#define LOG_MAX  (1U << 17)
#define KEYS_MAX 64
#define QUIET    200 // refusals in a row that end a key in an "exactly the limit" round

struct admission {
    uint64_t at_ns;
    uint32_t key;
};
struct worker_log {
    _Atomic uint32_t n;
    struct admission items[LOG_MAX];
};
struct round {
    uint64_t limit, window_ns, duration_ns;
    uint32_t keys, cells;
    bool kill, publish;
};
struct shared {
    struct round round;
    _Atomic uint64_t end_ns;
    _Atomic uint32_t ready; // workers that have a view
    _Atomic uint32_t at_gate[KEYS_MAX];
    struct worker_log logs[WORKERS];
};

static struct shared *shared;
static struct cell *cells;
static struct policy_store *store;
static const uint8_t hash_key[SEGMENT_KEY_BYTES] = {7};
static uint64_t seed = 0x853c49e6748fea9bULL;

static uint64_t rnd(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static void *map_shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED, "no memory");
    return memory;
}

static void make_set(const struct round *round, uint64_t limit, struct limit_policy_set *ret_set)
{
    struct limit_policy *policy = &ret_set->policies[0];
    memset(ret_set, 0, sizeof(*ret_set));
    ret_set->n = 1;
    *policy = (struct limit_policy){.name = "contended",
                                    .methods = HTTP_ANY,
                                    .key_parts = LIMIT_KEY_CLIENT,
                                    .limit = limit,
                                    .window_ns = round->window_ns,
                                    .weight = 1};
    policy->algorithm = round->limit <= RING_LIMIT_MAX ? LIMIT_RING : LIMIT_SLIDING_WINDOW;
    policy->count_bits = round->limit <= RING_LIMIT_MAX ? 0 : window_count_bits(round->limit);
    policy->identity = policy_identity(policy);
}

static struct limit_view *open_view(uint32_t slot)
{
    struct limit_view *view = aligned_alloc(64, (sizeof(*view) + 63) / 64 * 64);
    CHECK(view, "no memory");
    memset(view, 0, sizeof(*view));
    struct policy_actor actor = {.slot = slot, .generation = 1};
    int r = view_init(view, cells, shared->round.cells, store, &actor, hash_key);
    CHECK(r == 0, "view: %d", r);
    return view;
}

static bool ask(struct limit_view *view, uint32_t key)
{
    struct limit_facts facts = {
        .client = {.family = 4}, .path = "/", .path_len = 1, .method = HTTP_GET, .cost = 1};
    struct limit_verdict verdict;
    memcpy(facts.client.bytes, &key, sizeof(key));
    limit_decide(view, &facts, &verdict);
    return verdict.admitted;
}

static void log_admission(uint32_t index, const struct limit_view *view, uint32_t key)
{
    struct worker_log *log = &shared->logs[index];
    uint32_t n = atomic_load_explicit(&log->n, memory_order_relaxed);
    CHECK(n < LOG_MAX, "log full");
    log->items[n] = (struct admission){.at_ns = view->hint_ns, .key = key};
    atomic_store_explicit(&log->n, n + 1, memory_order_release);
}

// Random keys until the time is over.
static void work(uint32_t index, uint64_t state)
{
    const struct round *round = &shared->round;
    struct limit_view *view = open_view(index);
    atomic_fetch_add(&shared->ready, 1);
    for (uint64_t i = 0; i % 16 != 0 || clock_mono_ns() < atomic_load(&shared->end_ns); i++) {
        uint32_t key = round->keys > 1 ? (uint32_t)(rnd(&state) % round->keys) : 0;
        if (ask(view, key)) {
            log_admission(index, view, key);
        }
    }
    free(view);
}

// One key after the other, all workers at once from a gate on, until it is exhausted.
static void exhaust(uint32_t index)
{
    struct limit_view *view = open_view(index);
    atomic_fetch_add(&shared->ready, 1);
    for (uint32_t key = 0; key < shared->round.keys; key++) {
        atomic_fetch_add(&shared->at_gate[key], 1);
        while (atomic_load(&shared->at_gate[key]) < WORKERS &&
               clock_mono_ns() < atomic_load(&shared->end_ns)) {
            sched_yield(); // there may be fewer processors than workers
        }
        for (uint32_t refused = 0; refused < QUIET;) {
            if (ask(view, key)) {
                log_admission(index, view, key);
                refused = 0;
            } else {
                refused++;
            }
        }
    }
    free(view);
}

// ---- processes or threads -----------------------------------------------------------------------

struct worker {
    bool exhausts;
    pthread_t thread;
    pid_t pid;
    uint32_t index;
    uint64_t state;
};

static void *work_in_thread(void *arg)
{
    const struct worker *worker = arg;
    if (worker->exhausts) {
        exhaust(worker->index);
    } else {
        work(worker->index, worker->state);
    }
    return NULL;
}

static void start_worker(struct worker *worker, uint32_t index)
{
    worker->index = index;
    worker->state = rnd(&seed) | 1;
    if (THREADS) {
        CHECK(pthread_create(&worker->thread, NULL, work_in_thread, worker) == 0, "thread");
        return;
    }
    fflush(NULL);
    worker->pid = fork();
    CHECK(worker->pid >= 0, "fork");
    if (worker->pid == 0) {
        work_in_thread(worker);
        _exit(0);
    }
}

static void join_worker(struct worker *worker, bool killed)
{
    if (THREADS) {
        CHECK(pthread_join(worker->thread, NULL) == 0, "join");
        return;
    }
    int status;
    CHECK(waitpid(worker->pid, &status, 0) == worker->pid, "waitpid");
    CHECK(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0), "a worker failed");
}

// Kills one after the other where it stands, or lets it stand still for up to two windows first.
static void kill_some(struct worker *workers)
{
    while (clock_mono_ns() < atomic_load(&shared->end_ns)) {
        struct worker *victim = &workers[rnd(&seed) % WORKERS];
        bool stop = rnd(&seed) % 2;
        uint64_t until = clock_mono_ns() + rnd(&seed) % (2 * NS_PER_MS);
        while (clock_mono_ns() < until) {
        }
        kill(victim->pid, stop ? SIGSTOP : SIGKILL);
        if (stop) {
            until = clock_mono_ns() + rnd(&seed) % (2 * shared->round.window_ns);
            while (clock_mono_ns() < until) {
            }
            kill(victim->pid, SIGCONT);
            continue;
        }
        join_worker(victim, true);
        start_worker(victim, victim->index);
    }
}

static void publish_meanwhile(void)
{
    static struct limit_policy_set set;
    struct limit_view *view = open_view(SLOT_COUNT - 1);
    while (clock_mono_ns() < atomic_load(&shared->end_ns)) {
        uint64_t limit = shared->round.limit;
        make_set(&shared->round, limit - rnd(&seed) % (limit / 2 + 1), &set);
        int r = limit_publish(view, &set, LIMIT_PUBLISH_REPLACE);
        CHECK(r == 0, "publish: %d", r);
    }
    make_set(&shared->round, shared->round.limit, &set);
    CHECK(limit_publish(view, &set, LIMIT_PUBLISH_REPLACE) == 0, "publish");
    free(view);
}

// ---- checks -------------------------------------------------------------------------------------

static int by_key_and_time(const void *a, const void *b)
{
    const struct admission *x = a, *y = b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return x->at_ns < y->at_ns ? -1 : x->at_ns > y->at_ns;
}

static uint64_t check_logs(const struct round *round)
{
    static struct admission all[WORKERS * LOG_MAX];
    size_t n = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        uint32_t count = atomic_load(&shared->logs[i].n);
        memcpy(all + n, shared->logs[i].items, count * sizeof(all[0]));
        n += count;
    }
    qsort(all, n, sizeof(all[0]), by_key_and_time);
    for (size_t i = round->limit; i < n; i++) {
        const struct admission *first = &all[i - round->limit], *last = &all[i];
        CHECK(first->key != last->key || last->at_ns - first->at_ns >= round->window_ns,
              "limit %lu, window %lu ns, %u keys: one too many within %lu ns",
              (unsigned long)round->limit, (unsigned long)round->window_ns, round->keys,
              (unsigned long)(last->at_ns - first->at_ns));
    }
    return n;
}

// Whatever a killed process left behind has aged out: one caller gets the whole limit.
static void check_recovery(const struct round *round)
{
    struct limit_view *view = open_view(0);
    uint64_t deadline = clock_mono_ns() + 5 * NS_PER_S, admitted = 0;
    uint64_t idle_until = clock_mono_ns() + round->window_ns * 5 / 4 + NS_PER_MS;
    while (clock_mono_ns() < idle_until) {
        CHECK(clock_mono_ns() < deadline, "time stands still");
    }
    uint64_t begin = clock_mono_ns();
    while (admitted < round->limit && ask(view, 0)) {
        admitted++;
    }
    // A caller who is off the processor for longer than the window would prove nothing.
    CHECK(admitted == round->limit || clock_mono_ns() - begin > round->window_ns,
          "only %lu of %lu after a kill", (unsigned long)admitted, (unsigned long)round->limit);
    free(view);
}

static uint64_t run(const struct round *round, bool exhausts)
{
    static struct limit_policy_set set;
    struct worker workers[WORKERS] = {0};
    memset(cells, 0, round->cells * sizeof(struct cell));
    memset(store, 0, policy_store_bytes());
    shared->round = *round;
    for (uint32_t i = 0; i < WORKERS; i++) {
        atomic_store(&shared->logs[i].n, 0);
    }
    for (uint32_t i = 0; i < KEYS_MAX; i++) {
        atomic_store(&shared->at_gate[i], 0);
    }
    struct limit_view *view = open_view(0);
    make_set(round, round->limit, &set);
    CHECK(limit_publish(view, &set, LIMIT_PUBLISH_IF_ABSENT) == 0, "publish");
    free(view);
    atomic_store(&shared->ready, 0);
    atomic_store(&shared->end_ns, UINT64_MAX);
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i].exhausts = exhausts;
        start_worker(&workers[i], i);
    }
    uint64_t deadline = clock_mono_ns() + 60 * NS_PER_S;
    while (atomic_load(&shared->ready) < WORKERS) {
        CHECK(clock_mono_ns() < deadline, "the workers do not start");
        sched_yield();
    }
    atomic_store(&shared->end_ns, clock_mono_ns() + round->duration_ns);
    if (round->kill && !THREADS) {
        kill_some(workers);
    }
    if (round->publish) {
        publish_meanwhile();
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        join_worker(&workers[i], false);
    }
    uint64_t admitted = check_logs(round);
    if (round->kill) {
        check_recovery(round);
    }
    return admitted;
}

#define TABLE_CELLS 4096
#define TINY_CELLS  128

static uint64_t strict_rounds(unsigned times)
{
    static const uint64_t limits[] = {1, 3, 12, 13, 100, 255, 1000, 3000};
    uint64_t admitted = 0;
    for (unsigned i = 0; i < times; i++) {
        struct round round = {.limit = limits[i % 8],
                              .window_ns = (1 + rnd(&seed) % 20) * NS_PER_MS,
                              .duration_ns = (20 + rnd(&seed) % 40) * NS_PER_MS,
                              .keys = 1,
                              .cells = TABLE_CELLS,
                              .kill = i % 3 == 1,
                              .publish = i % 3 == 2};
        admitted += run(&round, false);
        round.keys = KEYS_MAX; // more than the tiny table has cells: claims and overflow
        round.cells = TINY_CELLS;
        round.limit = limits[rnd(&seed) % 6];
        round.window_ns = (1 + rnd(&seed) % 4) * NS_PER_MS;
        admitted += run(&round, false);
    }
    return admitted;
}

// A window that does not end meanwhile: each key gets exactly its limit.
static void exact_rounds(unsigned times)
{
    static const uint64_t limits[] = {1, 5, 12, 13, 30, 100, 250, 1000};
    for (unsigned i = 0; i < times; i++) {
        struct round round = {.limit = limits[i % 8],
                              .window_ns = 3600 * NS_PER_S,
                              .duration_ns = 30 * NS_PER_S,
                              .keys = KEYS_MAX,
                              .cells = TABLE_CELLS};
        uint64_t admitted = run(&round, true);
        CHECK(admitted == round.limit * round.keys, "%lu admitted of %lu times %u",
              (unsigned long)admitted, (unsigned long)round.limit, round.keys);
    }
}

int main(int argc, char **argv)
{
    unsigned times = argc > 1 ? (unsigned)atoi(argv[1]) : THREADS ? 12 : 32;
    shared = map_shared(sizeof(*shared));
    cells = map_shared(TABLE_CELLS * sizeof(*cells));
    store = map_shared(policy_store_bytes());
    uint64_t begin = clock_mono_ns();
    exact_rounds((times + 1) / 2);
    uint64_t admitted = strict_rounds(times);
    CHECK(admitted > times * 10, "too little happened");
    printf("%u strict rounds as %s in %.1f s: %lu admissions, none too many\n", 2 * times,
           THREADS ? "threads" : "processes", (double)(clock_mono_ns() - begin) / 1e9,
           (unsigned long)admitted);
    return 0;
}
