// What a limit costs a request: nanoseconds of CPU for one limit_decide, or for one of a hundred
// that limit_decide_batch takes together, with tables of different numbers of keys, 1, 2 and 4
// processes, on random keys or all on one. CSV: one line a measurement, the median, least and most
// of all processes and rounds.
// Arguments: --rounds N --operations N --keys N[,N...] --brief yes (one policy, one process, random
// keys, and nothing else).
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/parse.h"
#include "limit/policy.h"
#include "limit/view.h"

#define PROCESSES_MAX 4
#define ROUNDS_MAX    50
#define LIMIT         65535 // a round on one key stays below it
#define BATCH_SIZE    100

enum kind { ONE_POLICY, BATCH, LOGIN_RING, THREE_POLICIES, REFUSED };
static const char *const kind_names[] = {"decide", "decide_batch", "decide_ring",
                                         "decide_3_policies", "refuse"};

struct arena {
    _Atomic uint32_t ready;
    double ns[PROCESSES_MAX];
};

static struct arena *arena;
static struct cell *cells;
static struct policy_store *store;
static uint64_t n_cells, n_rounds = 5, n_operations = 1000000;
static bool is_brief;

static void require(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "bench_segment_limit: %s\n", what);
        exit(1);
    }
}

static void *map_shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED, "not enough memory for the table");
    return memory;
}

static struct limit_view *open_view(uint32_t slot)
{
    static const uint8_t hash_key[SEGMENT_KEY_BYTES] = {42};
    struct policy_actor actor = {.slot = slot, .generation = 1};
    struct limit_view *view = aligned_alloc(64, (sizeof(*view) + 63) / 64 * 64);
    require(view != NULL, "not enough memory");
    memset(view, 0, sizeof(*view));
    require(view_init(view, cells, n_cells, store, &actor, hash_key) == 0, "no view");
    return view;
}

static void add_policy(struct limit_policy_set *set, const char *name, uint64_t limit)
{
    struct limit_policy *policy = &set->policies[set->n++];
    *policy = (struct limit_policy){.methods = HTTP_ANY,
                                    .key_parts = LIMIT_KEY_CLIENT,
                                    .limit = limit,
                                    .window_ns = 900 * NS_PER_S,
                                    .weight = 1};
    strncpy(policy->name, name, LIMIT_NAME_MAX - 1);
    policy->algorithm = limit <= RING_LIMIT_MAX ? LIMIT_RING : LIMIT_SLIDING_WINDOW;
    policy->count_bits = limit <= RING_LIMIT_MAX ? 0 : window_count_bits(limit);
    policy->identity = policy_identity(policy);
}

// A table that the keys fill to two thirds.
static void build_table(enum kind kind, uint64_t keys)
{
    static struct limit_policy_set set;
    uint64_t policies = kind == THREE_POLICIES ? 3 : 1;
    set.n = 0;
    add_policy(&set, "first", kind == LOGIN_RING ? RING_LIMIT_MAX : kind == REFUSED ? 0 : LIMIT);
    for (uint64_t i = 1; i < policies; i++) {
        add_policy(&set, i == 1 ? "second" : "third", LIMIT);
    }
    n_cells = keys * policies * 2 + 4096;
    cells = map_shared(n_cells * sizeof(struct cell));
    store = map_shared(policy_store_bytes());
    struct limit_view *view = open_view(0);
    require(limit_publish(view, &set, LIMIT_PUBLISH_IF_ABSENT) == 0, "not published");
    free(view);
}

static void drop_table(void)
{
    munmap(cells, n_cells * sizeof(struct cell));
    munmap(store, policy_store_bytes());
}

static void make_facts(uint32_t key, struct limit_facts *ret_facts)
{
    *ret_facts = (struct limit_facts){.client = {.family = 4},
                                      .path = "/api/app/hello",
                                      .path_len = 14,
                                      .method = HTTP_GET,
                                      .cost = 1};
    memcpy(ret_facts->client.bytes, &key, sizeof(key));
}

static bool decide(struct limit_view *view, uint32_t key)
{
    struct limit_facts facts;
    struct limit_verdict verdict;
    make_facts(key, &facts);
    limit_decide(view, &facts, &verdict);
    return verdict.admitted;
}

static void fill_table(uint64_t keys)
{
    struct limit_view *view = open_view(0);
    for (uint32_t key = 0; key < keys; key++) {
        (void)decide(view, key);
    }
    free(view);
}

static double cpu_ns(void)
{
    return (double)clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
}

// A forked process has no page of the shared table mapped yet: what is measured is a process that
// has been at work for a while.
static void map_all_pages(void)
{
    for (uint64_t i = 0; i < n_cells; i += 4096 / sizeof(struct cell)) {
        (void)atomic_load(&cells[i].owner);
    }
}

static uint32_t random_key(uint64_t *state, uint64_t keys)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)((*state >> 32) * keys >> 32);
}

// One process's part of a round: random keys of the table, or one key only (`keys` 0).
static void work(uint32_t process, uint32_t processes, uint64_t keys, uint32_t one_key,
                 uint64_t operations, size_t batch)
{
    static struct limit_facts facts[BATCH_SIZE];
    static struct limit_verdict verdicts[BATCH_SIZE];
    struct limit_view *view = open_view(process);
    uint64_t state = 0x9e3779b97f4a7c15ULL * (process + 1) + one_key;
    uint64_t deadline = clock_mono_ns() + 60 * NS_PER_S;
    map_all_pages();
    (void)decide(view, 0);
    atomic_fetch_add(&arena->ready, 1);
    while (atomic_load(&arena->ready) < processes && clock_mono_ns() < deadline) {
        sched_yield();
    }
    double begin = cpu_ns();
    for (uint64_t i = 0; i < operations; i++) {
        uint32_t key = keys > 0 ? random_key(&state, keys) : one_key;
        if (batch == 0) {
            (void)decide(view, key);
            continue;
        }
        make_facts(key, &facts[i % batch]);
        if ((i + 1) % batch == 0) {
            limit_decide_batch(view, facts, batch, verdicts);
        }
    }
    arena->ns[process] = (cpu_ns() - begin) / (double)operations;
    free(view);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void run_round(uint32_t processes, uint64_t keys, uint32_t one_key, uint64_t operations,
                      size_t batch)
{
    atomic_store(&arena->ready, 0);
    fflush(stdout);
    for (uint32_t i = 0; i < processes; i++) {
        pid_t pid = fork();
        require(pid >= 0, "fork failed");
        if (pid == 0) {
            work(i, processes, keys, one_key, operations, batch);
            _exit(0);
        }
    }
    for (uint32_t i = 0; i < processes; i++) {
        int status;
        require(wait(&status) > 0 && status == 0, "a process failed");
    }
}

static void measure(enum kind kind, uint64_t keys, uint32_t processes, bool is_same)
{
    double all[ROUNDS_MAX * PROCESSES_MAX];
    size_t n = 0;
    uint64_t operations = is_same ? (LIMIT - PROCESSES_MAX) / processes : n_operations;
    for (uint64_t round = 0; round < n_rounds; round++) {
        run_round(processes, is_same ? 0 : keys, (uint32_t)(keys + round), operations,
                  kind == BATCH ? BATCH_SIZE : 0);
        for (uint32_t i = 0; i < processes; i++) {
            all[n++] = arena->ns[i];
        }
    }
    qsort(all, n, sizeof(all[0]), ascending);
    printf("limit,%s,keys=%lu,procs=%u,same=%d,ns=%.1f,min=%.1f,max=%.1f\n", kind_names[kind],
           (unsigned long)keys, processes, is_same, all[n / 2], all[0], all[n - 1]);
}

static void measure_all(uint64_t keys)
{
    static const uint32_t processes[] = {1, 2, 4};
    build_table(ONE_POLICY, keys);
    fill_table(keys);
    for (size_t i = 0; i < (is_brief ? 1 : 3); i++) {
        measure(ONE_POLICY, keys, processes[i], false);
        if (!is_brief) {
            measure(ONE_POLICY, keys, processes[i], true);
        }
    }
    measure(BATCH, keys, 1, false);
    drop_table();
    for (enum kind kind = LOGIN_RING; kind <= REFUSED && !is_brief; kind++) {
        build_table(kind, keys);
        fill_table(keys);
        measure(kind, keys, 1, false);
        drop_table();
    }
}

static uint64_t option(const char *name, const char *text, uint64_t max)
{
    uint64_t value = 0;
    if (!text || parse_u64(text, 1, max, &value) < 0) {
        fprintf(stderr, "bench_segment_limit: %s %s: allowed is 1 to %lu\n", name, text ? text : "",
                (unsigned long)max);
        exit(1);
    }
    return value;
}

int main(int argc, char **argv)
{
    const char *keys = "10000,1000000,10000000", *item;
    size_t len;
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--rounds") == 0) {
            n_rounds = option(argv[i], argv[i + 1], ROUNDS_MAX);
        } else if (strcmp(argv[i], "--operations") == 0) {
            n_operations = option(argv[i], argv[i + 1], 1000000000);
        } else if (strcmp(argv[i], "--keys") == 0 && argv[i + 1]) {
            keys = argv[i + 1];
        } else if (strcmp(argv[i], "--brief") == 0 && argv[i + 1]) {
            is_brief = strcmp(argv[i + 1], "yes") == 0;
        } else {
            require(false, "the options are --rounds N, --operations N, --keys N[,N...] and "
                           "--brief yes");
        }
    }
    arena = map_shared(sizeof(*arena));
    while (parse_list_next(&keys, &item, &len)) {
        uint64_t n;
        require(parse_u64_n(item, len, 1000, 20000000, &n) == 0, "--keys: 1000 to 20000000 each");
        measure_all(n);
    }
    return 0;
}
