// What the C programs of this folder share: a check that says where, seeded chance, a folder.
// FAULT_SEED in the environment repeats a run.
#ifndef VALVECHAIN_TESTS_FAULT_CHECK_H
#define VALVECHAIN_TESTS_FAULT_CHECK_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define FAULT_DEADLINE_NS (20 * NS_PER_S)
#define FAULT_SKIPPED     77 // ctest's SKIP_RETURN_CODE

static char fault_dir[64];
static uint64_t fault_seed;

static inline void fault_clear_dir(void)
{
    DIR *dir = opendir(fault_dir);
    if (!dir)
        return;
    for (struct dirent *file; (file = readdir(dir));)
        (void)unlinkat(dirfd(dir), file->d_name, 0);
    closedir(dir);
    (void)rmdir(fault_dir);
}

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #condition);                \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, " (FAULT_SEED=%llu, segment in %s)\n", (unsigned long long)fault_seed, \
                    fault_dir);                                                                    \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static uint64_t fault_state;

static inline uint64_t fault_random(uint64_t below)
{
    // xorshift64*: chance that can be repeated, nothing more.
    fault_state ^= fault_state >> 12;
    fault_state ^= fault_state << 25;
    fault_state ^= fault_state >> 27;
    return (fault_state * 2685821657736338717ULL >> 33) % below;
}

static inline void fault_begin(void)
{
    const char *given = getenv("FAULT_SEED");
    fault_seed = given ? strtoull(given, NULL, 10) : clock_wall_ns();
    fault_state = fault_seed ? fault_seed : 1;
    strcpy(fault_dir,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/vc-fault-XXXXXX" : "/tmp/vc-fault-XXXXXX");
    CHECK(mkdtemp(fault_dir), "%s", strerror(errno));
    printf("seed %llu, %s\n", (unsigned long long)fault_seed, fault_dir);
    fflush(stdout);
}

// Memory that survives the children's deaths, to learn from them what they did.
static inline void *fault_shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED, "%s", strerror(errno));
    return memory;
}

// Spins: the moment between two steps of another process has no event.
static inline void fault_pass_time(uint64_t ns)
{
    uint64_t until_ns = clock_mono_ns() + ns;
    while (clock_mono_ns() < until_ns)
        ;
}

static inline void fault_wait_word(const _Atomic unsigned *word, unsigned at_least)
{
    uint64_t deadline_ns = clock_mono_ns() + FAULT_DEADLINE_NS;
    while (atomic_load(word) < at_least) {
        CHECK(clock_mono_ns() < deadline_ns, "no answer from a child: %u of %u", atomic_load(word),
              at_least);
        const struct timespec pause = {.tv_nsec = 20000};
        nanosleep(&pause, NULL);
    }
}

// A child that does not outlive a failed parent.
static inline pid_t fault_fork(void)
{
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0, "%s", strerror(errno));
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static inline void fault_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid, "%s", strerror(errno));
}

#endif
