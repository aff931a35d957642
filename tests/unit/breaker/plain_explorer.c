// Every interleaving of up to four processes over the library's own atomic steps, each of whom may
// die at any of them: a depth-first walk over the situations (what lies in the segment, and where
// each process is: its stack), each looked at once. Processes are coroutines; to come back to a
// situation, segment and stacks are copied back. A read of what nobody writes is no step: before or
// after another's step it is the same. Processes that do the same are not taken for one another,
// because their places in the segment are looked at in order.
//
// In every situation: never more calls than the capacity, never more probes than permitted, no
// result of an older generation changes the state. From every situation, whoever was in the middle
// of something never moving again (killed: the successor of the slot; stopped: the lease): all that
// was held comes back and the breaker finds its way to closed. At the end of every path: what was
// counted is what was reported, refusals left no trace.
//
// Arguments: none: seconds, the largest scenarios so many steps of each process deep, the others
// to their end; "full": all but two to their end, minutes; or NAME STEPS (0: to the end).
#include <ucontext.h>

#include "breaker/state.h"
#include "breaker/view.h"
#include "hammer.h"

#define PROCESSES      4
#define STACK_BYTES    (64 * 1024)
#define T0             (1000 * S)
#define DEPTH_MAX      400
#define SEEN_BITS      20
#define SEEN_BITS_FULL 25
#define RECOVERED_BITS 18

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
    int steps, full_steps; // of each process; 0: to its end
};
static const struct scenario scenarios[] = {
    {"trip", 2, 1, 4, 0, false, 0, "0123", {TELL_BAD, TELL_BAD, TELL_GOOD, TELL_BAD}, 10, 0},
    {"trip by a row", 9, 1, 4, 2, false, 0, "012", {TELL_BAD, TELL_BAD, TELL_GOOD, END}, 0, 0},
    {"four at the deadline",
     2,
     1,
     4,
     0,
     true,
     0,
     "",
     {CALL_GOOD, CALL_BAD, CALL_IGNORED, CALL_GOOD},
     9,
     14},
    {"a probe to its end", 2, 1, 4, 0, true, 0, "", {CALL_GOOD, CALL_BAD, END, END}, 0, 0},
    {"two probes and an asker",
     2,
     2,
     4,
     0,
     true,
     0,
     "01",
     {TELL_GOOD, TELL_BAD, CALL_GOOD, END},
     0,
     0},
    {"a probe back and two askers",
     2,
     1,
     4,
     0,
     true,
     0,
     "0",
     {TELL_IGNORED, CALL_GOOD, CALL_BAD, END},
     0,
     0},
    {"late results",
     2,
     4,
     4,
     0,
     true,
     80 * S,
     "0x12",
     {TELL_BAD, TELL_GOOD, TELL_BAD, RECLAIM},
     0,
     0},
    {"probes that expire meanwhile",
     2,
     4,
     4,
     0,
     true,
     80 * S,
     "0x1",
     {TELL_BAD, TELL_GOOD, RECLAIM, END},
     0,
     0},
    {"a person's word", 2, 2, 4, 0, true, 0, "0", {TELL_GOOD, FORCE_OPEN, RESET, END}, 0, 0},
    {"one permit for two", 9, 1, 1, 0, false, 0, "", {CALL_GOOD, CALL_GOOD, END, END}, 0, 0},
    {"one permit for three",
     9,
     1,
     1,
     0,
     false,
     0,
     "",
     {CALL_GOOD, CALL_GOOD, CALL_GOOD, END},
     14,
     0},
    {"one permit wanders", 9, 1, 1, 0, false, 0, "0", {TELL_GOOD, CALL_GOOD, CALL_GOOD, END}, 0, 0},
    {"a share taken while its owner gives back",
     9,
     1,
     4,
     0,
     false,
     0,
     "012",
     {TELL_GOOD, TELL_GOOD, TELL_GOOD, CALL_GOOD},
     0,
     0},
    {"two permits for four",
     9,
     1,
     2,
     0,
     false,
     0,
     "",
     {CALL_GOOD, CALL_GOOD, CALL_GOOD, CALL_GOOD},
     9,
     14},
};

// What a step of its own changes of a process.
struct moment {
    void *jump[5];
    char *low; // its stack is in use from here on
    struct breaker_permit permit;
    bool begun, ended;
    int steps;
    // The truth, as its caller knows it.
    bool holds, probes, reports;
    uint32_t generation;
};
struct actor {
    struct moment at;
    ucontext_t start;
    char *stack;
    struct process process;
    struct breaker_permit granted; // before
};

// A situation, to come back to.
struct own_view { // what a process keeps to itself
    struct rolling_cursor cursor;
    struct ramp_credit ramp;
};
#define LINE_BYTES   offsetof(struct breaker_line, buckets[1]) // windows of one bucket
#define STACK_KEPT   16384
#define PARTICIPANTS (PROCESSES + 1) // and the owner
struct situation {
    struct breaker_cell cell;
    unsigned char lines[PARTICIPANTS][LINE_BYTES];
    struct own_view views[PARTICIPANTS];
    struct moment moments[PROCESSES];
    uint64_t reported[BREAKER_KINDS];
    char stacks[PROCESSES][STACK_KEPT];
};

static struct actor actors[PROCESSES], *running;
static struct process owner;
static void *scheduler[5];
static ucontext_t scheduler_start;
static const struct scenario *now;
static struct breaker_state_section *state;
static struct breaker_window_section *window;
static struct situation *situations; // one for each step of the path
static int path[DEPTH_MAX], depth, step_bound;
static int seen_bits;
static uint64_t *seen, *recovered, n_seen, n_recovered, n_steps, reported[BREAKER_KINDS];

static __attribute__((noinline, noreturn)) void jump_to(void **to)
{
    if (running != NULL)
        running->at.low = __builtin_frame_address(0);
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

static struct process *participant(int i)
{
    return i < PROCESSES ? &actors[i].process : &owner;
}

static struct breaker_line *line_of(int i)
{
    return &window->lines[slot_index(participant(i)->slot)][0];
}

// What nobody writes in a scenario: whether it is read before or after another's step is the same.
// Each process has the segment at a place of its own.
static bool is_constant(const struct breaker_view *view, uintptr_t object)
{
    if (object == (uintptr_t)&view->state->current || object == (uintptr_t)&view->state->slots_seen)
        return true;
    for (int i = 0; i < PARTICIPANTS; i++)
        if ((i == PROCESSES || now->scripts[i] == END) &&
            object - (uintptr_t)&view->window->lines[slot_index(participant(i)->slot)][0] <
                sizeof(struct breaker_line))
            return true;
    return false;
}

void explorer_step(const volatile void *object, bool writes)
{
    if (running == NULL)
        return;
    if (object != NULL && is_constant(running->process.view, (uintptr_t)object)) {
        CHECK(!writes, "%s: what was taken for constant is written", now->name);
        return;
    }
    running->at.steps++;
    switch_to(running->at.jump, scheduler);
}

static void know(struct actor *actor)
{
    actor->at.holds = actor->at.permit.has_share;
    actor->at.probes = actor->at.permit.probe && actor->at.permit.held;
    actor->at.generation = actor->at.permit.generation;
}

static uint64_t now_ns(void)
{
    return T0 + (strchr(now->before, 'x') != NULL ? 41 * S : 0);
}

static void tell(struct actor *actor, enum breaker_outcome outcome)
{
    actor->at.holds = actor->at.probes = false;
    actor->at.reports = actor->at.permit.held;
    if (actor->at.permit.held && outcome != BREAKER_IGNORED)
        reported[outcome]++;
    breaker_report(actor->process.view, &actor->at.permit, outcome, now_ns());
    actor->at.reports = false;
}

static void make_call(struct actor *actor, enum breaker_outcome outcome)
{
    (void)breaker_acquire(actor->process.view, 0, now_ns(), &actor->at.permit, NULL);
    know(actor);
    explorer_step(NULL, false); // the call itself
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
    actor->at.ended = true;
    for (;;)
        switch_to(actor->at.jump, scheduler);
}

static __attribute__((noinline)) void let_run(struct actor *actor)
{
    running = actor;
    if (actor->at.begun) {
        switch_to(scheduler, actor->at.jump);
    } else if (__builtin_setjmp(scheduler) == 0) {
        actor->at.begun = true;
        swapcontext(&scheduler_start, &actor->start);
    }
    running = NULL;
}

static void begin(int i)
{
    struct actor *actor = &actors[i];
    actor->at = (struct moment){.ended = now->scripts[i] == END, .permit = actor->granted};
    know(actor);
    getcontext(&actor->start);
}

static void keep(struct situation *to)
{
    memcpy(&to->cell, &state->cells[0], sizeof(to->cell));
    memcpy(to->reported, reported, sizeof(reported));
    for (int i = 0; i < PARTICIPANTS; i++) {
        memcpy(to->lines[i], line_of(i), LINE_BYTES);
        to->views[i] =
            (struct own_view){participant(i)->view->cursors[0], participant(i)->view->ramps[0]};
    }
    for (int i = 0; i < PROCESSES; i++) {
        struct actor *actor = &actors[i];
        to->moments[i] = actor->at;
        if (!actor->at.begun || actor->at.ended)
            continue;
        size_t used = (size_t)(actor->stack + STACK_BYTES - actor->at.low);
        CHECK(used <= STACK_KEPT, "%s: %zu bytes of stack", now->name, used);
        memcpy(to->stacks[i], actor->at.low, used);
    }
}

static void go_back(const struct situation *to)
{
    memcpy(&state->cells[0], &to->cell, sizeof(to->cell));
    memcpy(reported, to->reported, sizeof(reported));
    for (int i = 0; i < PARTICIPANTS; i++) {
        memcpy(line_of(i), to->lines[i], LINE_BYTES);
        participant(i)->view->cursors[0] = to->views[i].cursor;
        participant(i)->view->ramps[0] = to->views[i].ramp;
    }
    for (int i = 0; i < PROCESSES; i++) {
        struct actor *actor = &actors[i];
        actor->at = to->moments[i];
        if (!actor->at.begun) {
            actor->start.uc_stack.ss_sp = actor->stack;
            actor->start.uc_stack.ss_size = STACK_BYTES;
            actor->start.uc_link = NULL;
            makecontext(&actor->start, live, 0);
        } else if (!actor->at.ended) {
            memcpy(actor->at.low, to->stacks[i],
                   (size_t)(actor->stack + STACK_BYTES - actor->at.low));
        }
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
    n_steps++;
    let_run(actor);
    uint32_t after = state_generation(state->cells[0].state);
    if (actor->at.reports && after != before && actor->at.generation != before)
        fail("a result of an older generation changed the state");
}

static void check_situation(void)
{
    uint32_t held = 0;
    for (int i = 0; i < PROCESSES; i++) {
        uint32_t together = 0;
        held += actors[i].at.holds;
        for (int k = 0; k < PROCESSES; k++)
            together += actors[i].at.probes && actors[k].at.probes &&
                        actors[k].at.generation == actors[i].at.generation;
        if (together > now->probes)
            fail("more probes than permitted");
    }
    if (held > now->capacity)
        fail("more calls than the capacity");
}

// All have ended: what was counted is what was reported, and nothing of the capacity was doubled.
static void check_end(void)
{
    uint64_t counted[BREAKER_KINDS] = {0};
    for (int i = 0; i < PROCESSES; i++)
        for (int kind = 0; kind < BREAKER_KINDS; kind++)
            counted[kind] += line_of(i)->outcomes[kind];
    if (memcmp(counted, reported, sizeof(counted)) != 0)
        fail("other outcomes were counted than reported");
    if (status_of(&owner, 0, now_ns()).in_flight != 0)
        fail("a call that ended is still counted");
    uint32_t shares = 0;
    for (int i = 0; i < PARTICIPANTS; i++)
        shares += share_share(line_of(i)->share);
    if (shares > now->capacity)
        fail("the shares are more than the capacity");
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
        hash = hash_words(hash + (uint64_t)i, line_of(i), LINE_BYTES);
    return hash;
}

// Where a process is: its stack, not how it came there. What lies there unused may tell two apart
// that are one, which costs time and nothing else.
static uint64_t hash_process(uint64_t hash, const struct actor *actor)
{
    const struct moment *at = &actor->at;
    const struct own_view view = {actor->process.view->cursors[0], actor->process.view->ramps[0]};
    hash = mixed(hash, (uint64_t)at->begun | (uint64_t)at->ended << 1 | (uint64_t)at->holds << 2 |
                           (uint64_t)at->probes << 3 | (uint64_t)at->reports << 4 |
                           (uint64_t)at->generation << 8);
    hash = hash_words(hash, &view, sizeof(view));
    if (step_bound > 0)
        hash = mixed(hash, (uint64_t)at->steps);
    if (!at->begun || at->ended)
        return hash;
    hash = hash_words(hash, &at->permit, sizeof(at->permit));
    hash = hash_words(hash, at->jump, 3 * sizeof(at->jump[0]));
    return hash_words(hash, at->low, (size_t)(actor->stack + STACK_BYTES - at->low));
}

// True when it was not there.
static bool add(uint64_t *set, int bits, uint64_t hash, uint64_t *n)
{
    hash = hash != 0 ? hash : 1;
    for (uint64_t at = hash >> (64 - bits);; at = (at + 1) & ((UINT64_C(1) << bits) - 1)) {
        if (set[at] == hash)
            return false;
        if (set[at] == 0) {
            set[at] = hash;
            CHECK(++*n < (UINT64_C(1) << bits) / 10 * 9, "%s: more situations than room",
                  now->name);
            return true;
        }
    }
}

static bool can_move(const struct actor *actor)
{
    return !actor->at.ended && (step_bound == 0 || actor->at.steps < step_bound);
}

static void explore(void)
{
    uint64_t segment = hash_segment(), hash = segment;
    bool all_ended = true, is_current = true;
    hash = hash_words(hash, reported, sizeof(reported));
    for (int i = 0; i < PROCESSES; i++) {
        hash = hash_process(hash + (uint64_t)i, &actors[i]);
        all_ended = all_ended && actors[i].at.ended;
    }
    if (!add(seen, seen_bits, hash, &n_seen))
        return;
    CHECK(depth < DEPTH_MAX, "%s: too deep", now->name);
    struct situation *here = &situations[depth];
    check_situation();
    keep(here);
    if (all_ended)
        check_end();
    if (add(recovered, RECOVERED_BITS, segment, &n_recovered)) {
        check_way_back(false);
        go_back(here);
        check_way_back(true);
        is_current = false;
    }
    for (int i = 0; i < PROCESSES; i++) {
        if (!can_move(&actors[i]))
            continue;
        if (!is_current)
            go_back(here);
        path[depth++] = i;
        take_step(i);
        explore();
        depth--;
        go_back(here); // can_move() looks at it
        is_current = true;
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
        begin(i);
    keep(&situations[0]);
    go_back(&situations[0]);
}

static void finish(void)
{
    for (int i = 0; i < PROCESSES; i++) {
        process_stop(&actors[i].process);
        free(actors[i].stack);
    }
    process_stop(&owner);
}

static void explore_scenario(int steps)
{
    uint64_t begin_ns = clock_mono_ns();
    step_bound = steps;
    fixture_setup();
    prepare();
    memset(seen, 0, sizeof(*seen) << seen_bits);
    memset(recovered, 0, sizeof(*recovered) << RECOVERED_BITS);
    n_seen = n_recovered = n_steps = 0;
    depth = 0;
    explore();
    char bound[32] = "to the end";
    if (steps > 0)
        snprintf(bound, sizeof(bound), "%d steps each", steps);
    printf("%s: %s, %llu situations, %llu steps, %llu ways back, %.1f s\n", now->name, bound,
           (unsigned long long)n_seen, (unsigned long long)n_steps,
           (unsigned long long)n_recovered * 2,
           (double)(clock_mono_ns() - begin_ns) / (double)NS_PER_S);
    fflush(stdout);
    finish();
    fixture_teardown();
}

int main(int argc, char **argv)
{
    bool full = argc > 1 && strcmp(argv[1], "full") == 0;
    seen_bits = argc > 1 ? SEEN_BITS_FULL : SEEN_BITS;
    seen = calloc((size_t)1 << seen_bits, sizeof(*seen));
    recovered = calloc((size_t)1 << RECOVERED_BITS, sizeof(*recovered));
    situations = calloc(DEPTH_MAX, sizeof(*situations));
    CHECK(seen != NULL && recovered != NULL && situations != NULL, "no memory");
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        now = &scenarios[i];
        if (argc > 2 && strcmp(argv[1], now->name) != 0) // by hand: NAME STEPS
            continue;
        explore_scenario(argc > 2 ? atoi(argv[2]) : full ? now->full_steps : now->steps);
    }
    free(seen);
    free(recovered);
    free(situations);
    return 0;
}
