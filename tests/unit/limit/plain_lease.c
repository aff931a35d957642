// Several processes spend the same cells while their owner fills, collects and gives them to other
// keys, and some spenders are killed: what was admitted never exceeds what was put in, and what was
// collected was admitted by nobody. Built with ThreadSanitizer the same runs as threads.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "limit/lease.h"

#ifdef __SANITIZE_THREAD__
#define THREADS 1
#else
#define THREADS 0
#endif

#define SPENDERS 3
#define KEYS     40 // more than cells, so that cells change their keys
#define CELLS    16
#define RUN_NS   (1500 * NS_PER_MS)

struct shared {
    _Atomic bool over;
    _Atomic uint64_t admitted[KEYS + 1]; // tokens spent, by key
};
static struct shared *shared;
static struct lease_view view;
static uint64_t put_in[KEYS + 1], collected[KEYS + 1];

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void *spend(void *arg)
{
    uint64_t state = (uint64_t)(uintptr_t)arg * 0x9e3779b97f4a7c15ULL + 1;
    while (!atomic_load(&shared->over)) {
        uint64_t key = next_random(&state) % KEYS + 1, cost = next_random(&state) % 3 + 1;
        struct lease_cell *cell = lease_find(&view, key);
        struct lease_taken taken;
        if (!cell || lease_take(&view, cell, key, cost, clock_mono_ns(), &taken) < 0) {
            continue;
        }
        bool in_time = clock_mono_ns() < taken.end_ns && next_random(&state) % 4 != 0;
        if (in_time || !lease_put_back(cell, &taken, cost)) {
            atomic_fetch_add(&shared->admitted[key], cost);
        }
    }
    return NULL;
}

static void collect(struct lease_cell *cell, uint64_t key, uint32_t slot)
{
    collected[key] += lease_collect(&view, cell, slot);
}

static void own(uint64_t *state)
{
    uint64_t key = next_random(state) % KEYS + 1, now_ns = clock_mono_ns();
    struct lease_cell *cell = lease_claim(&view, key, now_ns);
    if (!cell) { // make room: some key loses its tokens
        uint64_t other = next_random(state) % KEYS + 1;
        cell = lease_find(&view, other);
        for (uint32_t slot = 0; cell && slot < LEASE_SLOTS; slot++) {
            collect(cell, other, slot);
        }
        return;
    }
    uint32_t slot = next_random(state) % LEASE_SLOTS;
    uint64_t tokens = next_random(state) % 20;
    collect(cell, key, slot);
    lease_fill(&view, cell, slot, tokens, now_ns + next_random(state) % (NS_PER_MS / 2));
    put_in[key] += tokens;
}

static void *map_shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        exit(2);
    }
    return memory;
}

// With `kills` some spenders die: what they had taken and not counted is gone, never too much.
static int check(bool kills)
{
    uint64_t total = 0;
    for (uint64_t key = 1; key <= KEYS; key++) {
        struct lease_cell *cell = lease_find(&view, key);
        for (uint32_t slot = 0; cell && slot < LEASE_SLOTS; slot++) {
            collect(cell, key, slot);
        }
        uint64_t spent = atomic_load(&shared->admitted[key]), out = spent + collected[key];
        total += spent;
        if (out > put_in[key] || (!kills && out != put_in[key])) {
            fprintf(stderr, "key %llu: %llu put in, %llu spent, %llu collected\n",
                    (unsigned long long)key, (unsigned long long)put_in[key],
                    (unsigned long long)spent, (unsigned long long)collected[key]);
            return 1;
        }
    }
    if (total < 1000) {
        fprintf(stderr, "only %llu tokens were spent\n", (unsigned long long)total);
        return 1;
    }
    return 0;
}

static int round_of_threads(void)
{
    pthread_t threads[SPENDERS];
    uint64_t state = 99, end_ns = clock_mono_ns() + RUN_NS;
    for (uintptr_t i = 0; i < SPENDERS; i++) {
        pthread_create(&threads[i], NULL, spend, (void *)(i + 1));
    }
    while (clock_mono_ns() < end_ns) {
        own(&state);
    }
    atomic_store(&shared->over, true);
    for (int i = 0; i < SPENDERS; i++) {
        pthread_join(threads[i], NULL);
    }
    return check(false);
}

static pid_t start(uintptr_t seed)
{
    pid_t child = fork();
    if (child == 0) {
        spend((void *)seed);
        _exit(0);
    }
    return child;
}

static int round_of_processes(bool kills)
{
    pid_t children[SPENDERS];
    uint64_t state = 77, end_ns = clock_mono_ns() + RUN_NS;
    for (uintptr_t i = 0; i < SPENDERS; i++) {
        children[i] = start(i + 1);
    }
    for (uint64_t turn = 0; clock_mono_ns() < end_ns; turn++) {
        own(&state);
        if (kills && turn % 5000 == 4999) {
            int victim = (int)(next_random(&state) % SPENDERS);
            kill(children[victim], SIGKILL);
            waitpid(children[victim], NULL, 0);
            children[victim] = start(turn + 17);
        }
    }
    atomic_store(&shared->over, true);
    for (int i = 0; i < SPENDERS; i++) {
        waitpid(children[i], NULL, 0);
    }
    return check(kills);
}

static void begin(void)
{
    size_t bytes = (size_t)lease_section_spec(CELLS).bytes;
    shared = map_shared(sizeof(*shared));
    view = lease_view_over(map_shared(bytes), bytes);
    for (int key = 0; key <= KEYS; key++) {
        put_in[key] = collected[key] = 0;
    }
}

int main(void)
{
    begin();
    if (THREADS) {
        return round_of_threads();
    }
    int failed = round_of_processes(false);
    begin();
    return failed || round_of_processes(true);
}
