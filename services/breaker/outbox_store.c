#include "outbox_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "outbox_store_internal.h"

const char *const outbox_state_names[OUTBOX_STATES] = {"queued", "sending", "done",
                                                       "dead",   "parked",  "discarded"};

// ---- figures --------------------------------------------------------------------------------

struct outbox_figures *outbox_store_figures(struct outbox_store *store, const char *upstream)
{
    struct outbox_totals *totals = &store->totals;
    for (size_t i = 0; i < totals->n; i++)
        if (strcmp(totals->upstreams[i].upstream, upstream) == 0)
            return &totals->upstreams[i];
    if (totals->n == CONFIG_UPSTREAMS_MAX)
        return NULL;
    struct outbox_figures *figures = &totals->upstreams[totals->n++];
    *figures = (struct outbox_figures){0};
    snprintf(figures->upstream, sizeof(figures->upstream), "%s", upstream);
    return figures;
}

void outbox_store_count(struct outbox_store *store, const char *upstream, int state, int items,
                        int64_t bytes)
{
    struct outbox_figures *figures = outbox_store_figures(store, upstream);
    if (figures == NULL || state < 0 || state >= OUTBOX_STATES)
        return;
    figures->items[state] += (uint64_t)(int64_t)items;
    figures->bytes[state] += (uint64_t)bytes;
}

// Items and bytes that the limits bound: all but results, which only keep_ms and a sweep end.
void outbox_store_sum(const struct outbox_store *store, bool results, uint64_t *ret_items,
                      uint64_t *ret_bytes)
{
    *ret_items = *ret_bytes = 0;
    for (size_t i = 0; i < store->totals.n; i++)
        for (int state = 0; state < OUTBOX_STATES; state++)
            if (outbox_is_result(state) == results) {
                *ret_items += store->totals.upstreams[i].items[state];
                *ret_bytes += store->totals.upstreams[i].bytes[state];
            }
}

int outbox_store_note_lane(struct outbox_store *store, int64_t lane, int change)
{
    if (lane == 0)
        return 0;
    if (store->n_lane_changes == store->cap_lane_changes) {
        size_t cap = store->cap_lane_changes == 0 ? 64 : store->cap_lane_changes * 2;
        void *grown = realloc(store->lane_changes, cap * sizeof(*store->lane_changes));
        if (grown == NULL)
            return -ENOMEM;
        store->lane_changes = grown;
        store->cap_lane_changes = cap;
    }
    store->lane_changes[store->n_lane_changes++] = (struct outbox_lane_change){lane, change};
    return 0;
}

// ---- transactions ---------------------------------------------------------------------------

int outbox_store_begin(struct outbox_store *store)
{
    store->totals_before = store->totals;
    store->n_lane_changes = 0;
    return outbox_db_begin(&store->db);
}

static void forget_files(struct outbox_store *store, bool remove)
{
    for (size_t i = 0; i < store->n_dropped_files; i++) {
        char path[OUTBOX_PATH_MAX + 128];
        snprintf(path, sizeof(path), "%s.d/%s", store->db.path, store->dropped_files[i]);
        if (remove)
            unlink(path);
        free(store->dropped_files[i]);
    }
    store->n_dropped_files = 0;
}

int outbox_store_drop_file(struct outbox_store *store, const char *file)
{
    if (store->n_dropped_files == store->cap_dropped_files) {
        size_t cap = store->cap_dropped_files + 64;
        void *grown = realloc(store->dropped_files, cap * sizeof(char *));
        if (grown == NULL)
            return -ENOMEM;
        store->dropped_files = grown;
        store->cap_dropped_files = cap;
    }
    char *copy = strdup(file);
    if (copy == NULL)
        return -ENOMEM;
    store->dropped_files[store->n_dropped_files++] = copy;
    return 0;
}

int outbox_store_commit(struct outbox_store *store)
{
    int rc = outbox_db_commit(&store->db);
    if (rc < 0)
        outbox_store_rollback(store);
    else
        outbox_index_commit(&store->index);
    forget_files(store, rc == 0);
    return rc;
}

void outbox_store_rollback(struct outbox_store *store)
{
    outbox_db_rollback(&store->db);
    outbox_index_rollback(&store->index);
    forget_files(store, false);
    store->totals = store->totals_before;
    store->n_lane_changes = 0;
}

// ---- rows and values ------------------------------------------------------------------------

void outbox_id_text(const void *id, char ret_text[OUTBOX_ID_TEXT])
{
    sodium_bin2hex(ret_text, OUTBOX_ID_TEXT, id, OUTBOX_ID_BYTES);
}

int outbox_copy_blob(sqlite3_stmt *statement, int column, ProtobufCBinaryData *ret)
{
    size_t len = (size_t)sqlite3_column_bytes(statement, column);
    ret->data = NULL;
    ret->len = 0;
    if (len == 0)
        return 0;
    ret->data = malloc(len);
    if (ret->data == NULL)
        return -ENOMEM;
    memcpy(ret->data, sqlite3_column_blob(statement, column), len);
    ret->len = len;
    return 0;
}

int outbox_store_lane_busy(struct outbox_store *store, int64_t lane, bool *ret_busy)
{
    *ret_busy = false;
    if (lane == 0)
        return 0;
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_lane_busy);
    sqlite3_bind_int64(statement, 1, lane);
    int rc = outbox_db_next(&store->db, statement);
    *ret_busy = rc > 0;
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

int outbox_store_index(struct outbox_store *store, sqlite3_stmt *names,
                       int (*change)(struct outbox_index *, const void *, size_t, int64_t))
{
    int rc = 0;
    for (int column = 1; rc == 0 && column <= 2; column++)
        if (sqlite3_column_bytes(names, column) > 0)
            rc =
                change(&store->index, sqlite3_column_blob(names, column),
                       (size_t)sqlite3_column_bytes(names, column), sqlite3_column_int64(names, 0));
    return rc;
}

int outbox_store_row(struct outbox_store *store, int64_t seq, struct outbox_row *ret_row)
{
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_row);
    sqlite3_bind_int64(statement, 1, seq);
    int rc = outbox_db_next(&store->db, statement);
    if (rc <= 0)
        return rc < 0 ? rc : -ENOENT;
    const char *upstream = (const char *)sqlite3_column_text(statement, 1);
    *ret_row = (struct outbox_row){.seq = seq,
                                   .lane = sqlite3_column_int64(statement, 2),
                                   .state = sqlite3_column_int(statement, 3),
                                   .bytes = sqlite3_column_int64(statement, 4)};
    snprintf(ret_row->upstream, sizeof(ret_row->upstream), "%s", upstream != NULL ? upstream : "");
    sqlite3_reset(statement);
    return 0;
}

// ---- life -----------------------------------------------------------------------------------

static int load_totals(struct outbox_store *store)
{
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_totals);
    int rc;
    store->totals = (struct outbox_totals){0};
    while ((rc = outbox_db_next(&store->db, statement)) > 0) {
        const char *upstream = (const char *)sqlite3_column_text(statement, 0);
        outbox_store_count(store, upstream != NULL ? upstream : "",
                           sqlite3_column_int(statement, 1), sqlite3_column_int(statement, 2),
                           sqlite3_column_int64(statement, 3));
    }
    statement = outbox_db_use(&store->db, SQL_paused);
    while (rc == 0 && (rc = outbox_db_next(&store->db, statement)) > 0) {
        const char *upstream = (const char *)sqlite3_column_text(statement, 0);
        struct outbox_figures *figures = outbox_store_figures(store, upstream ? upstream : "");
        if (figures != NULL)
            figures->paused = true;
        rc = 0;
    }
    return rc;
}

static int load_index(struct outbox_store *store)
{
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_all_names);
    int rc;
    while ((rc = outbox_db_next(&store->db, statement)) > 0) {
        rc = outbox_store_index(store, statement, outbox_index_add);
        if (rc < 0)
            break;
        outbox_index_commit(&store->index);
    }
    sqlite3_reset(statement);
    return rc;
}

// What was on its way when the owner died: nobody knows whether it arrived.
static int settle_interrupted(struct outbox_store *store, uint64_t now_ms)
{
    static const struct outbox_verdict again = {
        .state = OUTBOX_QUEUED, .error = "interrupted: whether it arrived is not known"};
    static const struct outbox_verdict park = {
        .state = OUTBOX_PARKED, .error = "interrupted: whether it arrived is not known"};
    sqlite3_stmt *statement;
    int rc = 0;
    do { // the row is another one each time, for the last was settled
        statement = outbox_db_use(&store->db, SQL_interrupted);
        rc = outbox_db_next(&store->db, statement);
        if (rc <= 0)
            break;
        int64_t seq = sqlite3_column_int64(statement, 0);
        bool resend = (sqlite3_column_int(statement, 1) & OUTBOX_RESEND) != 0;
        sqlite3_reset(statement);
        struct outbox_verdict verdict = resend ? again : park;
        verdict.due_ms = now_ms;
        rc = outbox_store_settle(store, seq, &verdict, now_ms);
    } while (rc == 0);
    return rc;
}

static bool is_wanted(struct outbox_store *store, const char *file)
{
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_has_file);
    outbox_bind_text(statement, 1, file);
    bool wanted = outbox_db_next(&store->db, statement) != 0; // an error: rather keep it
    sqlite3_reset(statement);
    return wanted;
}

static bool is_orphan(struct outbox_store *store, DIR *dir, const char *file)
{
    const char *dot = strrchr(file, '.');
    struct stat status;
    return dot != NULL && strcmp(dot, ".body") == 0 &&
           fstatat(dirfd(dir), file, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           (uint64_t)status.st_mtime * 1000 + 1000 < store->limits.born_ms &&
           !is_wanted(store, file);
}

// Bodies whose operation was never committed, or is over. After damage they may be those of
// operations that could not be read: they go to ASIDE.d, where the rest of these is.
static void remove_orphans(struct outbox_store *store, const char *aside)
{
    char path[OUTBOX_PATH_MAX + 80];
    int aside_fd = -1;
    snprintf(path, sizeof(path), "%s.d", store->db.path);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    snprintf(path, sizeof(path), "%s.d", aside);
    if (aside[0] != '\0' && mkdir(path, 0700) == 0)
        aside_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (!is_orphan(store, dir, entry->d_name))
            continue;
        if (aside_fd >= 0)
            (void)renameat(dirfd(dir), entry->d_name, aside_fd, entry->d_name);
        else if (aside[0] == '\0')
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (aside_fd >= 0)
        close(aside_fd);
    closedir(dir);
}

static int recover(struct outbox_store *store, uint64_t now_ms, const char *aside)
{
    int rc = load_totals(store);
    rc = rc < 0 ? rc : load_index(store);
    rc = rc < 0 ? rc : outbox_store_begin(store);
    if (rc < 0)
        return rc;
    rc = settle_interrupted(store, now_ms);
    if (rc < 0) {
        outbox_store_rollback(store);
        return rc;
    }
    rc = outbox_store_commit(store);
    if (rc == 0)
        remove_orphans(store, aside);
    return rc;
}

static int open_anew(struct outbox_store *store, const char *path, uint64_t now_ms,
                     struct outbox_damage *damage)
{
    char why[256];
    int rc = outbox_db_set_aside(&store->db, now_ms, damage->aside, sizeof(damage->aside));
    if (rc == 0)
        rc = outbox_db_open(&store->db, path, why, sizeof(why));
    if (rc == 0) {
        outbox_db_distrust(&store->db);
        rc = outbox_salvage(store, damage->aside, damage);
    }
    if (rc < 0) // a full disk, say: the damaged one must be found again the next time
        outbox_db_put_back(&store->db, damage->aside);
    damage->found = rc == 0;
    return rc;
}

int outbox_store_open(struct outbox_store *store, const char *path,
                      const struct outbox_limits *limits, uint64_t now_ms,
                      struct outbox_damage *ret_damage)
{
    *store = (struct outbox_store){.limits = *limits};
    *ret_damage = (struct outbox_damage){0};
    outbox_index_init(&store->index);
    int rc = outbox_db_open(&store->db, path, ret_damage->why, sizeof(ret_damage->why));
    if (rc == -EUCLEAN)
        rc = open_anew(store, path, now_ms, ret_damage);
    rc = rc < 0 ? rc : recover(store, now_ms, ret_damage->found ? ret_damage->aside : "");
    if (rc < 0)
        outbox_store_close(store);
    return rc;
}

void outbox_store_close(struct outbox_store *store)
{
    outbox_db_close(&store->db);
    outbox_index_fini(&store->index);
    forget_files(store, false);
    free(store->dropped_files);
    free(store->lane_changes);
    store->dropped_files = NULL;
    store->lane_changes = NULL;
    store->cap_dropped_files = store->cap_lane_changes = store->n_lane_changes = 0;
}

int outbox_store_lanes(struct outbox_store *store, void (*each)(void *arg, int64_t lane), void *arg)
{
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_lanes);
    int rc;
    while ((rc = outbox_db_next(&store->db, statement)) > 0)
        each(arg, sqlite3_column_int64(statement, 0));
    return rc;
}

int outbox_store_set_paused(struct outbox_store *store, const char *upstream, bool paused)
{
    struct outbox_figures *figures = outbox_store_figures(store, upstream);
    if (figures == NULL)
        return -ENOENT;
    sqlite3_stmt *statement = outbox_db_use(&store->db, paused ? SQL_pause : SQL_resume);
    outbox_bind_text(statement, 1, upstream);
    int rc = outbox_db_run(&store->db, statement);
    if (rc == 0)
        figures->paused = paused;
    return rc;
}
