// Group commit: jobs that come while a transaction is being written wait and go together into the
// next. The database is written in libuv's thread pool, one batch at a time; all callbacks come
// from the loop, after the commit. An operation is acknowledged there and nowhere else.
//
// The log is written back in another thread of the pool meanwhile: no commit waits for that, but
// one, for the little that came since, which is what lets the log begin anew.
//
// The database is opened by the first batch and checked as a whole; while it cannot be opened the
// jobs fail with the reason, and it is tried again once a second. A database found damaged while it
// is in use is closed and opened anew, which sets it aside.
// Thread: the loop's, but for outbox_job.run.
#ifndef VALVECHAIN_BREAKER_OUTBOX_JOURNAL_H
#define VALVECHAIN_BREAKER_OUTBOX_JOURNAL_H

#include <uv.h>

#include "outbox_store.h"

struct outbox_job {
    // In the pool's thread, inside the transaction. Errors of the database (-ENOSPC, -EIO, ...) end
    // the whole batch; what the job itself is refused (-ENOENT, -ENODATA, -EPERM) ends only the
    // job.
    int (*run)(struct outbox_job *job, struct outbox_store *store, uint64_t now_ms);
    void (*done)(struct outbox_job *job, int error); // owns the job from here on
    int error;
    struct outbox_job *next;
};

struct outbox_next { // what an upstream's operations wait for, as of the last batch
    char upstream[OUTBOX_NAME_MAX];
    unsigned due; // at most 64
    uint64_t next_ms, oldest_ms;
};
struct outbox_journal_view { // the database's state, copied after each batch
    struct outbox_totals totals;
    struct outbox_next next[CONFIG_UPSTREAMS_MAX];
    size_t n_next;
};

struct outbox_journal {
    uv_loop_t *loop;
    uv_work_t work;
    const char *path;
    struct outbox_limits limits;
    bool busy;
    struct outbox_job *first, **end; // waiting
    size_t n_waiting;
    // The worker's while busy.
    struct outbox_store store;
    bool is_open;
    int open_error;
    uint64_t retry_ms; // wall; not opened before
    struct outbox_damage damage;
    bool opened, damaged; // in this batch
    struct outbox_job *batch;
    size_t n_batch;
    struct outbox_journal_view fresh;
    bool write_back_rest; // before this batch
    // What writes the log back holds `behind`, and so does who opens or closes the store.
    uv_work_t behind_work;
    uv_mutex_t behind;
    int behind_error;
    unsigned behind_pages; // of the log are written back
    // The loop's.
    bool is_behind_busy, wants_rest;
    unsigned log_pages; // after the last batch
    struct outbox_journal_view view;
    uint64_t n_commits, n_failed;
    void (*on_batch)(void *arg); // after each batch, before its jobs are done
    void *arg;
};

void outbox_journal_init(struct outbox_journal *journal, uv_loop_t *loop, const char *path,
                         const struct outbox_limits *limits);
void outbox_journal_add(struct outbox_journal *journal, struct outbox_job *job);
// Writes all that waits (its callbacks come) and closes. The loop turns meanwhile; what its
// callbacks add is written, too.
void outbox_journal_close(struct outbox_journal *journal);
const struct outbox_next *outbox_journal_next(const struct outbox_journal *journal,
                                              const char *upstream); // NULL: nothing known
uint64_t outbox_now_ms(void); // wall clock: what is kept outlives the boot

#endif
