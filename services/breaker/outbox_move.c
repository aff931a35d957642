// How operations go from state to state once they are accepted.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outbox_store_internal.h"

void outbox_call_fini(struct outbox_call *call)
{
    free(call->head);
    free(call->body);
    free(call->file);
    *call = (struct outbox_call){0};
}

static int read_content(struct outbox_store *store, struct outbox_call *call)
{
    ProtobufCBinaryData head = {0}, body = {0};
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_content);
    sqlite3_bind_int64(statement, 1, call->seq);
    int rc = outbox_db_next(&store->db, statement);
    if (rc <= 0)
        return rc < 0 ? rc : -EUCLEAN;
    bool has_file = sqlite3_column_type(statement, 2) != SQLITE_NULL;
    rc = sqlite3_column_int(statement, 3) == 1 ? 0 : -EUCLEAN;
    rc = rc < 0 ? rc : outbox_copy_blob(statement, 0, &head);
    rc = rc < 0 ? rc : outbox_copy_blob(statement, 1, &body);
    call->head = (char *)head.data;
    call->head_len = head.len;
    call->body = body.data;
    call->body_len = body.len;
    call->file = rc == 0 && has_file ? outbox_column_text(statement, 2) : NULL;
    sqlite3_reset(statement);
    return rc == 0 && has_file && call->file == NULL ? -ENOMEM : rc;
}

int outbox_store_claim(struct outbox_store *store, const char *upstream, uint64_t now_ms,
                       struct outbox_call *ret_call)
{
    struct outbox_call call = {0};
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_due);
    outbox_bind_text(statement, 1, upstream);
    sqlite3_bind_int64(statement, 2, (int64_t)now_ms);
    int rc = outbox_db_next(&store->db, statement);
    if (rc <= 0)
        return rc < 0 ? rc : -ENODATA;
    call.seq = sqlite3_column_int64(statement, 0);
    bool whole = sqlite3_column_bytes(statement, 1) == OUTBOX_ID_BYTES;
    if (whole)
        outbox_id_text(sqlite3_column_blob(statement, 1), call.id);
    call.attempt = (unsigned)sqlite3_column_int(statement, 2) + 1;
    call.flags = (unsigned)sqlite3_column_int(statement, 3);
    call.accepted_ms = (uint64_t)sqlite3_column_int64(statement, 4);
    call.expires_ms = (uint64_t)sqlite3_column_int64(statement, 5);
    sqlite3_reset(statement);
    rc = whole ? read_content(store, &call) : -EUCLEAN;
    if (rc == 0) {
        statement = outbox_db_use(&store->db, SQL_claim);
        sqlite3_bind_int64(statement, 1, call.seq);
        sqlite3_bind_int64(statement, 2, (int64_t)now_ms);
        rc = outbox_db_run(&store->db, statement);
    }
    struct outbox_row row;
    rc = rc < 0 ? rc : outbox_store_row(store, call.seq, &row);
    if (rc < 0) {
        outbox_call_fini(&call);
        return rc;
    }
    outbox_store_count(store, upstream, OUTBOX_QUEUED, -1, -row.bytes);
    outbox_store_count(store, upstream, OUTBOX_SENDING, 1, row.bytes);
    *ret_call = call;
    return 0;
}

// Its body is needed no more.
static int drop_content(struct outbox_store *store, int64_t seq)
{
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_file);
    sqlite3_bind_int64(statement, 1, seq);
    int rc = outbox_db_next(&store->db, statement);
    if (rc > 0)
        rc = outbox_store_drop_file(store, (const char *)sqlite3_column_text(statement, 0));
    sqlite3_reset(statement);
    if (rc < 0)
        return rc;
    statement = outbox_db_use(&store->db, SQL_drop_content);
    sqlite3_bind_int64(statement, 1, seq);
    return outbox_db_run(&store->db, statement);
}

static int open_lane(struct outbox_store *store, int64_t lane)
{
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_lane_next);
    sqlite3_bind_int64(statement, 1, lane);
    return outbox_db_run(&store->db, statement);
}

// Moves an operation to its next state. The figures, its lane and its content follow.
static int move(struct outbox_store *store, const struct outbox_row *row,
                const struct outbox_verdict *verdict, uint64_t now_ms)
{
    bool busy = false;
    bool live = outbox_is_live((int)verdict->state);
    int64_t bytes = outbox_is_result((int)verdict->state)
                        ? (int64_t)verdict->answer_len + OUTBOX_ROW_BYTES
                        : row->bytes;
    // Back from the dead: it waits behind the one that is its lane's first now.
    int rc =
        !outbox_is_live(row->state) && live ? outbox_store_lane_busy(store, row->lane, &busy) : 0;
    if (rc == 0 && outbox_is_result((int)verdict->state))
        rc = drop_content(store, row->seq);
    if (rc < 0)
        return rc;
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_settle);
    sqlite3_bind_int64(statement, 1, row->seq);
    sqlite3_bind_int(statement, 2, (int)verdict->state);
    sqlite3_bind_int64(statement, 3, (int64_t)(live ? verdict->due_ms : now_ms));
    outbox_bind_text(statement, 4, verdict->error);
    if (verdict->answer_status != 0)
        sqlite3_bind_int(statement, 5, (int)verdict->answer_status);
    outbox_bind_text(statement, 6, verdict->answer_type);
    outbox_bind_blob(statement, 7, verdict->answer, verdict->answer_len);
    if (!live)
        sqlite3_bind_int64(statement, 8, (int64_t)now_ms);
    sqlite3_bind_int(statement, 9, busy);
    sqlite3_bind_int64(statement, 10, bytes);
    rc = outbox_db_run(&store->db, statement);
    if (rc == 0 && row->lane != 0 && outbox_is_live(row->state) != live)
        rc = outbox_store_note_lane(store, row->lane, live ? 1 : -1);
    if (rc == 0 && row->lane != 0 && outbox_is_live(row->state) && !live)
        rc = open_lane(store, row->lane);
    if (rc < 0)
        return rc;
    outbox_store_count(store, row->upstream, row->state, -1, -row->bytes);
    outbox_store_count(store, row->upstream, (int)verdict->state, 1, bytes);
    return 0;
}

int outbox_store_settle(struct outbox_store *store, int64_t seq,
                        const struct outbox_verdict *verdict, uint64_t now_ms)
{
    struct outbox_row row;
    int rc = outbox_store_row(store, seq, &row);
    return rc < 0 ? rc : move(store, &row, verdict, now_ms);
}

int outbox_store_retry(struct outbox_store *store, int64_t seq, uint64_t now_ms)
{
    struct outbox_row row;
    const struct outbox_verdict again = {
        .state = OUTBOX_QUEUED, .due_ms = now_ms, .error = "retried by the operator"};
    int rc = outbox_store_row(store, seq, &row);
    if (rc == 0 && row.state != OUTBOX_DEAD && row.state != OUTBOX_PARKED &&
        row.state != OUTBOX_QUEUED)
        return -EPERM;
    rc = rc < 0 ? rc : move(store, &row, &again, now_ms);
    if (rc < 0)
        return rc;
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_renew);
    sqlite3_bind_int64(statement, 1, seq);
    sqlite3_bind_int64(statement, 2, (int64_t)(now_ms + store->limits.max_age_ms));
    return outbox_db_run(&store->db, statement);
}

int outbox_store_discard(struct outbox_store *store, int64_t seq, uint64_t now_ms)
{
    struct outbox_row row;
    const struct outbox_verdict end = {.state = OUTBOX_DISCARDED,
                                       .error = "discarded by the operator"};
    int rc = outbox_store_row(store, seq, &row);
    if (rc == 0 && (row.state == OUTBOX_SENDING || outbox_is_result(row.state)))
        return -EPERM;
    return rc < 0 ? rc : move(store, &row, &end, now_ms);
}

// ---- what time does -------------------------------------------------------------------------

int outbox_store_due(struct outbox_store *store, const char *upstream, uint64_t now_ms,
                     unsigned *ret_due, uint64_t *ret_next_ms)
{
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_count_due);
    outbox_bind_text(statement, 1, upstream);
    sqlite3_bind_int64(statement, 2, (int64_t)now_ms);
    int rc = outbox_db_next(&store->db, statement);
    if (rc <= 0)
        return rc;
    *ret_due = (unsigned)sqlite3_column_int(statement, 0);
    sqlite3_reset(statement);
    *ret_next_ms = now_ms;
    if (*ret_due > 0)
        return 0;
    statement = outbox_db_use(&store->db, SQL_next_due);
    outbox_bind_text(statement, 1, upstream);
    rc = outbox_db_next(&store->db, statement);
    if (rc > 0)
        *ret_next_ms = sqlite3_column_type(statement, 0) == SQLITE_NULL
                           ? UINT64_MAX
                           : (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

int outbox_store_oldest(struct outbox_store *store, const char *upstream, uint64_t *ret_ms)
{
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_oldest);
    outbox_bind_text(statement, 1, upstream);
    int rc = outbox_db_next(&store->db, statement);
    *ret_ms = rc > 0 ? (uint64_t)sqlite3_column_int64(statement, 0) : UINT64_MAX;
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

#define SWEEP_ROWS 256 // at a time, so that a commit is never long

struct sweep_list {
    int64_t seqs[SWEEP_ROWS];
    size_t n;
};

// All have the same bound of age, so the oldest are the first to be too old.
static int list_expired(struct outbox_store *store, const char *upstream, uint64_t now_ms,
                        struct sweep_list *list)
{
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_oldest_live);
    outbox_bind_text(statement, 1, upstream);
    int rc;
    list->n = 0;
    while ((rc = outbox_db_next(&store->db, statement)) > 0 && list->n < SWEEP_ROWS) {
        if ((uint64_t)sqlite3_column_int64(statement, 2) > now_ms)
            break;
        if (sqlite3_column_int(statement, 1) == OUTBOX_QUEUED)
            list->seqs[list->n++] = sqlite3_column_int64(statement, 0);
    }
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

static int forget(struct outbox_store *store, int64_t seq)
{
    struct outbox_row row;
    int rc = outbox_store_row(store, seq, &row);
    if (rc < 0)
        return rc;
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_names);
    sqlite3_bind_int64(statement, 1, seq);
    rc = outbox_db_next(&store->db, statement);
    rc = rc > 0 ? outbox_store_index(store, statement, outbox_index_remove) : rc;
    sqlite3_reset(statement);
    if (rc < 0)
        return rc;
    statement = outbox_db_use(&store->db, SQL_delete);
    sqlite3_bind_int64(statement, 1, seq);
    rc = outbox_db_run(&store->db, statement);
    if (rc == 0)
        outbox_store_count(store, row.upstream, row.state, -1, -row.bytes);
    return rc;
}

static int forget_results(struct outbox_store *store, enum outbox_sql sql, uint64_t until_ms)
{
    struct sweep_list list = {.n = 0};
    sqlite3_stmt *statement = outbox_db_use(&store->db, sql);
    if (sql == SQL_results_over)
        sqlite3_bind_int64(statement, 1, (int64_t)until_ms);
    int rc;
    while ((rc = outbox_db_next(&store->db, statement)) > 0 && list.n < SWEEP_ROWS)
        list.seqs[list.n++] = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    for (size_t i = 0; rc >= 0 && i < list.n; i++)
        rc = forget(store, list.seqs[i]);
    return rc < 0 ? rc : 0;
}

int outbox_store_sweep(struct outbox_store *store, uint64_t now_ms,
                       void (*on_dead)(void *arg, int64_t seq), void *arg)
{
    static const struct outbox_verdict too_old = {.state = OUTBOX_DEAD, .error = "too old"};
    uint64_t items, bytes;
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < store->totals.n; i++) {
        struct sweep_list list;
        rc = list_expired(store, store->totals.upstreams[i].upstream, now_ms, &list);
        for (size_t k = 0; rc >= 0 && k < list.n; k++) {
            rc = outbox_store_settle(store, list.seqs[k], &too_old, now_ms);
            if (rc == 0)
                on_dead(arg, list.seqs[k]);
        }
    }
    if (rc >= 0 && now_ms > store->limits.keep_ms)
        rc = forget_results(store, SQL_results_over, now_ms - store->limits.keep_ms);
    outbox_store_sum(store, true, &items, &bytes);
    if (rc >= 0 && (items > store->limits.max_items || bytes > store->limits.max_bytes))
        rc = forget_results(store, SQL_results_oldest, 0);
    return rc < 0 ? rc : 0;
}
