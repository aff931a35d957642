#include "outbox.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "breaker_metrics.h"
#include "outbox_internal.h"
#include "service/lanes.h"

#define TICK_MS         20
#define SECOND_MS       1000
#define DRAIN_NS        (5 * NS_PER_S) // attempts under way may end
#define DEAD_PER_SWEEP  256
#define HEAP_KEPT_BYTES (1 << 20)

// ---- where ----------------------------------------------------------------------------------

static bool try_dir(struct outbox *outbox, const char *dir)
{
    int len = snprintf(outbox->path, sizeof(outbox->path), "%s/outbox.db", dir);
    return dir[0] == '/' && access(dir, W_OK | X_OK) == 0 && len > 0 &&
           (size_t)len < sizeof(outbox->path) - 64;
}

static bool make_dirs(char *dir)
{
    for (char *slash = strchr(dir + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool there = mkdir(dir, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!there)
            return false;
    }
    return mkdir(dir, 0700) == 0 || errno == EEXIST;
}

static bool try_home(struct outbox *outbox, bool make)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    const char *name = outbox->service->suite->name;
    char dir[OUTBOX_PATH_MAX];
    if (state != NULL && state[0] == '/')
        snprintf(dir, sizeof(dir), "%s/%s", state, name);
    else if (home != NULL && home[0] == '/')
        snprintf(dir, sizeof(dir), "%s/.local/state/%s", home, name);
    else
        return false;
    return (!make || make_dirs(dir)) && try_dir(outbox, dir);
}

static bool choose_path(struct outbox *outbox, bool make)
{
    const char *given = outbox->params->outbox_path, *state = getenv("STATE_DIRECTORY");
    char dir[OUTBOX_PATH_MAX];
    if (given[0] != '\0') {
        snprintf(outbox->path, sizeof(outbox->path), "%s", given);
        return true;
    }
    if (state != NULL) {
        snprintf(dir, sizeof(dir), "%.*s", (int)strcspn(state, ":"), state);
        if (try_dir(outbox, dir))
            return true;
    }
    snprintf(dir, sizeof(dir), "/var/lib/%s", outbox->service->suite->name);
    return try_dir(outbox, dir) || try_home(outbox, make);
}

static void set_notice(struct outbox *outbox, const char *text)
{
    if (strcmp(outbox->notice, text) == 0)
        return;
    snprintf(outbox->notice, sizeof(outbox->notice), "%s", text);
    service_set_finding(outbox->service, outbox->notice);
}

// A folder may be made by hand later: it is looked for with each operation, and told of once.
static void report_nowhere(struct outbox *outbox)
{
    static const char text[] = "the outbox has no folder that can be written: nothing is kept; set "
                               "OUTBOX_PATH, or make the folder /var/lib/NAME";
    if (strcmp(outbox->notice, text) != 0)
        log_error("outbox.nowhere", text, LSTR("name", outbox->service->suite->name));
    set_notice(outbox, text);
}

// Folders are made only when there is something to keep.
int outbox_prepare(struct outbox *outbox, bool make)
{
    if (outbox->path[0] != '\0')
        return 0;
    if (!choose_path(outbox, make)) {
        outbox->path[0] = '\0';
        if (make)
            report_nowhere(outbox);
        return -ENOENT;
    }
    outbox_uploads_init(&outbox->uploads, outbox->path, outbox->params->outbox_max_body_bytes);
    return 0;
}

bool outbox_exists(const struct outbox *outbox)
{
    char mark[OUTBOX_PATH_MAX + 8];
    snprintf(mark, sizeof(mark), "%s.mark", outbox->path);
    // The mark alone: the database is missing, which must be told.
    return outbox->journal.is_open ||
           (outbox->path[0] != '\0' &&
            (access(outbox->path, F_OK) == 0 || access(mark, F_OK) == 0));
}

// ---- upstreams ------------------------------------------------------------------------------

const struct config_upstream *outbox_config(const struct outbox *outbox, const char *name)
{
    const struct config_model *model = outbox->service->model;
    for (size_t i = 0; i < model->n_upstreams; i++)
        if (strcmp(model->upstreams[i].name, name) == 0)
            return &model->upstreams[i];
    return NULL;
}

static metric_id reg(struct outbox *outbox, int def, const char *first, const char *second)
{
    const char *labels[] = {first, second};
    return metric_register(outbox->service->metrics, &breaker_metric_defs[def], labels);
}

static void register_upstream(struct outbox *outbox, struct outbox_upstream *upstream)
{
    for (int state = 0; state < OUTBOX_STATES; state++) {
        const char *name = outbox_state_names[state];
        if (state != OUTBOX_DONE && state != OUTBOX_DISCARDED)
            upstream->operations[state] =
                reg(outbox, METRIC_INDEX_outbox_operations, upstream->name, name);
        if (state != OUTBOX_SENDING && state != OUTBOX_DISCARDED)
            upstream->results[state] =
                reg(outbox, METRIC_INDEX_outbox_attempts, upstream->name, name);
    }
    upstream->bytes = reg(outbox, METRIC_INDEX_outbox_bytes, upstream->name, NULL);
    upstream->age = reg(outbox, METRIC_INDEX_outbox_age, upstream->name, NULL);
    upstream->rate = reg(outbox, METRIC_INDEX_outbox_rate, upstream->name, NULL);
    upstream->accepted = reg(outbox, METRIC_INDEX_outbox_accepted, upstream->name, NULL);
    upstream->repeats = reg(outbox, METRIC_INDEX_outbox_repeats, upstream->name, NULL);
    upstream->dead = reg(outbox, METRIC_INDEX_outbox_dead, upstream->name, NULL);
}

struct outbox_upstream *outbox_upstream(struct outbox *outbox, const char *name)
{
    for (size_t i = 0; i < outbox->n_upstreams; i++)
        if (strcmp(outbox->upstreams[i].name, name) == 0)
            return &outbox->upstreams[i];
    if (outbox->n_upstreams == CONFIG_UPSTREAMS_MAX)
        return NULL;
    struct outbox_upstream *upstream = &outbox->upstreams[outbox->n_upstreams++];
    snprintf(upstream->name, sizeof(upstream->name), "%s", name);
    upstream->filled_ns = clock_mono_ns();
    register_upstream(outbox, upstream);
    return upstream;
}

uint32_t outbox_random(struct outbox *outbox)
{
    // splitmix64 (Steele, Lea, Flood 2014): jitter and lots, nothing secret.
    uint64_t x = outbox->random += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return (uint32_t)((x ^ (x >> 31)) >> 32);
}

// ---- figures, events ------------------------------------------------------------------------

void outbox_count_refusal(struct outbox *outbox, enum outbox_refusal reason)
{
    metric_add(outbox->service->metrics, outbox->refused[reason], 1);
}

void outbox_publish_end(struct outbox *outbox, const Valvechain__V1__OutboxOperation *operation)
{
    Valvechain__V1__OutboxOperation event = *operation;
    Valvechain__V1__Origin origin = VALVECHAIN__V1__ORIGIN__INIT;
    char topic[sizeof("outbox.event.") + OUTBOX_NAME_MAX];
    struct outbox_upstream *upstream = outbox_upstream(outbox, operation->upstream);
    bus_origin(outbox->service->bus, &origin);
    event.origin = &origin;
    event.status = 200;
    snprintf(topic, sizeof(topic), "outbox.event.%.23s", operation->upstream);
    (void)bus_publish(outbox->service->bus, topic, &event.base); // the bus counts a drop
    if (upstream != NULL)
        metric_add(outbox->service->metrics, upstream->dead, 1);
    log_warn("outbox.undelivered", "an operation will not be delivered by itself any more",
             LSTR("id", event.id), LSTR("upstream", event.upstream), LSTR("state", event.state),
             LUINT("attempts", event.attempts), LSTR("error", event.last_error));
}

static void update_gauges(struct outbox *outbox)
{
    const struct outbox_journal_view *view = &outbox->journal.view;
    struct metric_set *set = outbox->service->metrics;
    uint64_t now_ms = outbox_now_ms();
    for (size_t i = 0; i < view->totals.n; i++) {
        const struct outbox_figures *figures = &view->totals.upstreams[i];
        struct outbox_upstream *upstream = outbox_upstream(outbox, figures->upstream);
        uint64_t bytes = 0, oldest_ms = view->next[i].oldest_ms;
        if (upstream == NULL)
            continue;
        for (int state = 0; state < OUTBOX_STATES; state++) {
            if (state == OUTBOX_DONE || state == OUTBOX_DISCARDED)
                continue;
            metric_gauge(set, upstream->operations[state], (double)figures->items[state]);
            bytes += figures->bytes[state];
        }
        metric_gauge(set, upstream->bytes, (double)bytes);
        metric_gauge(set, upstream->age,
                     oldest_ms < now_ms ? (double)(now_ms - oldest_ms) / 1000 : 0);
    }
    metric_add(set, outbox->commits, outbox->journal.n_commits - outbox->seen_commits);
    metric_add(set, outbox->commit_failures, outbox->journal.n_failed - outbox->seen_failures);
    outbox->seen_commits = outbox->journal.n_commits;
    outbox->seen_failures = outbox->journal.n_failed;
}

// ---- what a batch brings --------------------------------------------------------------------

static void report_damage(struct outbox *outbox, const struct outbox_damage *damage)
{
    char text[256];
    metric_add(outbox->service->metrics, outbox->damaged, 1);
    log_error(
        "outbox.damaged",
        "the outbox's database is damaged; it was set aside, and what could be read of it goes "
        "on in a new one",
        LSTR("path", outbox->path), LSTR("set_aside", damage->aside), LSTR("why", damage->why),
        LUINT("operations_saved", damage->saved), LUINT("operations_unreadable", damage->lost));
    snprintf(text, sizeof(text),
             "a damaged outbox was set aside as %.120s: %llu operations were saved; look at it, "
             "then remove it and restart",
             damage->aside, (unsigned long long)damage->saved);
    set_notice(outbox, text);
}

static void add_lane(void *arg, int64_t lane)
{
    uint32_t *counts = arg;
    counts[lanes_counter(lane)]++;
}

// The batch is over and the next not begun: the store is the loop's to read.
static void count_lanes(struct outbox *outbox)
{
    static uint32_t counts[LANES_COUNTERS]; // large for a stack; the loop's
    memset(counts, 0, sizeof(counts));
    if (outbox_store_lanes(&outbox->journal.store, add_lane, counts) == 0)
        lanes_replace(outbox->service->segment, counts);
}

// A reload may take an upstream away whose operations wait: they wait on, until it is back or their
// age ends them. Somebody should know.
static void report_homeless(const struct outbox *outbox)
{
    const struct outbox_totals *totals = &outbox->journal.view.totals;
    for (size_t i = 0; i < totals->n; i++) {
        const struct outbox_figures *figures = &totals->upstreams[i];
        uint64_t waiting = figures->items[OUTBOX_QUEUED] + figures->items[OUTBOX_SENDING];
        if (waiting > 0 && outbox_config(outbox, figures->upstream) == NULL)
            log_warn(
                "outbox.no_upstream",
                "operations wait for an upstream that the configuration does not have any more",
                LSTR("upstream", figures->upstream), LUINT("operations", waiting));
    }
}

static void on_opened(struct outbox *outbox)
{
    struct outbox_journal *journal = &outbox->journal;
    char text[256];
    if (journal->damage.found) // also when what comes after it failed
        report_damage(outbox, &journal->damage);
    if (!journal->is_open) {
        snprintf(text, sizeof(text), "the outbox %.150s cannot be opened: %s", outbox->path,
                 journal->open_error == -EBUSY ? "another process holds it"
                                               : strerror(-journal->open_error));
        if (strcmp(text, outbox->notice) != 0)
            log_error("outbox.unavailable", text, LSTR("path", outbox->path));
        set_notice(outbox, text);
        return;
    }
    if (!journal->damage.found)
        set_notice(outbox, "");
    count_lanes(outbox);
    log_info("outbox.opened", "the outbox is open", LSTR("path", outbox->path),
             LUINT("upstreams", journal->view.totals.n));
    report_homeless(outbox);
}

static bool is_anything_waiting(const struct outbox *outbox)
{
    const struct outbox_totals *totals = &outbox->journal.view.totals;
    for (size_t i = 0; i < totals->n; i++)
        if (totals->upstreams[i].items[OUTBOX_QUEUED] > 0)
            return true;
    return outbox->flights != NULL;
}

static void on_tick(uv_timer_t *timer)
{
    struct outbox *outbox = timer->data;
    outbox_replay(outbox);
    if (!is_anything_waiting(outbox))
        uv_timer_stop(timer);
}

// Before the jobs of the batch are answered: whoever hears that an operation is kept must find its
// lane waiting.
static void on_batch(void *arg)
{
    struct outbox *outbox = arg;
    struct outbox_journal *journal = &outbox->journal;
    if (journal->opened)
        on_opened(outbox);
    else if (journal->is_open)
        for (size_t i = 0; i < journal->store.n_lane_changes; i++)
            lanes_add(outbox->service->segment, journal->store.lane_changes[i].lane,
                      journal->store.lane_changes[i].change);
    update_gauges(outbox);
    if (!outbox->stopping && is_anything_waiting(outbox) &&
        !uv_is_active((uv_handle_t *)&outbox->tick))
        uv_timer_start(&outbox->tick, on_tick, TICK_MS, TICK_MS);
}

// ---- the second -----------------------------------------------------------------------------

struct sweep {
    struct outbox_job job;
    struct outbox *outbox;
    struct outbox_store *store;
    Valvechain__V1__OutboxOperation *dead[DEAD_PER_SWEEP];
    size_t n_dead;
};

static void note_dead(void *arg, int64_t seq)
{
    struct sweep *sweep = arg;
    Valvechain__V1__OutboxOperation *operation = malloc(sizeof(*operation));
    if (operation == NULL || sweep->n_dead == DEAD_PER_SWEEP) {
        free(operation); // the figures tell of it all the same
        return;
    }
    valvechain__v1__outbox_operation__init(operation);
    (void)outbox_store_view(sweep->store, seq, operation);
    sweep->dead[sweep->n_dead++] = operation;
}

static int run_sweep(struct outbox_job *job, struct outbox_store *store, uint64_t now_ms)
{
    struct sweep *sweep = (struct sweep *)job;
    sweep->store = store;
    return outbox_store_sweep(store, now_ms, note_dead, sweep);
}

static void swept(struct outbox_job *job, int error)
{
    struct sweep *sweep = (struct sweep *)job;
    sweep->outbox->sweeping = false;
    for (size_t i = 0; i < sweep->n_dead; i++) {
        if (error == 0 && sweep->dead[i]->status == 200)
            outbox_publish_end(sweep->outbox, sweep->dead[i]);
        protobuf_c_message_free_unpacked(&sweep->dead[i]->base, NULL);
    }
    free(sweep);
}

static void start_sweep(struct outbox *outbox)
{
    struct sweep *sweep = outbox->sweeping ? NULL : calloc(1, sizeof(*sweep));
    if (sweep == NULL)
        return;
    sweep->outbox = outbox;
    sweep->job.run = run_sweep;
    sweep->job.done = swept;
    outbox->sweeping = true;
    outbox_journal_add(&outbox->journal, &sweep->job);
}

static void end_drain(struct outbox *outbox)
{
    void (*on_drained)(void *) = outbox->on_drained;
    bool idle = outbox->flights == NULL && !outbox->journal.busy;
    if (on_drained == NULL || (!idle && clock_mono_ns() < outbox->stop_by_ns))
        return;
    outbox->on_drained = NULL;
    on_drained(outbox->drained_arg);
}

static void on_second(uv_timer_t *timer)
{
    struct outbox *outbox = timer->data;
    end_drain(outbox);
    outbox_replay_second(outbox);
    outbox_uploads_expire(&outbox->uploads, outbox_now_ms());
    if (!outbox->stopping && outbox_exists(outbox))
        start_sweep(outbox); // also opens what could not be opened
    update_gauges(outbox);
}

// ---- life -----------------------------------------------------------------------------------

static void register_figures(struct outbox *outbox)
{
    static const char *const reasons[OUTBOX_REFUSALS] = {"full",      "conflict", "reused",
                                                         "too_large", "storage",  "bad"};
    for (int i = 0; i < OUTBOX_REFUSALS; i++)
        outbox->refused[i] = reg(outbox, METRIC_INDEX_outbox_refused, reasons[i], NULL);
    outbox->commits = reg(outbox, METRIC_INDEX_outbox_commits, NULL, NULL);
    outbox->commit_failures = reg(outbox, METRIC_INDEX_outbox_commit_failures, NULL, NULL);
    outbox->damaged = reg(outbox, METRIC_INDEX_outbox_damaged, NULL, NULL);
}

static void start_timers(struct outbox *outbox)
{
    uv_timer_init(outbox->service->loop, &outbox->tick);
    uv_timer_init(outbox->service->loop, &outbox->second);
    outbox->tick.data = outbox->second.data = outbox;
    outbox->n_open_timers = 2;
    uv_timer_start(&outbox->second, on_second, 0, SECOND_MS);
}

int outbox_create(struct service *service, struct breaker_view *breakers,
                  const struct breaker_params *params, const struct breakers_params *defaults,
                  struct outbox **ret_outbox)
{
    struct outbox *outbox = calloc(1, sizeof(*outbox));
    if (outbox == NULL)
        return -ENOMEM;
    outbox->service = service;
    outbox->breakers = breakers;
    outbox->params = params;
    outbox->defaults = defaults;
    outbox->random = clock_wall_ns();
    // The messages of a batch come and go together: without this each gives the heap's end back.
    mallopt(M_TOP_PAD, HEAP_KEPT_BYTES / 4);
    mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
    int rc = curl_loop_create(service->loop, &outbox->sender);
    if (rc == 0 && (rc = smtp_sender_create(service->loop, &outbox->mailer)) < 0)
        curl_loop_destroy(&outbox->sender);
    if (rc < 0) {
        free(outbox);
        return rc;
    }
    const struct outbox_limits limits = {.max_items = params->outbox_max_items,
                                         .max_bytes = params->outbox_max_bytes,
                                         .max_age_ms = params->outbox_max_age_ms,
                                         .keep_ms = params->outbox_keep_ms,
                                         .born_ms = outbox_now_ms()};
    (void)outbox_prepare(outbox, false); // else with the first operation
    outbox_journal_init(&outbox->journal, service->loop, outbox->path, &limits);
    outbox->journal.on_batch = on_batch;
    outbox->journal.arg = outbox;
    register_figures(outbox);
    start_timers(outbox);
    *ret_outbox = outbox;
    return 0;
}

void outbox_reload(struct outbox *outbox, const struct breaker_params *params,
                   const struct breakers_params *defaults)
{
    outbox->params = params;
    outbox->defaults = defaults;
    report_homeless(outbox);
}

void outbox_drain(struct outbox *outbox, void (*on_drained)(void *arg), void *arg)
{
    outbox->stopping = true;
    outbox->on_drained = on_drained;
    outbox->drained_arg = arg;
    outbox->stop_by_ns = clock_mono_ns() + DRAIN_NS;
    uv_timer_start(&outbox->second, on_second, 0, TICK_MS);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct outbox *outbox = handle->data;
    if (--outbox->n_open_timers == 0)
        free(outbox);
}

void outbox_destroy(struct outbox **outbox_p)
{
    struct outbox *outbox = *outbox_p;
    *outbox_p = NULL;
    if (outbox == NULL)
        return;
    outbox->stopping = true;
    uv_timer_stop(&outbox->tick);
    uv_timer_stop(&outbox->second);
    outbox_replay_abandon(outbox);
    outbox_journal_close(&outbox->journal);
    outbox_uploads_fini(&outbox->uploads);
    uv_close((uv_handle_t *)&outbox->tick, on_timer_closed);
    uv_close((uv_handle_t *)&outbox->second, on_timer_closed);
}
