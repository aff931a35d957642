#include "outbox_journal.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "net/pool.h"

#define BATCH_MAX     512
#define OPEN_RETRY_MS 1000
#define LOG_PAGES     2048  // are written back (8 MiB)
#define LOG_PAGES_MAX 16384 // commits wait for that (64 MiB): it does not keep up otherwise
#define REST_PAGES    256   // written back between two commits

uint64_t outbox_now_ms(void)
{
    return clock_wall_ns() / NS_PER_MS;
}

void outbox_journal_init(struct outbox_journal *journal, uv_loop_t *loop, const char *path,
                         const struct outbox_limits *limits)
{
    *journal = (struct outbox_journal){.loop = loop, .path = path, .limits = *limits};
    journal->end = &journal->first;
    journal->work.data = journal->behind_work.data = journal;
    int rc = uv_mutex_init(&journal->behind);
    ASSERT(rc == 0); // it fails for want of memory only where mutexes are no plain memory
}

const struct outbox_next *outbox_journal_next(const struct outbox_journal *journal,
                                              const char *upstream)
{
    for (size_t i = 0; i < journal->view.n_next; i++)
        if (strcmp(journal->view.next[i].upstream, upstream) == 0)
            return &journal->view.next[i];
    return NULL;
}

// ---- in the pool's thread -------------------------------------------------------------------

static bool is_storage_error(int error)
{
    return error < 0 && error != -ENOENT && error != -ENODATA && error != -EPERM;
}

static int open_store(struct outbox_journal *journal, uint64_t now_ms)
{
    if (journal->is_open)
        return 0;
    if (journal->open_error < 0 && now_ms < journal->retry_ms)
        return journal->open_error;
    journal->opened = true;
    uv_mutex_lock(&journal->behind);
    journal->open_error = outbox_store_open(&journal->store, journal->path, &journal->limits,
                                            now_ms, &journal->damage);
    journal->is_open = journal->open_error == 0;
    uv_mutex_unlock(&journal->behind);
    journal->retry_ms = now_ms + OPEN_RETRY_MS;
    return journal->open_error;
}

static int run_jobs(struct outbox_journal *journal, uint64_t now_ms)
{
    int rc = outbox_store_begin(&journal->store);
    for (struct outbox_job *job = journal->batch; rc == 0 && job != NULL; job = job->next) {
        job->error = job->run(job, &journal->store, now_ms);
        rc = is_storage_error(job->error) ? job->error : 0;
    }
    if (rc < 0) {
        outbox_store_rollback(&journal->store);
        return rc;
    }
    return outbox_store_commit(&journal->store);
}

static int look_around(struct outbox_journal *journal, uint64_t now_ms)
{
    struct outbox_journal_view *view = &journal->fresh;
    int rc = 0;
    view->totals = journal->store.totals;
    view->n_next = 0;
    for (size_t i = 0; rc == 0 && i < view->totals.n; i++) {
        struct outbox_next *next = &view->next[view->n_next++];
        *next = (struct outbox_next){.next_ms = UINT64_MAX, .oldest_ms = UINT64_MAX};
        memcpy(next->upstream, view->totals.upstreams[i].upstream, sizeof(next->upstream));
        if (view->totals.upstreams[i].items[OUTBOX_QUEUED] > 0)
            rc = outbox_store_due(&journal->store, next->upstream, now_ms, &next->due,
                                  &next->next_ms);
        if (rc == 0)
            rc = outbox_store_oldest(&journal->store, next->upstream, &next->oldest_ms);
    }
    return rc;
}

static void work(uv_work_t *request)
{
    struct outbox_journal *journal = request->data;
    uint64_t now_ms = outbox_now_ms();
    int rc = open_store(journal, now_ms);
    bool was_open = rc == 0;
    if (rc == 0 && journal->write_back_rest) // an error: it is tried again, and a commit tells
        (void)outbox_db_write_back_rest(&journal->store.db);
    rc = rc < 0 ? rc : run_jobs(journal, now_ms);
    for (struct outbox_job *job = journal->batch; rc < 0 && job != NULL; job = job->next)
        job->error = rc;
    if (was_open && rc != -EUCLEAN)
        rc = look_around(journal, now_ms);
    if (was_open && rc == -EUCLEAN) {
        uv_mutex_lock(&journal->behind);
        outbox_store_close(&journal->store);
        journal->is_open = false;
        uv_mutex_unlock(&journal->behind);
        journal->open_error = 0;
    }
}

static void write_back(uv_work_t *request)
{
    struct outbox_journal *journal = request->data;
    uv_mutex_lock(&journal->behind);
    journal->behind_error = journal->is_open
                                ? outbox_db_write_back(&journal->store.db, &journal->behind_pages)
                                : -ENOENT;
    uv_mutex_unlock(&journal->behind);
}

// ---- in the loop ----------------------------------------------------------------------------

static void start(struct outbox_journal *journal);

static void start_behind(struct outbox_journal *journal);

// Each time less has come meanwhile, down to what a commit may wait for.
static void after_write_back(uv_work_t *request, int status)
{
    struct outbox_journal *journal = request->data;
    (void)status;
    journal->is_behind_busy = false;
    if (journal->behind_error < 0 || journal->log_pages < journal->behind_pages)
        return; // the next commit asks again; or the log began anew
    unsigned rest = journal->log_pages - journal->behind_pages;
    journal->wants_rest = rest > 0 && rest <= REST_PAGES;
    if (rest > REST_PAGES)
        start_behind(journal);
}

static void start_behind(struct outbox_journal *journal)
{
    journal->is_behind_busy = true;
    int rc = pool_work(journal->loop, &journal->behind_work, write_back, after_write_back);
    ASSERT(rc == 0); // it fails for a missing callback only
}

static void look_at_log(struct outbox_journal *journal)
{
    journal->log_pages = journal->is_open ? journal->store.db.log_pages : 0;
    if (journal->log_pages > LOG_PAGES_MAX)
        journal->wants_rest = true;
    if (journal->log_pages > LOG_PAGES && !journal->is_behind_busy && !journal->wants_rest)
        start_behind(journal);
}

// The next batch is on its way to the disk while this one is answered.
static void finish(struct outbox_journal *journal)
{
    struct outbox_job *job = journal->batch;
    bool failed = job != NULL && is_storage_error(job->error);
    journal->batch = NULL;
    journal->busy = false;
    journal->n_failed += failed;
    journal->n_commits += !failed;
    if (journal->is_open)
        journal->view = journal->fresh;
    look_at_log(journal);
    if (journal->on_batch != NULL)
        journal->on_batch(journal->arg);
    journal->opened = false;
    start(journal);
    while (job != NULL) {
        struct outbox_job *next = job->next;
        job->done(job, job->error);
        job = next;
    }
}

static void after_work(uv_work_t *request, int status)
{
    (void)status;
    finish(request->data);
}

static void start(struct outbox_journal *journal)
{
    if (journal->busy || journal->first == NULL)
        return;
    struct outbox_job *last = journal->batch = journal->first;
    for (journal->n_batch = 1; last->next != NULL && journal->n_batch < BATCH_MAX;
         journal->n_batch++)
        last = last->next;
    journal->first = last->next;
    last->next = NULL;
    journal->n_waiting -= journal->n_batch;
    if (journal->first == NULL)
        journal->end = &journal->first;
    journal->busy = true;
    journal->write_back_rest = journal->wants_rest;
    journal->wants_rest = false;
    int rc = pool_work(journal->loop, &journal->work, work, after_work);
    ASSERT(rc == 0); // it fails for a missing callback only
}

void outbox_journal_add(struct outbox_journal *journal, struct outbox_job *job)
{
    job->next = NULL;
    job->error = 0;
    *journal->end = job;
    journal->end = &job->next;
    journal->n_waiting++;
    start(journal);
}

void outbox_journal_close(struct outbox_journal *journal)
{
    while (journal->busy ||
           journal->is_behind_busy) // commits, or the check of a file: they wait for nobody
        uv_run(journal->loop, UV_RUN_ONCE);
    if (journal->is_open)
        outbox_store_close(&journal->store);
    journal->is_open = false;
    uv_mutex_destroy(&journal->behind);
}
