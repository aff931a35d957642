// Several processes on the same keys at full speed, with the real clock, for every algorithm: never
// more than its bound, and the whole limit when nobody else holds anything back. In some rounds
// processes are killed or stopped in the middle of whatever they do, policies are published
// meanwhile, or a second policy binds the same requests.
// Argument: how many times (the soak runs more of them).
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
#define LOG_MAX  (1U << 17) // then a worker has done enough
#define KEYS_MAX 64
#define QUIET    200 // refusals in a row that end a key in an "exactly the limit" round

struct admission {
    uint64_t at_ns, end_ns; // end_ns: concurrency, before the release; 0: never released
    uint32_t key;
};
struct worker_log {
    _Atomic uint32_t n;
    struct admission items[LOG_MAX];
};
struct round {
    enum limit_algorithm algorithm;
    uint64_t limit, window_ns, duration_ns; // gcra: the limit is its burst, too
    uint64_t hold_ns;
    uint64_t second_limit; // of a second policy, a sliding window; 0: there is none
    uint32_t keys, cells;
    bool kill, publish;
    bool
        long_epochs; // longer than RECENT_LAG_NS: they turn under decisions without a clock reading
};
struct shared {
    struct round round;
    _Atomic uint64_t end_ns;
    _Atomic uint32_t ready; // workers that have a view
    _Atomic uint32_t at_gate[KEYS_MAX];
    _Atomic uint32_t generations[SLOT_COUNT]; // of the slots' living processes
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

static bool is_strict(enum limit_algorithm algorithm)
{
    return algorithm == LIMIT_SLIDING_WINDOW || algorithm == LIMIT_RING;
}

static void add_policy(struct limit_policy_set *set, const char *name,
                       enum limit_algorithm algorithm, uint64_t limit, uint64_t limit_max)
{
    const struct round *round = &shared->round;
    struct limit_policy *policy = &set->policies[set->n++];
    *policy = (struct limit_policy){.algorithm = algorithm,
                                    .methods = HTTP_ANY,
                                    .key_parts = LIMIT_KEY_CLIENT,
                                    .limit = limit,
                                    .window_ns = round->window_ns,
                                    .weight = 1};
    strncpy(policy->name, name, LIMIT_NAME_MAX - 1);
    policy->burst = algorithm == LIMIT_GCRA ? limit : 0;
    if (algorithm == LIMIT_CONCURRENCY) {
        policy->window_ns = 0;
        policy->hold_ns = round->hold_ns;
    }
    if (is_strict(algorithm)) {
        policy->algorithm = limit_max <= RING_LIMIT_MAX ? LIMIT_RING : LIMIT_SLIDING_WINDOW;
        policy->count_bits = limit_max <= RING_LIMIT_MAX ? 0
                             : round->long_epochs        ? window_count_bits(WINDOW_LIMIT_MAX)
                                                         : window_count_bits(limit_max);
    }
    policy->identity = policy_identity(policy);
}

// `limit` is the round's, or less of it.
static void make_set(uint64_t limit, struct limit_policy_set *ret_set)
{
    const struct round *round = &shared->round;
    memset(ret_set, 0, sizeof(*ret_set));
    add_policy(ret_set, "contended", round->algorithm, limit, round->limit);
    if (round->second_limit > 0) {
        add_policy(ret_set, "second", LIMIT_SLIDING_WINDOW, round->second_limit,
                   round->second_limit);
    }
}

static bool is_alive(void *arg, uint32_t slot, uint32_t generation)
{
    (void)arg;
    return atomic_load(&shared->generations[slot]) == generation;
}

static struct limit_view *open_view(uint32_t slot)
{
    struct limit_view *view = aligned_alloc(64, (sizeof(*view) + 63) / 64 * 64);
    CHECK(view, "no memory");
    memset(view, 0, sizeof(*view));
    struct policy_actor actor = {
        .slot = slot, .generation = atomic_load(&shared->generations[slot]), .is_alive = is_alive};
    int r = view_init(view, cells, shared->round.cells, store, &actor, hash_key);
    CHECK(r == 0, "view: %d", r);
    return view;
}

static bool ask(struct limit_view *view, uint32_t key, struct limit_verdict *ret_verdict)
{
    struct limit_facts facts = {
        .client = {.family = 4}, .path = "/", .path_len = 1, .method = HTTP_GET, .cost = 1};
    memcpy(facts.client.bytes, &key, sizeof(key));
    limit_decide(view, &facts, ret_verdict);
    return ret_verdict->admitted;
}

static struct admission *log_admission(uint32_t index, const struct limit_view *view, uint32_t key)
{
    struct worker_log *log = &shared->logs[index];
    uint32_t n = atomic_load_explicit(&log->n, memory_order_relaxed);
    CHECK(n < LOG_MAX, "log full");
    log->items[n] = (struct admission){.at_ns = view->hint_ns, .key = key};
    atomic_store_explicit(&log->n, n + 1, memory_order_release);
    return &log->items[n];
}

// A few requests under way at a time, the oldest of which ends when there are too many.
struct under_way {
    struct limit_verdict verdicts[4];
    struct admission *admissions[4];
    uint32_t next;
};

static void end_oldest(struct limit_view *view, struct under_way *under_way)
{
    uint32_t at = under_way->next++ % 4;
    if (under_way->admissions[at]) {
        under_way->admissions[at]->end_ns = clock_mono_ns();
        limit_release(view, &under_way->verdicts[at]);
        under_way->admissions[at] = NULL;
    }
}

// Random keys until the time is over.
static void work(uint32_t index, uint64_t state)
{
    const struct round *round = &shared->round;
    struct limit_view *view = open_view(index);
    struct under_way under_way = {0};
    struct limit_verdict verdict;
    atomic_fetch_add(&shared->ready, 1);
    const _Atomic uint32_t *logged = &shared->logs[index].n;
    for (uint64_t i = 0; i % 16 != 0 || clock_mono_ns() < atomic_load(&shared->end_ns); i++) {
        if (atomic_load_explicit(logged, memory_order_relaxed) == LOG_MAX) {
            break;
        }
        uint32_t key = round->keys > 1 ? (uint32_t)(rnd(&state) % round->keys) : 0;
        if (round->algorithm == LIMIT_CONCURRENCY) {
            end_oldest(view, &under_way);
        }
        if (ask(view, key, &verdict)) {
            struct admission *admission = log_admission(index, view, key);
            if (round->algorithm == LIMIT_CONCURRENCY) {
                under_way.verdicts[under_way.next % 4] = verdict;
                under_way.admissions[under_way.next++ % 4] = admission;
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        end_oldest(view, &under_way);
    }
    free(view);
}

// One key after the other, all workers at once from a gate on, until it is exhausted.
static void exhaust(uint32_t index)
{
    struct limit_view *view = open_view(index);
    struct limit_verdict verdict;
    atomic_fetch_add(&shared->ready, 1);
    for (uint32_t key = 0; key < shared->round.keys; key++) {
        atomic_fetch_add(&shared->at_gate[key], 1);
        while (atomic_load(&shared->at_gate[key]) < WORKERS &&
               clock_mono_ns() < atomic_load(&shared->end_ns)) {
            sched_yield(); // there may be fewer processors than workers
        }
        for (uint32_t refused = 0; refused < QUIET;) {
            if (ask(view, key, &verdict)) {
                log_admission(index, view, key);
                refused = 0;
            } else { // a gcra that took charges back may say "in a moment"
                refused += verdict.retry_after_ns > NS_PER_S ||
                                   shared->round.algorithm == LIMIT_CONCURRENCY
                               ? 1
                               : 0;
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
    atomic_fetch_add(&shared->generations[index], 1); // the one before is dead
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
            uint64_t window_ns = shared->round.window_ns;
            until = clock_mono_ns() + rnd(&seed) % (2 * window_ns);
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
        make_set(limit - rnd(&seed) % (limit / 2 + 1), &set);
        int r = limit_publish(view, &set, LIMIT_PUBLISH_REPLACE);
        CHECK(r == 0, "publish: %d", r);
    }
    make_set(shared->round.limit, &set);
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

static void check_trailing(const struct admission *all, size_t n, uint64_t limit,
                           uint64_t window_ns)
{
    for (size_t i = limit; i < n; i++) {
        const struct admission *first = &all[i - limit], *last = &all[i];
        CHECK(first->key != last->key || last->at_ns - first->at_ns >= window_ns,
              "limit %lu, window %lu ns: one too many within %lu ns", (unsigned long)limit,
              (unsigned long)window_ns, (unsigned long)(last->at_ns - first->at_ns));
    }
}

// Of one key: at most burst + (t + grace) / interval in any time t.
static void check_gcra(const struct admission *all, size_t n, const struct round *round)
{
    struct gcra gcra;
    gcra_init(&gcra, round->limit, round->limit, round->window_ns);
    int64_t least = INT64_MAX, interval_ns = (int64_t)gcra.interval_ns;
    for (size_t i = 0; i < n; i++) {
        least = i == 0 || all[i].key != all[i - 1].key ? INT64_MAX : least;
        int64_t debt = (int64_t)i * interval_ns - (int64_t)all[i].at_ns;
        least = debt < least ? debt : least;
        CHECK(debt - least + interval_ns <=
                  (int64_t)round->limit * interval_ns + (int64_t)gcra.grace_ns,
              "gcra, burst %lu, interval %lu ns: one too many", (unsigned long)round->limit,
              (unsigned long)gcra.interval_ns);
    }
}

static void check_fixed(const struct admission *all, size_t n, const struct round *round)
{
    for (size_t i = round->limit; i < n; i++) {
        const struct admission *first = &all[i - round->limit], *last = &all[i];
        CHECK(first->key != last->key ||
                  first->at_ns / round->window_ns != last->at_ns / round->window_ns,
              "fixed window, limit %lu: one too many", (unsigned long)round->limit);
    }
}

// Never more under way at one instant. A hold counts until its release began, and no longer than
// its lease; one that a killed process had counts for an instant.
static void check_holds(struct admission *all, size_t n, const struct round *round)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t lease_end_ns = all[i].at_ns + round->hold_ns, under_way = 1;
        if (all[i].end_ns == 0) {
            all[i].end_ns = all[i].at_ns;
        } else if (all[i].end_ns > lease_end_ns) {
            all[i].end_ns = lease_end_ns;
        }
        for (size_t j = i; j-- > 0 && i - j < 4096 && all[j].key == all[i].key;) {
            under_way += all[j].end_ns > all[i].at_ns;
        }
        CHECK(under_way <= round->limit, "concurrency %lu: %lu under way",
              (unsigned long)round->limit, (unsigned long)under_way);
    }
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
    if (is_strict(round->algorithm)) {
        check_trailing(all, n, round->limit, round->window_ns);
    } else if (round->algorithm == LIMIT_GCRA) {
        check_gcra(all, n, round);
    } else if (round->algorithm == LIMIT_FIXED_WINDOW) {
        check_fixed(all, n, round);
    } else {
        check_holds(all, n, round);
    }
    if (round->second_limit > 0) {
        check_trailing(all, n, round->second_limit, round->window_ns);
    }
    return n;
}

// Whatever a killed process left behind has aged out, its holds with it: one caller gets the whole
// limit.
static void check_recovery(const struct round *round)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        atomic_fetch_add(&shared->generations[i], 1); // nobody lives
    }
    struct limit_view *view = open_view(0);
    struct limit_verdict verdict;
    uint64_t wait_ns = round->algorithm == LIMIT_CONCURRENCY ? 0 : round->window_ns * 5 / 4;
    uint64_t idle_until = clock_mono_ns() + wait_ns + NS_PER_MS;
    while (clock_mono_ns() < idle_until) {
    }
    uint64_t begin = clock_mono_ns(), admitted = 0;
    uint64_t expected = round->second_limit > 0 && round->second_limit < round->limit
                            ? round->second_limit
                            : round->limit;
    while (admitted < expected && ask(view, 0, &verdict)) {
        admitted++;
    }
    // A caller who is off the processor for longer than the window would prove nothing.
    CHECK(admitted == expected || clock_mono_ns() - begin > round->window_ns,
          "only %lu of %lu after a kill", (unsigned long)admitted, (unsigned long)expected);
    free(view);
}

// Nothing of a refused request is left: the second policy has counted what was admitted.
static void check_second(const struct round *round)
{
    struct limit_view *view = open_view(0);
    for (uint32_t key = 0; key < round->keys; key++) {
        struct limit_facts facts = {
            .client = {.family = 4}, .path = "/", .path_len = 1, .method = HTTP_GET};
        struct limit_verdict verdict;
        memcpy(facts.client.bytes, &key, sizeof(key));
        limit_decide(view, &facts, &verdict);
        uint64_t left = verdict.charges[1].remaining;
        CHECK(verdict.n == 2 && left == round->second_limit - round->limit,
              "%lu left of the second limit, %lu of it above the first", (unsigned long)left,
              (unsigned long)(round->second_limit - round->limit));
    }
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
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        atomic_store(&shared->generations[i], 1);
    }
    struct limit_view *view = open_view(0);
    make_set(round->limit, &set);
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
    if (exhausts && round->second_limit > 0) {
        check_second(round);
    }
    return admitted;
}

#define TABLE_CELLS 4096
#define TINY_CELLS  96 // one set of wide cells for each of two policies

static const enum limit_algorithm algorithms[] = {
    LIMIT_SLIDING_WINDOW, LIMIT_GCRA, LIMIT_FIXED_WINDOW, LIMIT_SLIDING_WINDOW, LIMIT_CONCURRENCY,
};
#define N_ALGORITHMS (sizeof(algorithms) / sizeof(algorithms[0]))

static uint64_t bounded_rounds(unsigned times)
{
    static const uint64_t limits[] = {1, 3, 12, 13, 100, 255, 1000, 3000};
    uint64_t admitted = 0;
    for (unsigned i = 0; i < times; i++) {
        struct round round = {.algorithm = algorithms[i % N_ALGORITHMS],
                              .limit = limits[rnd(&seed) % 8],
                              .window_ns = (1 + rnd(&seed) % 20) * NS_PER_MS,
                              .duration_ns = (20 + rnd(&seed) % 40) * NS_PER_MS,
                              .keys = 1,
                              .cells = TABLE_CELLS,
                              .kill = i / N_ALGORITHMS % 3 == 1,
                              .publish = i / N_ALGORITHMS % 3 == 2};
        // A lease that ends before the round does, or one that only a process's death can.
        round.hold_ns = rnd(&seed) % 2 ? 5 * NS_PER_MS : 60 * NS_PER_S;
        if (round.algorithm == LIMIT_CONCURRENCY) {
            round.limit = 1 + round.limit % (WORKERS * 4);
        } else if (rnd(&seed) % 2) {
            round.second_limit = 1 + rnd(&seed) % (2 * round.limit);
        }
        if (rnd(&seed) % 4 == 0) {
            round.long_epochs = true;
            round.window_ns = (40 + rnd(&seed) % 20) * NS_PER_MS;
            round.duration_ns = 2 * round.window_ns;
        }
        admitted += run(&round, false);
        round.long_epochs = false;
        round.keys = KEYS_MAX; // more than the tiny table has cells: claims and overflow
        round.cells = TINY_CELLS;
        round.limit = round.algorithm == LIMIT_CONCURRENCY ? 2 : limits[rnd(&seed) % 6];
        round.window_ns = (1 + rnd(&seed) % 4) * NS_PER_MS;
        admitted += run(&round, false);
    }
    return admitted;
}

// A window that does not end meanwhile, holds that are not released: each key gets exactly its
// limit, and a second policy has counted no more than that.
static void exact_rounds(unsigned times)
{
    static const uint64_t limits[] = {1, 5, 12, 13, 30, 100, 250, 1000};
    for (unsigned i = 0; i < times; i++) {
        struct round round = {.algorithm = algorithms[i % N_ALGORITHMS],
                              .limit = limits[rnd(&seed) % 8],
                              .window_ns = 86400 * NS_PER_S,
                              .duration_ns = 30 * NS_PER_S,
                              .hold_ns = 3600 * NS_PER_S,
                              .keys = KEYS_MAX,
                              .cells = TABLE_CELLS};
        round.second_limit = i / N_ALGORITHMS % 2 ? round.limit + rnd(&seed) % 50 : 0;
        uint64_t admitted = run(&round, true);
        CHECK(admitted == round.limit * round.keys, "%lu admitted of %lu times %u (algorithm %d)",
              (unsigned long)admitted, (unsigned long)round.limit, round.keys, round.algorithm);
    }
}

int main(int argc, char **argv)
{
    unsigned times = argc > 1 ? (unsigned)atoi(argv[1]) : THREADS ? 15 : 30;
    shared = map_shared(sizeof(*shared));
    cells = map_shared(TABLE_CELLS * sizeof(*cells));
    store = map_shared(policy_store_bytes());
    uint64_t begin = clock_mono_ns();
    seed ^= argc > 1 ? begin : 0; // other rounds each time
    exact_rounds((times + 1) / 2);
    uint64_t admitted = bounded_rounds(times);
    CHECK(admitted > times * 10, "too little happened");
    printf("%u rounds as %s in %.1f s: %lu admissions, none too many\n", 2 * times,
           THREADS ? "threads" : "processes", (double)(clock_mono_ns() - begin) / 1e9,
           (unsigned long)admitted);
    return 0;
}
