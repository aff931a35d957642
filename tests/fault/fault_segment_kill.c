// 1 000 times SIGKILL of a writer at a random moment on the segment: while it creates, takes its
// slot, registers, counts, or leaves. After each, every reader finds the segment valid, not one
// count is lost, and the next writer goes on where the dead one stopped.
#include "fault_check.h"
#include "metric/exposition.h"
#include "metric/metric.h"

#define KILLS        1000
#define CREATIONS    300 // of them on a segment that the writer has to create itself
#define N_INSTANCES  3
#define MAX_DELAY_NS 150000

enum stage { BEFORE, OPENING, ACQUIRING, REGISTERING, COUNTING, LEAVING, N_STAGES };

static const char *const stage_names[] = {"before",      "opening",  "acquiring",
                                          "registering", "counting", "leaving"};

struct report {
    _Atomic unsigned stage;        // of the writer
    _Atomic uint64_t begun, ended; // counts of the writer: before and after each
    _Atomic unsigned bystander_ready;
    unsigned killed_at[N_STAGES];
};

static struct report *report;

static const double bounds[] = {0.001, 0.01, 0.1};
static const struct metric_def counted = {.kind = METRIC_COUNTER,
                                          .name = "valvechain_test_counted_total",
                                          .unit = "",
                                          .labels = "worker",
                                          .help = "Counted"};
static const struct metric_def level = {.kind = METRIC_GAUGE,
                                        .name = "valvechain_test_level",
                                        .unit = "",
                                        .labels = "",
                                        .help = "Level"};
static const struct metric_def duration = {.kind = METRIC_HISTOGRAM,
                                           .name = "valvechain_test_seconds",
                                           .unit = "seconds",
                                           .labels = "worker",
                                           .help = "Duration",
                                           .bounds = bounds,
                                           .n_bounds = 3,
                                           .scale = 1e-9};

static int open_segment(bool read_only, struct segment **ret_segment)
{
    char reason[SEGMENT_REASON_MAX];
    const struct segment_section_spec specs[] = {slot_section_spec(), slot_values_section_spec()};
    const struct segment_options options = {
        .dir = fault_dir, .name = "vc", .sections = specs, .n_sections = 2, .read_only = read_only};
    int r = segment_open(&options, reason, ret_segment);
    CHECK(r == 0 || (read_only && r == -ENOENT), "%d: %s", r, reason);
    return r;
}

static void live_once(const char *instance, bool first_life)
{
    struct segment *segment;
    struct slot *slot;
    struct metric_set *set;
    const char *const worker[] = {instance};
    atomic_store(&report->stage, first_life ? OPENING : LEAVING);
    open_segment(false, &segment);
    atomic_store(&report->stage, ACQUIRING);
    CHECK(slot_acquire(segment, "writer", instance, &slot) == 0, "no slot");
    CHECK(metric_set_open(slot, &set) == 0, "no set");
    atomic_store(&report->stage, REGISTERING);
    metric_id counter = metric_register(set, &counted, worker);
    metric_id gauge = metric_register(set, &level, NULL);
    metric_id histogram = metric_register(set, &duration, worker);
    CHECK(counter && gauge && histogram, "no room");
    atomic_store(&report->stage, COUNTING);
    for (unsigned i = 0; i < 20000; i++) {
        atomic_fetch_add(&report->begun, 1);
        metric_add(set, counter, 1);
        atomic_fetch_add(&report->ended, 1);
        metric_observe(set, histogram, i * 10000);
        metric_gauge(set, gauge, i);
    }
    atomic_store(&report->stage, LEAVING);
    metric_set_close(&set);
    slot_release(&slot);
    segment_close(&segment);
}

static pid_t spawn_writer(unsigned instance)
{
    char text[8];
    snprintf(text, sizeof(text), "%u", instance);
    atomic_store(&report->stage, BEFORE);
    atomic_store(&report->begun, 0);
    atomic_store(&report->ended, 0);
    pid_t pid = fault_fork();
    if (pid == 0) {
        for (bool first = true;; first = false)
            live_once(text, first);
    }
    return pid;
}

static void kill_at_random(pid_t pid)
{
    fault_wait_word(&report->stage, (unsigned)fault_random(N_STAGES - 1));
    fault_pass_time(fault_random(MAX_DELAY_NS));
    fault_kill(pid);
    report->killed_at[atomic_load(&report->stage)]++;
}

// ---- what must hold after each death ------------------------------------------------------------

static void check_exposition(const struct segment *segment)
{
    struct strbuf out = STRBUF_INIT;
    CHECK(exposition_write(segment, EXPOSITION_TEXT, NULL, 0, &out) == 0, "no memory");
    for (char *line = out.text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        CHECK(next, "last line without end: %s", line);
        *next++ = 0;
        char *value = strrchr(line, ' '), *end;
        CHECK(value, "%s", line);
        if (line[0] == '#')
            continue;
        (void)strtod(value + 1, &end);
        CHECK(end != value + 1 && *end == 0 && strncmp(line, "valvechain_", 11) == 0, "%s", line);
    }
    strbuf_fini(&out);
}

static void ignore_series(void *arg, const struct slot_info *slot,
                          const struct metric_series *series)
{
    (void)arg;
    (void)slot;
    CHECK(series->name[0] != 0, "a series without name");
}

static void check_slots(const struct segment *segment)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct slot_info info;
        if (!slot_read(segment, i, &info))
            continue;
        bool bystander = strcmp(info.name, "bystander") == 0;
        CHECK(bystander || strcmp(info.name, "writer") == 0, "slot %u is of '%s'", i, info.name);
        CHECK(bystander || strlen(info.instance) == 1, "slot %u has instance '%s'", i,
              info.instance);
        CHECK(info.alive == bystander, "slot %u of %s: alive %d", i, info.name, info.alive);
        CHECK(i <= N_INSTANCES, "slot %u taken though the dead ones' are free", i);
    }
}

// Reads as valvectl and the metrics-agent do. Returns the sum of all counts.
static uint64_t check_as_reader(void)
{
    struct segment *segment;
    double total = 0;
    if (open_segment(true, &segment) == -ENOENT)
        return 0; // killed before it had created anything
    check_slots(segment);
    CHECK(metric_walk(segment, ignore_series, NULL) == 0, "a catalogue is damaged");
    check_exposition(segment);
    (void)metric_lookup(segment, counted.name, NULL, &total);
    segment_close(&segment);
    return (uint64_t)total;
}

static uint64_t check_count(uint64_t before)
{
    uint64_t total = check_as_reader();
    uint64_t begun = atomic_load(&report->begun), ended = atomic_load(&report->ended);
    CHECK(total >= before + ended && total <= before + begun,
          "%llu counted, expected %llu + %llu to %llu", (unsigned long long)total,
          (unsigned long long)before, (unsigned long long)ended, (unsigned long long)begun);
    return total;
}

static void check_as_next_writer(unsigned instance, uint64_t total)
{
    struct segment *segment;
    struct slot *slot;
    struct metric_set *set;
    char text[8];
    const char *const worker[] = {text};
    double value;
    snprintf(text, sizeof(text), "%u", instance);
    open_segment(false, &segment);
    CHECK(slot_acquire(segment, "writer", text, &slot) == 0, "no slot");
    CHECK(metric_set_open(slot, &set) == 0, "no set");
    CHECK(metric_register(set, &counted, worker) != 0, "no room");
    CHECK(metric_lookup(segment, counted.name, NULL, &value), "not registered");
    CHECK((uint64_t)value == total, "%g after adoption, %llu before", value,
          (unsigned long long)total);
    CHECK(metric_lookup(segment, "valvechain_metric_series_dropped_total", NULL, &value), "none");
    CHECK((uint64_t)value == 0, "%g series dropped", value);
    metric_set_close(&set);
    slot_release(&slot);
    segment_close(&segment);
}

// ---- the two runs -------------------------------------------------------------------------------

static pid_t spawn_bystander(void)
{
    pid_t pid = fault_fork();
    if (pid == 0) {
        struct segment *segment;
        struct slot *slot;
        open_segment(false, &segment);
        CHECK(slot_acquire(segment, "bystander", "", &slot) == 0, "no slot");
        atomic_store(&report->bystander_ready, 1);
        for (;;)
            pause();
    }
    fault_wait_word(&report->bystander_ready, 1);
    return pid;
}

static void run_on_standing_segment(int kills)
{
    pid_t bystander = spawn_bystander();
    uint64_t total = 0;
    for (int i = 0; i < kills; i++) {
        unsigned instance = (unsigned)fault_random(N_INSTANCES);
        kill_at_random(spawn_writer(instance));
        total = check_count(total);
        check_as_next_writer(instance, total);
    }
    CHECK(segment_unlink(fault_dir, "vc") == -EBUSY, "removed under the bystander");
    fault_kill(bystander);
    printf("%d kills on a standing segment, %llu counts, none lost\n", kills,
           (unsigned long long)total);
}

static void run_on_absent_segment(int kills)
{
    for (int i = 0; i < kills; i++) {
        CHECK(segment_unlink(fault_dir, "vc") == 0, "cannot be removed");
        kill_at_random(spawn_writer(0));
        check_as_next_writer(0, check_count(0));
    }
    CHECK(segment_unlink(fault_dir, "vc") == 0, "cannot be removed");
    printf("%d kills around the creation\n", kills);
}

int main(void)
{
    fault_begin();
    report = fault_shared(sizeof(*report));
    run_on_standing_segment(KILLS - CREATIONS);
    run_on_absent_segment(CREATIONS);
    for (int i = 0; i < N_STAGES; i++) {
        printf("killed while %s: %u\n", stage_names[i], report->killed_at[i]);
        CHECK(report->killed_at[i] > 0, "never killed while %s", stage_names[i]);
    }
    fault_clear_dir();
    return 0;
}
