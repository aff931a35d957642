// Every interleaving of up to four processes over the library's own atomic steps, each of whom may
// die at any of them: a depth-first walk over the situations (what lies in the segment, and what
// each process has read so far: it follows from that where it is), each looked at once. A situation
// is reached by running its path again from the beginning; processes are coroutines.
//
// In every situation: never more calls than the capacity, never more probes than permitted, no
// result of an older generation changes the state. From every situation, whoever was in the middle
// of something never moving again (killed: the successor of the slot; stopped: the lease): all that
// was held comes back and the breaker finds its way to closed. At the end of every path: what was
// counted is what was reported, refusals left no trace.
//
// Arguments: none, each process may take so many steps that it takes seconds; "full": 4 x 8 and
// more, minutes.
#include <ucontext.h>

#include "breaker/state.h"
#include "breaker/view.h"
#include "hammer.h"

#define PROCESSES   4
#define STACK_BYTES (64 * 1024)
#define T0          (1000 * S)
#define DEPTH_MAX   200
#define SEEN_BITS   22 // 25 when full

enum operation {
    END,
    CALL_GOOD, // a whole call
    CALL_BAD,
    CALL_IGNORED,
    TELL_GOOD, // the end of a call that was granted before
    TELL_BAD,
    TELL_IGNORED,
    RECLAIM,
    FORCE_OPEN,
    RESET
};

struct scenario {
    const char *name;
    uint32_t volume, probes, capacity, consecutive;
    bool begins_open;
    uint64_t reclaim_at_ns; // of RECLAIM
    // What was before, undisturbed: a digit's process is granted a call, x lets the probes expire.
    const char *before;
    enum operation scripts[PROCESSES];
    int steps, full_steps; // of each process
};
static const struct scenario scenarios[] = {
    {"trip", 2, 1, 4, 0, false, 0, "0123", {TELL_BAD, TELL_BAD, TELL_GOOD, TELL_BAD}, 8, 12},
    {"trip by a row", 9, 1, 4, 2, false, 0, "012", {TELL_BAD, TELL_BAD, TELL_GOOD, END}, 10, 30},
    {"four at the deadline",
     2,
     1,
     4,
     0,
     true,
     0,
     "",
     {CALL_GOOD, CALL_BAD, CALL_IGNORED, CALL_GOOD},
     8,
     13},
    {"a probe to its end", 2, 1, 4, 0, true, 0, "", {CALL_GOOD, CALL_BAD, END, END}, 24, 60},
    {"two probes and an asker",
     2,
     2,
     4,
     0,
     true,
     0,
     "01",
     {TELL_GOOD, TELL_BAD, CALL_GOOD, END},
     36,
     60},
    {"a probe back and two askers",
     2,
     1,
     4,
     0,
     true,
     0,
     "0",
     {TELL_IGNORED, CALL_GOOD, CALL_BAD, END},
     10,
     20},
    {"late results",
     2,
     4,
     4,
     0,
     true,
     80 * S,
     "0x12",
     {TELL_BAD, TELL_GOOD, TELL_BAD, RECLAIM},
     8,
     12},
    {"probes that expire meanwhile",
     2,
     4,
     4,
     0,
     true,
     80 * S,
     "0x1",
     {TELL_BAD, TELL_GOOD, RECLAIM, END},
     12,
     30},
    {"a person's word", 2, 2, 4, 0, true, 0, "0", {TELL_GOOD, FORCE_OPEN, RESET, END}, 9, 14},
    {"one permit for two", 9, 1, 1, 0, false, 0, "", {CALL_GOOD, CALL_GOOD, END, END}, 40, 80},
    {"one permit for three",
     9,
     1,
     1,
     0,
     false,
     0,
     "",
     {CALL_GOOD, CALL_GOOD, CALL_GOOD, END},
     13,
     22},
    {"one permit wanders",
     9,
     1,
     1,
     0,
     false,
     0,
     "0",
     {TELL_GOOD, CALL_GOOD, CALL_GOOD, END},
     20,
     26},
    {"two permits for four",
     9,
     1,
     2,
     0,
     false,
     0,
     "",
     {CALL_GOOD, CALL_GOOD, CALL_GOOD, CALL_GOOD},
     8,
     13},
};

struct actor {
    void *jump[5];
    ucontext_t start;
    char *stack;
    struct process process;
    struct breaker_view fresh; // of the beginning
    bool begun, ended;
    int steps;
    uint64_t saw; // hash of all it has read
    // The truth, as its caller knows it.
    bool holds, probes, reports;
    uint32_t generation;
    struct breaker_permit permit, granted; // now, and before
};

static struct actor actors[PROCESSES], *running;
static struct process owner;
static void *scheduler[5];
static ucontext_t scheduler_start;
static const struct scenario *now;
static struct breaker_state_section *state;
static struct breaker_window_section *window;
static struct breaker_cell first_cell;
static struct breaker_line first_lines[PROCESSES + 1];
static int path[DEPTH_MAX], depth, step_bound;
static int seen_bits = SEEN_BITS;
static uint64_t *seen, *recovered, n_seen, n_recovered, reported[BREAKER_KINDS];

static __attribute__((noinline, noreturn)) void jump_to(void **to)
{
    __builtin_longjmp(to, 1);
}
static __attribute__((noinline)) void switch_to(void **from, void **to)
{
    if (__builtin_setjmp(from) == 0)
        jump_to(to);
}

static uint64_t mixed(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

void explorer_step(void)
{
    if (running != NULL) {
        running->steps++;
        switch_to(running->jump, scheduler);
    }
}

void explorer_saw(uint64_t value)
{
    if (running != NULL)
        running->saw = mixed(running->saw, value);
}

static void know(struct actor *actor)
{
    actor->holds = actor->permit.has_share;
    actor->probes = actor->permit.probe && actor->permit.held;
    actor->generation = actor->permit.generation;
}

static uint64_t now_ns(void)
{
    return T0 + (strchr(now->before, 'x') != NULL ? 41 * S : 0);
}

static void tell(struct actor *actor, enum breaker_outcome outcome)
{
    actor->holds = actor->probes = false;
    actor->reports = actor->permit.held;
    if (actor->permit.held && outcome != BREAKER_IGNORED)
        reported[outcome]++;
    breaker_report(actor->process.view, &actor->permit, outcome, now_ns());
    actor->reports = false;
}

static void make_call(struct actor *actor, enum breaker_outcome outcome)
{
    enum breaker_grant grant =
        breaker_acquire(actor->process.view, 0, now_ns(), &actor->permit, NULL);
    explorer_saw((uint64_t)grant);
    know(actor);
    explorer_step(); // the call itself
    tell(actor, outcome);
}

static void live(void)
{
    struct actor *actor = running;
    struct breaker_view *view = actor->process.view;
    switch (now->scripts[actor - actors]) {
    case CALL_GOOD:
        make_call(actor, BREAKER_SUCCESS);
        break;
    case CALL_BAD:
        make_call(actor, BREAKER_FAILURE);
        break;
    case CALL_IGNORED:
        make_call(actor, BREAKER_IGNORED);
        break;
    case TELL_GOOD:
        tell(actor, BREAKER_SUCCESS);
        break;
    case TELL_BAD:
        tell(actor, BREAKER_FAILURE);
        break;
    case TELL_IGNORED:
        tell(actor, BREAKER_IGNORED);
        break;
    case RECLAIM:
        breaker_reclaim(view, now->reclaim_at_ns + T0);
        break;
    case FORCE_OPEN:
        breaker_force(view, 0, BREAKER_FORCED_OPEN, 0, "a", "b", T0);
        break;
    case RESET:
        breaker_reset(view, 0, "c", "d", T0);
        break;
    case END:
        break;
    }
    actor->ended = true;
    for (;;)
        switch_to(actor->jump, scheduler);
}

static __attribute__((noinline)) void let_run(struct actor *actor)
{
    running = actor;
    if (actor->begun) {
        switch_to(scheduler, actor->jump);
    } else if (__builtin_setjmp(scheduler) == 0) {
        actor->begun = true;
        swapcontext(&scheduler_start, &actor->start);
    }
    running = NULL;
}

static void begin_again(void)
{
    memcpy(&state->cells[0], &first_cell, sizeof(first_cell));
    memset(reported, 0, sizeof(reported));
    memcpy(&window->lines[slot_index(owner.slot)][0], &first_lines[PROCESSES],
           sizeof(first_lines[0]));
    for (int i = 0; i < PROCESSES; i++) {
        struct actor *actor = &actors[i];
        memcpy(&window->lines[slot_index(actor->process.slot)][0], &first_lines[i],
               sizeof(first_lines[0]));
        *actor->process.view = actor->fresh;
        getcontext(&actor->start);
        actor->start.uc_stack.ss_sp = actor->stack;
        actor->start.uc_stack.ss_size = STACK_BYTES;
        actor->start.uc_link = NULL;
        makecontext(&actor->start, live, 0);
        actor->begun = actor->reports = false;
        actor->permit = actor->granted;
        know(actor);
        actor->ended = now->scripts[i] == END;
        actor->steps = 0;
        actor->saw = (uint64_t)i;
    }
}

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s, after the steps", now->name, what);
    for (int i = 0; i < depth; i++)
        fprintf(stderr, " %d", path[i]);
    fprintf(stderr, "; state %llx\n", (unsigned long long)state->cells[0].state);
    abort();
}

// One step of one process; and what no step may do.
static void take_step(int who)
{
    struct actor *actor = &actors[who];
    uint32_t before = state_generation(state->cells[0].state);
    let_run(actor);
    uint32_t after = state_generation(state->cells[0].state);
    if (actor->reports && after != before && actor->generation != before)
        fail("a result of an older generation changed the state");
}

static void run_path(void)
{
    begin_again();
    for (int i = 0; i < depth; i++)
        take_step(path[i]);
}

static void check_situation(void)
{
    uint32_t held = 0;
    for (int i = 0; i < PROCESSES; i++) {
        uint32_t together = 0;
        held += actors[i].holds;
        for (int k = 0; k < PROCESSES; k++)
            together += actors[i].probes && actors[k].probes &&
                        actors[k].generation == actors[i].generation;
        if (together > now->probes)
            fail("more probes than permitted");
    }
    if (held > now->capacity)
        fail("more calls than the capacity");
}

// All have ended: what was counted is what was reported.
static void check_end(void)
{
    uint64_t counted[BREAKER_KINDS] = {0};
    for (int i = 0; i < PROCESSES; i++)
        for (int kind = 0; kind < BREAKER_KINDS; kind++)
            counted[kind] += window->lines[slot_index(actors[i].process.slot)][0].outcomes[kind];
    if (memcmp(counted, reported, sizeof(counted)) != 0)
        fail("other outcomes were counted than reported");
    if (status_of(&owner, 0, now_ns()).in_flight != 0)
        fail("a call that ended is still counted");
}

static void find_way_back(const char *stuck, const char *lost)
{
    struct breaker_permit permits[8];
    uint64_t time_ns = T0 + 200 * S;
    for (int i = 0; i < 8 && state_of(&owner, time_ns) != BREAKER_CLOSED; i++, time_ns += 60 * S) {
        if (state_of(&owner, time_ns) == BREAKER_FORCED_OPEN)
            breaker_reset(owner.view, 0, "", "", time_ns);
        breaker_reclaim(owner.view, time_ns);
        call(&owner, BREAKER_SUCCESS, time_ns);
    }
    if (state_of(&owner, time_ns) != BREAKER_CLOSED)
        fail(stuck);
    breaker_reclaim(owner.view, time_ns);
    for (uint32_t i = 0; i < now->capacity; i++)
        if (breaker_acquire(owner.view, 0, time_ns, &permits[i], NULL) != BREAKER_GRANTED)
            fail(lost);
    for (uint32_t i = 0; i < now->capacity; i++)
        breaker_report(owner.view, &permits[i], BREAKER_IGNORED, time_ns);
}

// Nobody moves any more. Stopped: no heartbeat. Killed: a successor takes each slot over.
static void check_way_back(bool killed)
{
    for (int i = 0; i < PROCESSES; i++) {
        struct breaker_view *successor = NULL;
        if (!killed) {
            slot_heartbeat(actors[i].process.slot, T0);
            continue;
        }
        ASSERT(breaker_attach(actors[i].process.segment, actors[i].process.slot, &successor) == 0);
        free(successor);
    }
    if (killed)
        find_way_back("stuck after kills", "a killed holder's permit is lost");
    else
        find_way_back("stuck after stops", "a stopped holder's permit is lost");
    for (int i = 0; i < PROCESSES; i++)
        slot_heartbeat(actors[i].process.slot, UINT64_MAX);
}

static uint64_t hash_words(uint64_t hash, const void *from, size_t bytes)
{
    const uint64_t *words = from;
    for (size_t i = 0; i < bytes / sizeof(*words); i++)
        hash = words[i] == 0 ? hash : mixed(hash + i, words[i]);
    return hash;
}

static uint64_t hash_segment(void)
{
    uint64_t hash = hash_words(1, &state->cells[0], sizeof(state->cells[0]));
    for (int i = 0; i < PROCESSES; i++)
        hash = hash_words(hash + (uint64_t)i, &window->lines[slot_index(actors[i].process.slot)][0],
                          sizeof(struct breaker_line));
    return hash;
}

// True when it was not there.
static bool add(uint64_t *set, uint64_t hash, uint64_t *n)
{
    hash = hash != 0 ? hash : 1;
    for (uint64_t at = hash >> (64 - seen_bits);;
         at = (at + 1) & ((UINT64_C(1) << seen_bits) - 1)) {
        if (set[at] == hash)
            return false;
        if (set[at] == 0) {
            set[at] = hash;
            CHECK(++*n < (UINT64_C(1) << seen_bits) / 10 * 9, "%s: more situations than room",
                  now->name);
            return true;
        }
    }
}

static bool can_move(const struct actor *actor)
{
    return !actor->ended && actor->steps < step_bound;
}

static void explore(void)
{
    uint64_t segment = hash_segment(), hash = segment;
    bool all_ended = true, is_current = true;
    for (int i = 0; i < PROCESSES; i++) {
        hash = mixed(hash, actors[i].saw + actors[i].ended);
        hash = mixed(hash, (uint64_t)actors[i].steps);
        all_ended = all_ended && actors[i].ended;
    }
    if (!add(seen, hash, &n_seen))
        return;
    check_situation();
    if (all_ended)
        check_end();
    if (add(recovered, segment, &n_recovered)) {
        check_way_back(false);
        run_path();
        check_way_back(true);
        is_current = false;
    }
    for (int i = 0; i < PROCESSES; i++) {
        if (!is_current)
            run_path();
        if (!can_move(&actors[i])) {
            is_current = true;
            continue;
        }
        CHECK(depth < DEPTH_MAX, "%s: too deep", now->name);
        path[depth++] = i;
        take_step(i);
        explore();
        depth--;
        is_current = false;
    }
}

static void live_before(void)
{
    for (const char *at = now->before; *at != '\0'; at++) {
        struct actor *actor = &actors[*at == 'x' ? 0 : *at - '0'];
        if (*at == 'x')
            breaker_reclaim(owner.view, T0 + 40 * S);
        else
            ASSERT(breaker_acquire(actor->process.view, 0, at > now->before ? now_ns() : T0,
                                   &actor->granted, NULL) <= BREAKER_GRANTED_PROBE);
    }
}

static void prepare(void)
{
    struct breaker_definition definition = definition_named("x");
    definition.volume_threshold = now->volume;
    definition.probes = now->probes;
    definition.capacity = now->capacity;
    definition.consecutive = now->consecutive;
    definition.rolling_buckets = 1;
    owner = process_start("owner");
    publish_one(&owner, &definition);
    for (int i = 0; i < PROCESSES; i++) {
        char instance[8];
        snprintf(instance, sizeof(instance), "%d", i);
        actors[i].process = process_start(instance);
        actors[i].stack = malloc(STACK_BYTES);
        // Nobody looks for the dead in between: the checks do.
        actors[i].process.view->reclaim_not_before_ns = UINT64_MAX;
        actors[i].granted = (struct breaker_permit){0};
    }
    state = owner.view->state;
    window = owner.view->window;
    if (now->begins_open)
        atomic_store(&state->cells[0].state, state_trip(0, &definition, 1, 0, T0 - 10 * S));
    live_before();
    for (int i = 0; i < PROCESSES; i++)
        actors[i].fresh = *actors[i].process.view;
    memcpy(&first_cell, &state->cells[0], sizeof(first_cell));
    memcpy(&first_lines[PROCESSES], &window->lines[slot_index(owner.slot)][0],
           sizeof(first_lines[0]));
    for (int i = 0; i < PROCESSES; i++)
        memcpy(&first_lines[i], &window->lines[slot_index(actors[i].process.slot)][0],
               sizeof(first_lines[0]));
}

static void finish(void)
{
    for (int i = 0; i < PROCESSES; i++) {
        process_stop(&actors[i].process);
        free(actors[i].stack);
    }
    process_stop(&owner);
}

int main(int argc, char **argv)
{
    bool full = argc > 1 && strcmp(argv[1], "full") == 0;
    seen_bits = full ? 25 : SEEN_BITS;
    seen = calloc((size_t)1 << seen_bits, sizeof(*seen));
    recovered = calloc((size_t)1 << seen_bits, sizeof(*recovered));
    CHECK(seen != NULL && recovered != NULL, "no memory");
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        now = &scenarios[i];
        step_bound = full ? now->full_steps : now->steps;
        fixture_setup();
        prepare();
        memset(seen, 0, sizeof(*seen) << seen_bits);
        memset(recovered, 0, sizeof(*recovered) << seen_bits);
        n_seen = n_recovered = 0;
        depth = 0;
        run_path();
        explore();
        printf("%s: %llu situations at up to %d steps each, %llu ways back\n", now->name,
               (unsigned long long)n_seen, step_bound, (unsigned long long)n_recovered * 2);
        fflush(stdout);
        finish();
        fixture_teardown();
    }
    free(seen);
    free(recovered);
    return 0;
}
