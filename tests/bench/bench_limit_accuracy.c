// What an algorithm admits of what an exact log of time stamps would: one key, virtual time, a
// window of 60 s, loads from half the limit to three times. Traffic: Poisson arrivals; bursts of 5
// s and silences of 25 s in the mean, both exponential; or exactly 5 s in every 30, in step with
// the window, which is the worst for sub-buckets. CSV: one line a measurement; `share` is
// admissions against the log's, `most` the most in one trailing window against the limit.
// Arguments: --windows N, --limit N (one limit in place of 13, 100, 1 000 and 10 000).
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "limit/policy.h"
#include "limit/view.h"

#define WINDOW_NS    (60 * NS_PER_S)
#define BURST_NS     (5 * NS_PER_S)
#define PERIOD_NS    (30 * NS_PER_S)
#define TABLE_CELLS  256
#define ARRIVALS_MAX 3000000 // of one measurement

struct log { // the admissions of the last window
    uint64_t *at;
    uint64_t n, first, most;
};

static uint64_t now_ns, seed;
static struct cell *cells;
static struct policy_store *store;

static void require(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "bench_limit_accuracy: %s\n", what);
        exit(1);
    }
}

static void *zeroed(size_t bytes)
{
    bytes = (bytes + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes);
    require(memory != NULL, "not enough memory");
    memset(memory, 0, bytes);
    return memory;
}

static uint64_t virtual_clock(void *arg)
{
    (void)arg;
    return now_ns;
}

static double rnd_exp(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return -log(((double)(seed >> 11) + 1) / 9007199254740993.0);
}

enum traffic { POISSON, BURSTY, PERIODIC };
static const char *const traffic_names[] = {"poisson", "bursty", "periodic"};
static uint64_t burst_end_ns;

// The next arrival. In bursts the same mean is squeezed into a sixth of the time.
static uint64_t next_arrival(uint64_t at_ns, double mean_ns, enum traffic traffic)
{
    double gap_ns = rnd_exp() * mean_ns;
    if (traffic == POISSON) {
        return at_ns + (uint64_t)gap_ns + 1;
    }
    at_ns += (uint64_t)(gap_ns * BURST_NS / PERIOD_NS) + 1;
    while (at_ns >= burst_end_ns) { // what is over the end belongs to the next burst
        bool is_random = traffic == BURSTY;
        double silence_ns = (double)(PERIOD_NS - BURST_NS) * (is_random ? rnd_exp() : 1);
        double burst_ns = (double)BURST_NS * (is_random ? rnd_exp() : 1);
        at_ns += (uint64_t)silence_ns;
        burst_end_ns += (uint64_t)silence_ns + (uint64_t)burst_ns + 1;
    }
    return at_ns;
}

static uint64_t live(struct log *log)
{
    while (log->first < log->n && log->at[log->first] + WINDOW_NS <= now_ns) {
        log->first++;
    }
    return log->n - log->first;
}

static void add(struct log *log)
{
    log->at[log->n++] = now_ns;
    uint64_t in_window = live(log);
    log->most = in_window > log->most ? in_window : log->most;
}

static struct limit_view *open_view(enum limit_algorithm algorithm, uint64_t limit)
{
    static struct limit_policy_set set;
    static const uint8_t hash_key[SEGMENT_KEY_BYTES] = {1};
    struct limit_policy *policy = &set.policies[0];
    set.n = 1;
    *policy = (struct limit_policy){.name = "accuracy",
                                    .algorithm = algorithm,
                                    .methods = HTTP_ANY,
                                    .key_parts = LIMIT_KEY_CLIENT,
                                    .limit = limit,
                                    .limit_max = limit,
                                    .burst = limit,
                                    .window_ns = WINDOW_NS,
                                    .weight = 1};
    require(policy_finish(policy), "no such policy");
    memset(cells, 0, TABLE_CELLS * sizeof(*cells));
    memset(store, 0, policy_store_bytes());
    struct policy_actor actor = {.slot = 0, .generation = 1};
    struct limit_view *view = zeroed(sizeof(*view));
    require(view_init(view, cells, TABLE_CELLS, store, &actor, hash_key) == 0, "no view");
    view->clock_ns = virtual_clock;
    require(limit_publish(view, &set, LIMIT_PUBLISH_IF_ABSENT) == 0, "not published");
    return view;
}

static void measure(enum limit_algorithm algorithm, uint64_t limit, enum traffic traffic,
                    double load, uint64_t windows)
{
    struct limit_facts facts = {
        .client = {.family = 4}, .path = "/", .path_len = 1, .method = HTTP_GET, .cost = 1};
    struct limit_verdict verdict;
    struct log exact = {.at = zeroed(ARRIVALS_MAX * 8)}, ours = {.at = zeroed(ARRIVALS_MAX * 8)};
    double mean_ns = (double)WINDOW_NS / (double)limit / load;
    uint64_t arrivals = 0, most = (uint64_t)((double)(windows * limit) * load);
    seed = 88172645463325252ULL;
    now_ns = burst_end_ns = 1000 * PERIOD_NS;
    struct limit_view *view = open_view(algorithm, limit);
    for (most = most < ARRIVALS_MAX ? most : ARRIVALS_MAX; arrivals < most; arrivals++) {
        now_ns = next_arrival(now_ns, mean_ns, traffic);
        if (live(&exact) < limit) {
            add(&exact);
        }
        limit_decide(view, &facts, &verdict);
        if (verdict.admitted) {
            add(&ours);
        }
    }
    printf("accuracy,%s,%s,limit=%lu,load=%.1f,share=%.4f,most=%.3f\n",
           limit_algorithm_names[algorithm], traffic_names[traffic], (unsigned long)limit, load,
           (double)ours.n / (double)exact.n, (double)ours.most / (double)limit);
    free(view);
    free(exact.at);
    free(ours.at);
}

static uint64_t option(const char *name, const char *text, uint64_t min, uint64_t max)
{
    uint64_t value = 0;
    if (!text || parse_u64(text, min, max, &value) < 0) {
        fprintf(stderr, "bench_limit_accuracy: %s %s: allowed is %lu to %lu\n", name,
                text ? text : "", (unsigned long)min, (unsigned long)max);
        exit(1);
    }
    return value;
}

int main(int argc, char **argv)
{
    static const uint64_t limits[] = {13, 100, 1000, 10000};
    static const double loads[] = {0.5, 1, 1.5, 3};
    static const enum limit_algorithm algorithms[] = {LIMIT_SLIDING_WINDOW, LIMIT_FIXED_WINDOW,
                                                      LIMIT_GCRA};
    uint64_t windows = 300, only = 0;
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--windows") == 0) {
            windows = option(argv[i], argv[i + 1], 10, 100000);
        } else if (strcmp(argv[i], "--limit") == 0) {
            only = option(argv[i], argv[i + 1], 1, 65535);
        } else {
            require(false, "the options are --windows N and --limit N");
        }
    }
    cells = zeroed(TABLE_CELLS * sizeof(*cells));
    store = zeroed(policy_store_bytes());
    for (size_t a = 0; a < 3; a++) {
        for (size_t i = 0; i < (only ? 12 : 48); i++) {
            uint64_t limit = only ? only : limits[i / 12];
            measure(algorithms[a], limit, i / 4 % 3, loads[i % 4], windows);
        }
    }
    return 0;
}
