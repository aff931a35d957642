// What a damaged database still tells, into a new one: row by row, forwards until the damage and
// then backwards from the other end, each row judged by its own checksum. The damaged one has a
// connection of its own, so that what is wrong with it fails no statement of the new one.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outbox_store_internal.h"

#define COLUMNS                                                                                    \
    "id, key, print, scope, upstream, route, lane, lane_name, state, blocked, flags, attempts, "   \
    "accepted_ms, due_ms, expires_ms, finished_ms, bytes, body_bytes, error, status, "             \
    "answer_type, "                                                                                \
    "answer"
#define N_COLUMNS 22

static const char read_operations[] =
    "SELECT seq, " COLUMNS ", sum IS row_sum(" COLUMNS ") FROM operation ORDER BY seq ";
static const char read_paused_2[] = "SELECT upstream FROM paused"; // schema 2: no sums
static const char read_paused[] = "SELECT upstream FROM paused WHERE sum IS row_sum(upstream)";
static const char read_content[] = "SELECT head, body, file FROM content WHERE seq = ?1 AND sum "
                                   "IS row_sum(seq, head, body, file)";
static const char write_operation[] =
    "INSERT OR IGNORE INTO operation(seq, " COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
    "?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)";
static const char write_content[] =
    "INSERT OR IGNORE INTO content(seq, head, body, file) VALUES(?1, ?2, ?3, ?4)";
static const char write_paused[] = "INSERT OR IGNORE INTO paused(upstream) VALUES(?1)";

struct salvage {
    sqlite3 *from, *to;
    sqlite3_stmt *read_content, *write_operation, *write_content;
    int64_t last_seq; // of the walk forwards
};

static int run(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return code == SQLITE_DONE ? 0 : outbox_db_error(code, 0);
}

static void bind_row(sqlite3_stmt *to, int first, sqlite3_stmt *from, int n)
{
    for (int i = 0; i < n; i++)
        sqlite3_bind_value(to, first + i, sqlite3_column_value(from, i));
}

// 1: saved, 0: its body is not readable. A result needs none.
static int save_row(struct salvage *salvage, sqlite3_stmt *row)
{
    sqlite3_stmt *content = salvage->read_content;
    int64_t seq = sqlite3_column_int64(row, 0);
    bool needs_body = !outbox_is_result(sqlite3_column_int(row, 9));
    sqlite3_bind_int64(content, 1, seq);
    int has_body = sqlite3_step(content) == SQLITE_ROW;
    int rc = 0;
    if (has_body) {
        sqlite3_bind_int64(salvage->write_content, 1, seq);
        bind_row(salvage->write_content, 2, content, 3);
        rc = run(salvage->write_content);
    }
    sqlite3_reset(content);
    if (rc < 0 || (needs_body && !has_body))
        return rc;
    bind_row(salvage->write_operation, 1, row, N_COLUMNS + 1);
    rc = run(salvage->write_operation);
    return rc < 0 ? rc : 1;
}

// Forwards, and where the damage ends that, backwards as far as it did not come.
static int walk(struct salvage *salvage, bool forwards, struct outbox_damage *damage)
{
    char sql[sizeof(read_operations) + 8];
    sqlite3_stmt *rows;
    int rc = 0;
    bool whole = false;
    snprintf(sql, sizeof(sql), "%s%s", read_operations, forwards ? "ASC" : "DESC");
    if (sqlite3_prepare_v2(salvage->from, sql, -1, &rows, NULL) != SQLITE_OK)
        return 0; // nothing of it is readable
    while (rc >= 0) {
        int code = sqlite3_step(rows);
        whole = code == SQLITE_DONE;
        if (code != SQLITE_ROW)
            break;
        int64_t seq = sqlite3_column_int64(rows, 0);
        if (!forwards && seq <= salvage->last_seq)
            break;
        salvage->last_seq = forwards ? seq : salvage->last_seq;
        rc = sqlite3_column_int(rows, N_COLUMNS + 1) != 0 ? save_row(salvage, rows) : 0;
        damage->saved += rc > 0;
        damage->lost += rc == 0;
    }
    sqlite3_finalize(rows);
    return rc < 0 ? rc : forwards && !whole ? walk(salvage, false, damage) : 0;
}

// What an operator holds back must not start by itself.
static int save_paused(struct salvage *salvage)
{
    sqlite3_stmt *from, *to;
    int rc = 0;
    if (sqlite3_prepare_v2(salvage->from, read_paused, -1, &from, NULL) != SQLITE_OK &&
        sqlite3_prepare_v2(salvage->from, read_paused_2, -1, &from, NULL) != SQLITE_OK)
        return 0;
    if (sqlite3_prepare_v2(salvage->to, write_paused, -1, &to, NULL) != SQLITE_OK)
        rc = -ENOMEM;
    while (rc == 0 && sqlite3_step(from) == SQLITE_ROW) {
        bind_row(to, 1, from, 1);
        rc = run(to);
    }
    sqlite3_finalize(from);
    sqlite3_finalize(to);
    return rc;
}

// 0 also when there is nothing to read from.
static int save_operations(struct salvage *salvage, struct outbox_damage *damage)
{
    if (sqlite3_prepare_v2(salvage->to, write_operation, -1, &salvage->write_operation, NULL) !=
            SQLITE_OK ||
        sqlite3_prepare_v2(salvage->to, write_content, -1, &salvage->write_content, NULL) !=
            SQLITE_OK)
        return -ENOMEM;
    if (sqlite3_prepare_v2(salvage->from, read_content, -1, &salvage->read_content, NULL) !=
        SQLITE_OK)
        return 0;
    return walk(salvage, true, damage);
}

int outbox_salvage(struct outbox_store *store, const char *from, struct outbox_damage *damage)
{
    struct outbox_db old;
    int old_rc = outbox_db_open_damaged(&old, from);
    struct salvage salvage = {.from = old.sqlite, .to = store->db.sqlite, .last_seq = INT64_MIN};
    int rc = outbox_db_begin(&store->db);
    if (rc == 0 && old_rc == 0) { // else all of it stays in the file that was set aside
        rc = save_paused(&salvage);
        rc = rc < 0 ? rc : save_operations(&salvage, damage);
    }
    sqlite3_finalize(salvage.read_content);
    sqlite3_finalize(salvage.write_operation);
    sqlite3_finalize(salvage.write_content);
    rc = rc < 0 ? rc : outbox_db_commit(&store->db); // also of nothing: it vouches for the file
    if (rc < 0)
        outbox_db_rollback(&store->db);
    outbox_db_close(&old);
    return rc;
}
