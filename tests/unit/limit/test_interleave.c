// The decision under every kind of interleaving: a few "processes" (coroutines) on one table, with
// a scheduler that may switch at each atomic operation, let one sleep for long or die where it
// stands, and moves a virtual clock. Far more hostile than real processors, and the same again for
// a seed.
#include <ucontext.h>

#include "fixture.h"

// Switching as cheap as a jump (swapcontext makes two system calls). Never inlined, for a jump must
// not be in the function that set its target; noipa, for callers must not rely on registers that it
// seems to spare.
static __attribute__((noinline, noreturn)) void jump_to(void **to)
{
    __builtin_longjmp(to, 1);
}
static __attribute__((noipa)) void switch_to(void **from, void **to)
{
    if (__builtin_setjmp(from) == 0) {
        jump_to(to);
    }
}

#define PROCESSES   4
#define STACK_BYTES (256 * 1024)
#define LOG_MAX     60000
#define KEYS_MAX    160 // of few tags and few overflow cells

struct process {
    void *jump[5];
    bool begun;
    ucontext_t start;
    char *stack;
    struct limit_view *view;
    uint64_t sleeps_until; // in switches
};
struct admission {
    uint64_t at_ns, end_ns; // end_ns: of a hold, before its release
    uint32_t key;
};
struct plan {
    uint64_t limit, window_ns, pace_ns, jumps, asks;
    uint32_t keys;
    enum limit_algorithm algorithm;
    bool deaths;
};

static ucontext_t scheduler_start;
static void *scheduler[5];
static struct process processes[PROCESSES], *running;
static struct fixture f;
static struct plan plan;
static struct admission admissions[LOG_MAX];
static uint32_t n_admissions;
static uint64_t asked, switches, seed;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

// Mostly so little that a decision sees one epoch, sometimes much.
static void pass_time(void)
{
    uint64_t dice = rnd() % plan.jumps;
    if (dice == 0) {
        f.now_ns += rnd() % (2 * plan.window_ns);
    } else if (dice <= 8) {
        f.now_ns += rnd() % (plan.window_ns / 4);
    } else if (dice <= 64) {
        f.now_ns += rnd() % (plan.window_ns / 64);
    } else {
        f.now_ns += rnd() % plan.pace_ns;
    }
}

// The cache lines of the table that one decision touches.
static struct {
    uintptr_t lines[256];
    uint32_t n;
    bool counts;
} touched;

static void touch(uintptr_t object)
{
    uintptr_t line = object / 64, first = (uintptr_t)f.cells / 64;
    if (!touched.counts || line < first || line >= first + f.n_cells) {
        return;
    }
    for (uint32_t i = 0; i < touched.n; i++) {
        if (touched.lines[i] == line) {
            return;
        }
    }
    cr_assert_lt(touched.n, 256U);
    touched.lines[touched.n++] = line;
}

void interleave_step(const volatile void *object)
{
    touch((uintptr_t)object);
    if (running && rnd() % 4 == 0) {
        switch_to(running->jump, scheduler);
    }
}

static uint64_t read_clock(void *arg)
{
    (void)arg;
    interleave_step(NULL);
    return f.now_ns;
}

// The request is over: a hold ends, and sometimes a charge is given back.
static void finish_request(struct process *self, struct limit_verdict *verdict,
                           struct admission *mine)
{
    if (plan.algorithm == LIMIT_CONCURRENCY) {
        for (int i = 0; i < 8; i++) { // others at work meanwhile
            (void)read_clock(NULL);
        }
        mine->end_ns = f.now_ns;
        limit_release(self->view, verdict);
    } else if (rnd() % 16 == 0) {
        mine->key = UINT32_MAX; // no longer counted against the limit
        limit_refund(self->view, verdict);
    }
}

static void live(void)
{
    struct process *self = running;
    while (asked < plan.asks) {
        asked++;
        uint32_t key = (uint32_t)(rnd() % plan.keys);
        struct limit_verdict verdict;
        if (fixture_ask(self->view, key, &verdict)) {
            cr_assert_lt(n_admissions, LOG_MAX);
            struct admission *mine = &admissions[n_admissions++];
            *mine = (struct admission){
                .at_ns = self->view->hint_ns, .end_ns = self->view->hint_ns, .key = key};
            finish_request(self, &verdict, mine);
        }
        if (rnd() % 64 == 0) {
            limit_sweep(self->view, 8);
        }
    }
    for (;;) {
        switch_to(self->jump, scheduler); // the round is over
    }
}

// A new process in place of one that was killed where it stood.
static void begin(struct process *process)
{
    free(process->stack);
    process->stack = malloc(STACK_BYTES);
    getcontext(&process->start);
    process->start.uc_stack.ss_sp = process->stack;
    process->start.uc_stack.ss_size = STACK_BYTES;
    process->start.uc_link = NULL;
    process->view->hint_ns = 0;
    process->begun = false;
    makecontext(&process->start, live, 0);
}

static __attribute__((noinline)) void let_run(struct process *process)
{
    running = process;
    if (process->begun) {
        switch_to(scheduler, process->jump);
    } else if (__builtin_setjmp(scheduler) == 0) {
        process->begun = true;
        swapcontext(&scheduler_start, &process->start);
    }
    running = NULL;
}

static int by_key_and_time(const void *a, const void *b)
{
    const struct admission *x = a, *y = b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return x->at_ns < y->at_ns ? -1 : x->at_ns > y->at_ns;
}

// Does the admission exceed the bound, those before it in time being at [first] to [last - 1]?
static bool is_too_much(uint32_t first, uint32_t last)
{
    const struct admission *at = &admissions[last];
    uint64_t before = last - first, under_way = 1;
    switch (plan.algorithm) {
    case LIMIT_GCRA: {
        struct gcra gcra;
        gcra_init(&gcra, plan.limit, plan.limit, plan.window_ns);
        for (uint32_t i = first; i <= last; i++) {
            uint64_t in_time = (at->at_ns - admissions[i].at_ns + gcra.grace_ns) / gcra.interval_ns;
            if (last - i + 1 > plan.limit + in_time) {
                return true;
            }
        }
        return false;
    }
    case LIMIT_FIXED_WINDOW:
        return before >= plan.limit &&
               admissions[last - plan.limit].at_ns / plan.window_ns == at->at_ns / plan.window_ns;
    case LIMIT_CONCURRENCY:
        for (uint32_t i = first; i < last; i++) {
            uint64_t lease_end_ns = admissions[i].at_ns + plan.window_ns;
            under_way += admissions[i].end_ns > at->at_ns && lease_end_ns > at->at_ns;
        }
        return under_way > plan.limit;
    default:
        return before >= plan.limit &&
               at->at_ns - admissions[last - plan.limit].at_ns < plan.window_ns;
    }
}

static void check(uint64_t run_seed)
{
    qsort(admissions, n_admissions, sizeof(admissions[0]), by_key_and_time);
    uint32_t first = 0;
    for (uint32_t i = 0; i < n_admissions && admissions[i].key != UINT32_MAX; i++) {
        first = admissions[i].key == admissions[first].key ? first : i;
        cr_assert_not(is_too_much(first, i),
                      "seed %lu: limit %lu, %u keys: one too many for key %u", run_seed, plan.limit,
                      plan.keys, admissions[i].key);
    }
}

static void run(uint64_t run_seed)
{
    static struct limit_policy_set set;
    seed = run_seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    fixture_init(&f,
                 43); // one set of wide cells or three of slim ones, and the fewest overflow cells
    set.n = 0;
    fixture_policy(&set, "policy", plan.limit, plan.window_ns);
    bool is_hold = plan.algorithm == LIMIT_CONCURRENCY;
    fixture_algorithm(&set, plan.algorithm, is_hold ? plan.window_ns : plan.limit);
    if (plan.algorithm == LIMIT_SLIDING_WINDOW) { // of small limits, too
        set.policies[0].count_bits = window_count_bits(plan.limit);
        set.policies[0].identity = policy_identity(&set.policies[0]);
    }
    for (uint32_t i = 0; i < PROCESSES; i++) {
        processes[i].view = fixture_view(&f, i);
        processes[i].view->clock_ns = read_clock;
        processes[i].stack = NULL;
        processes[i].sleeps_until = 0;
    }
    cr_assert_eq(limit_publish(processes[0].view, &set, LIMIT_PUBLISH_IF_ABSENT), 0);
    asked = switches = n_admissions = 0;
    for (uint32_t i = 0; i < PROCESSES; i++) {
        begin(&processes[i]);
    }
    while (asked < plan.asks) {
        struct process *next = &processes[rnd() % PROCESSES];
        switches++;
        if (next->sleeps_until > switches) {
            continue;
        }
        pass_time();
        uint64_t dice = rnd() % 1024;
        if (dice < 2 && plan.deaths) {
            begin(next);
        } else if (dice < 12) {
            next->sleeps_until = switches + rnd() % 2000;
            continue;
        }
        let_run(next);
    }
    check(run_seed);
    for (uint32_t i = 0; i < PROCESSES; i++) {
        free(processes[i].view);
        free(processes[i].stack);
    }
    fixture_fini(&f);
}

static void runs(uint64_t first_seed, uint64_t n, enum limit_algorithm algorithm, uint64_t most)
{
    uint64_t admitted = 0;
    for (uint64_t i = first_seed; i < first_seed + n; i++) {
        seed = i * 7919 + 1;
        rnd();
        plan.algorithm = algorithm;
        plan.limit = 1 + rnd() % most;
        plan.window_ns = 64 * NS_PER_S + rnd() % (64 * NS_PER_S);
        plan.pace_ns = plan.window_ns >> (algorithm == LIMIT_RING ? 26 : 11 + rnd() % 4);
        plan.jumps = UINT64_C(256) << rnd() % 8;
        plan.asks = 3000;
        plan.keys = 1 + (uint32_t)(rnd() % (i % 3 ? KEYS_MAX / 8 : KEYS_MAX));
        plan.deaths = i % 2;
        run(i);
        admitted += n_admissions;
    }
    cr_log_info("%lu admissions in %lu runs", admitted, n);
    cr_assert_gt(admitted, n * 100);
}

Test(interleave, rings)
{
    runs(1, 150, LIMIT_RING, 4);
    runs(1000, 50, LIMIT_RING, RING_LIMIT_MAX);
}

Test(interleave, windows)
{
    runs(2000, 200, LIMIT_SLIDING_WINDOW, 4);
    runs(3000, 60, LIMIT_SLIDING_WINDOW, 40);
}

Test(interleave, gcra)
{
    runs(4000, 150, LIMIT_GCRA, 4);
    runs(5000, 50, LIMIT_GCRA, 40);
}

Test(interleave, fixed_windows)
{
    runs(6000, 150, LIMIT_FIXED_WINDOW, 4);
    runs(7000, 50, LIMIT_FIXED_WINDOW, 40);
}

Test(interleave, holds)
{
    runs(8000, 150, LIMIT_CONCURRENCY, 3);
    runs(9000, 50, LIMIT_CONCURRENCY, 8);
}

// ---- what a decision costs in memory ------------------------------------------------------------

static struct limit_view *start_alone(enum limit_algorithm algorithm, uint64_t n_cells)
{
    static struct limit_policy_set set;
    fixture_init(&f, n_cells);
    set.n = 0;
    fixture_policy(&set, "policy", 20, 64 * NS_PER_S);
    if (algorithm != LIMIT_SLIDING_WINDOW) {
        fixture_algorithm(&set, algorithm, 20);
    }
    struct limit_view *view = fixture_view(&f, 0);
    cr_assert_eq(limit_publish(view, &set, LIMIT_PUBLISH_IF_ABSENT), 0);
    return view;
}

struct lines {
    uint64_t asked, lines, beyond_two, most;
};

// Each key once.
static struct lines lines_of(struct limit_view *view, uint32_t first_key, uint64_t n)
{
    struct lines sum = {.asked = n};
    struct limit_verdict verdict;
    touched.counts = true;
    for (uint32_t key = first_key; key < first_key + n; key++) {
        touched.n = 0;
        fixture_ask(view, key, &verdict);
        sum.lines += touched.n;
        sum.beyond_two += touched.n > 2;
        sum.most = touched.n > sum.most ? touched.n : sum.most;
    }
    touched.counts = false;
    return sum;
}

static void expect_two_lines(const char *what, struct lines lines, double mean, double share)
{
    double a_decision = (double)lines.lines / (double)lines.asked;
    double beyond = (double)lines.beyond_two / (double)lines.asked;
    cr_log_info("%s: %.3f lines a decision, %.1f %% of them more than two, at most %lu", what,
                a_decision, 100 * beyond, lines.most);
    cr_expect_leq(a_decision, mean, "%s: %.3f", what, a_decision);
    cr_expect_leq(beyond, share, "%s: %.3f", what, beyond);
}

// A third line is another key's cell with the same tag; many lines are a full set's search for dead
// cells, once until the first of them can have died.
static void count_lines(enum limit_algorithm algorithm, uint32_t percent)
{
    struct limit_view *view = start_alone(algorithm, 60000);
    uint32_t cells = table_n_cells(&view->meters[0].range), keys = cells / 100 * percent;
    expect_two_lines("newcomers to a table that fills", lines_of(view, 0, keys), 2.1, 0.1);
    expect_two_lines("callers of the full table", lines_of(view, 0, keys), 2.1, 0.1);
    (void)lines_of(view, 1000000, cells); // the flood finds the last free cells
    expect_two_lines("a flood", lines_of(view, 2000000, 4 * cells), 2.2, 0.15);
    expect_two_lines("callers in the flood", lines_of(view, 0, keys), 2.1, 0.1);
    free(view);
    fixture_fini(&f);
}

Test(lines, two_of_wide_cells)
{
    count_lines(LIMIT_SLIDING_WINDOW, 74);
}

Test(lines, two_of_slim_cells)
{
    count_lines(LIMIT_FIXED_WINDOW, 74);
}
