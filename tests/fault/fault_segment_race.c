// Eight processes open the segment at once: one creates it, also when creators are killed or
// stopped in the middle. Eight take slots at once: nobody shares one.
#include <sched.h>
#include <sys/stat.h>

#include "fault_check.h"
#include "shm/segment.h"
#include "shm/slot.h"

#define N_PROCESSES 8
#define ROUNDS      60

enum fault { NO_FAULT, KILL_CREATOR, STOP_CREATOR };

struct scene {
    _Atomic unsigned arrived, go, leave;
    _Atomic unsigned done[N_PROCESSES];
    _Atomic unsigned inits;
    _Atomic unsigned struck; // index + 1 of the process that the fault struck
    _Atomic int fault;
    uint8_t keys[N_PROCESSES][SEGMENT_KEY_BYTES];
    unsigned slots[N_PROCESSES];
    int results[N_PROCESSES];
    char reasons[N_PROCESSES][SEGMENT_REASON_MAX];
};

static struct scene *scene;
static unsigned own_index;

// Runs in the creator only, in the middle of its work; the fault strikes the first one.
static void strike(void *section, uint64_t bytes)
{
    memset(section, 7, bytes);
    atomic_fetch_add(&scene->inits, 1);
    int fault = atomic_exchange(&scene->fault, NO_FAULT);
    if (fault != NO_FAULT)
        atomic_store(&scene->struck, own_index + 1);
    if (fault == KILL_CREATOR)
        raise(SIGKILL);
    if (fault == STOP_CREATOR)
        raise(SIGSTOP);
}

static int open_segment(char reason[SEGMENT_REASON_MAX], struct segment **ret_segment)
{
    const struct segment_section_spec specs[] = {
        slot_section_spec(),
        slot_values_section_spec(),
        {.name = "struck", .bytes = 65536, .layout_hash = 1, .init = strike}};
    const struct segment_options options = {
        .dir = fault_dir, .name = "vc", .sections = specs, .n_sections = 3};
    return segment_open(&options, reason, ret_segment);
}

static void play_one(unsigned index)
{
    struct segment *segment;
    struct slot *slot;
    own_index = index;
    atomic_fetch_add(&scene->arrived, 1);
    while (!atomic_load(&scene->go))
        sched_yield();
    scene->results[index] = open_segment(scene->reasons[index], &segment);
    if (scene->results[index] == 0) {
        const char *struck = segment_section(segment, "struck", NULL);
        CHECK(struck[0] == 7 && struck[65535] == 7, "not filled");
        memcpy(scene->keys[index], segment_hash_key(segment), SEGMENT_KEY_BYTES);
        CHECK(slot_acquire(segment, "racer", "", &slot) == 0, "no slot");
        scene->slots[index] = slot_index(slot);
    }
    atomic_store(&scene->done[index], 1);
    fault_wait_word(&scene->leave, 1); // holding the slot
    _exit(0);
}

static void set_scene(enum fault fault, pid_t pids[N_PROCESSES])
{
    CHECK(segment_unlink(fault_dir, "vc") == 0, "cannot be removed");
    memset(scene, 0, sizeof(*scene));
    atomic_store(&scene->fault, fault);
    for (unsigned i = 0; i < N_PROCESSES; i++) {
        pids[i] = fault_fork();
        if (pids[i] == 0)
            play_one(i);
    }
    fault_wait_word(&scene->arrived, N_PROCESSES);
    atomic_store(&scene->go, 1);
}

// A creator that dies between link() and unlink() leaves a second name of the object: no memory of
// its own, and gone with the object. Nothing else may be left.
static void check_temporary(void)
{
    char path[128];
    struct stat object, temporary;
    snprintf(path, sizeof(path), "%s/vc.1.new", fault_dir);
    if (stat(path, &temporary) < 0)
        return;
    snprintf(path, sizeof(path), "%s/vc.1", fault_dir);
    CHECK(stat(path, &object) == 0 && object.st_ino == temporary.st_ino,
          "a temporary file is left");
}

// Everybody but `victim` (N_PROCESSES: nobody) has attached to one and the same segment and holds a
// slot of his own.
static void check_survivors(unsigned victim)
{
    unsigned first = victim == 0 ? 1 : 0, taken = 0;
    for (unsigned i = 0; i < N_PROCESSES; i++) {
        if (i == victim)
            continue;
        fault_wait_word(&scene->done[i], 1);
        CHECK(scene->results[i] == 0, "process %u: %d: %s", i, scene->results[i],
              scene->reasons[i]);
        CHECK(memcmp(scene->keys[i], scene->keys[first], SEGMENT_KEY_BYTES) == 0,
              "two segments at once");
        CHECK(!(taken & 1U << scene->slots[i]), "slot %u has two holders", scene->slots[i]);
        taken |= 1U << scene->slots[i];
    }
    check_temporary();
}

static void clear_scene(pid_t pids[N_PROCESSES])
{
    atomic_store(&scene->leave, 1);
    for (unsigned i = 0; i < N_PROCESSES; i++) {
        int status;
        if (pids[i] == 0)
            continue;
        CHECK(waitpid(pids[i], &status, 0) == pids[i], "%s", strerror(errno));
        CHECK(!WIFEXITED(status) || WEXITSTATUS(status) == 0, "process %u failed", i);
    }
}

static void race(void)
{
    pid_t pids[N_PROCESSES];
    set_scene(NO_FAULT, pids);
    check_survivors(N_PROCESSES);
    CHECK(atomic_load(&scene->inits) == 1, "%u creators", atomic_load(&scene->inits));
    clear_scene(pids);
}

static void race_with_killed_creator(void)
{
    pid_t pids[N_PROCESSES];
    set_scene(KILL_CREATOR, pids);
    fault_wait_word(&scene->struck, 1);
    check_survivors(atomic_load(&scene->struck) - 1);
    CHECK(atomic_load(&scene->inits) == 2, "%u creators", atomic_load(&scene->inits));
    clear_scene(pids);
}

// Any of them, at any moment: the others never notice.
static void race_with_random_kill(void)
{
    pid_t pids[N_PROCESSES];
    unsigned victim = (unsigned)fault_random(N_PROCESSES);
    set_scene(NO_FAULT, pids);
    fault_pass_time(fault_random(3 * NS_PER_MS));
    fault_kill(pids[victim]);
    pids[victim] = 0;
    check_survivors(victim);
    clear_scene(pids);
}

// A creator that hangs is named, and when it goes on all is well.
static void stopped_creator(void)
{
    struct segment *segment = NULL;
    char reason[SEGMENT_REASON_MAX];
    int status;
    CHECK(segment_unlink(fault_dir, "vc") == 0, "cannot be removed");
    memset(scene, 0, sizeof(*scene));
    atomic_store(&scene->fault, STOP_CREATOR);
    atomic_store(&scene->go, 1);
    pid_t pid = fault_fork();
    if (pid == 0)
        play_one(0);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status), "did not stop");
    int r = open_segment(reason, &segment);
    CHECK(r == -ETIMEDOUT && strstr(reason, "another process has been creating"), "%d: %s", r,
          reason);
    kill(pid, SIGCONT);
    r = open_segment(reason, &segment);
    CHECK(r == 0, "%s", reason);
    fault_wait_word(&scene->done[0], 1);
    CHECK(scene->results[0] == 0, "%d: %s", scene->results[0], scene->reasons[0]);
    CHECK(memcmp(scene->keys[0], segment_hash_key(segment), SEGMENT_KEY_BYTES) == 0,
          "two segments at once");
    segment_close(&segment);
    atomic_store(&scene->leave, 1);
    CHECK(waitpid(pid, NULL, 0) == pid, "%s", strerror(errno));
}

int main(void)
{
    fault_begin();
    scene = fault_shared(sizeof(*scene));
    for (int i = 0; i < ROUNDS; i++) {
        race();
        race_with_killed_creator();
        race_with_random_kill();
    }
    stopped_creator();
    CHECK(segment_unlink(fault_dir, "vc") == 0, "cannot be removed");
    printf("%d rounds of %d processes each: alone, with a killed creator, with a random kill\n",
           ROUNDS, N_PROCESSES);
    fault_clear_dir();
    return 0;
}
