// Four processes hammer one breaker while they are killed, stopped and continued at random: the
// capacity is never exceeded, nor the probes of a half-open breaker; all that the dead held comes
// back; nothing gets stuck. Kills come after a number of calls, not after a time, so that a loaded
// machine tests the same thing slower, with fewer rounds.
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "hammer.h"

#define ROUNDS      120
#define ROUNDS_MIN  8
#define STORM_NS    (2 * S) // after it no more rounds than the least
#define DEADLINE_NS (120 * S)

static struct tally *tally;
static pid_t pids[HAMMERS];
static uint64_t seed = 20261124;

static void spawn(int who)
{
    pids[who] = fork();
    CHECK(pids[who] >= 0, "fork");
    if (pids[who] > 0)
        return;
    char instance[8];
    snprintf(instance, sizeof(instance), "%d", who);
    struct process process = process_start(instance);
    uint64_t own_seed = seed + (uint64_t)who * 977;
    atomic_fetch_and(&tally->held, ~(UINT64_C(0xffff) << 16 * who));
    atomic_fetch_add(&tally->births, 1);
    atomic_fetch_and(&tally->doomed, ~(1u << who));
    for (;;)
        hammer_once(&process, tally, who, &own_seed);
}

// Its tallies are out of the sums before the kernel lets go of its slot.
static void kill_one(int who)
{
    atomic_fetch_or(&tally->doomed, 1u << who);
    kill(pids[who], SIGKILL);
    CHECK(waitpid(pids[who], NULL, 0) == pids[who], "waitpid");
    for (uint32_t i = 0; i < GENERATION_COUNT; i++)
        if (atomic_load(&tally->probing[i]) != 0)
            atomic_fetch_and(&tally->probing[i], ~(UINT64_C(0xffff) << 16 * who));
}

// Whatever happens to one, the others go on; a worker that dies by itself has seen a violation.
static void wait_for_progress(struct process *owner, int except, uint64_t operations)
{
    uint64_t begin[HAMMERS], deadline_ns = clock_mono_ns() + DEADLINE_NS;
    for (int i = 0; i < HAMMERS; i++)
        begin[i] = atomic_load(&tally->operations[i]);
    for (int i = 0; i < HAMMERS; i++)
        while (i != except && atomic_load(&tally->operations[i]) - begin[i] < operations) {
            CHECK(clock_mono_ns() < deadline_ns, "process %d makes no progress", i);
            CHECK(waitpid(pids[i], NULL, WNOHANG) == 0, "process %d saw a violation", i);
            breaker_reclaim(owner->view, clock_mono_ns());
            poll(NULL, 0, 1);
        }
}

int main(void)
{
    fixture_setup();
    tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(tally != MAP_FAILED, "mmap");
    struct process owner = process_start("owner");
    struct breaker_definition definition = hammer_definition();
    publish_one(&owner, &definition);
    for (int i = 0; i < HAMMERS; i++)
        spawn(i);
    uint64_t until_ns = clock_mono_ns() + STORM_NS;
    int round = 0;
    for (; round < ROUNDS && (round < ROUNDS_MIN || clock_mono_ns() < until_ns); round++) {
        int who = (int)(random_next(&seed) % HAMMERS);
        wait_for_progress(&owner, -1, random_next(&seed) % 8);
        if (round % 4 == 3) {
            kill(pids[who], SIGSTOP);
            wait_for_progress(&owner, who, random_next(&seed) % 50);
            kill(pids[who], SIGCONT);
        } else {
            kill_one(who);
            wait_for_progress(&owner, who, random_next(&seed) % 8);
            spawn(who);
        }
    }
    for (int i = 0; i < HAMMERS; i++)
        kill_one(i);
    hammer_check_rest(&owner);
    struct breaker_status status = status_of(&owner, 0, clock_mono_ns());
    printf("%d rounds: %llu calls, %llu probes, %llu refused, opened %llu times\n", round,
           (unsigned long long)tally->grants, (unsigned long long)tally->probes,
           (unsigned long long)tally->refusals, (unsigned long long)status.total_opens);
    CHECK(status.total_opens > 10 && tally->probes > 10 && tally->grants > 1000,
          "the storm was none");
    process_stop(&owner);
    fixture_teardown();
    return 0;
}
