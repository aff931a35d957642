// What a damaged database still tells, into a new one: row by row, forwards until the damage and
// then backwards from the other end, each row judged by its own checksum.
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
    "SELECT seq, " COLUMNS " FROM old.operation WHERE sum IS row_sum(" COLUMNS ") ORDER BY seq ";
static const char read_content[] =
    "SELECT head, body, file FROM old.content WHERE seq = ?1 AND sum "
    "IS row_sum(seq, head, body, file)";
static const char write_operation[] =
    "INSERT OR IGNORE INTO main.operation(seq, " COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
    "?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)";
static const char write_content[] =
    "INSERT OR IGNORE INTO main.content(seq, head, body, file) VALUES(?1, ?2, ?3, ?4)";

struct salvage {
    sqlite3 *sqlite;
    sqlite3_stmt *read_content, *write_operation, *write_content;
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

static int walk(struct salvage *salvage, const char *direction, struct outbox_damage *damage)
{
    char sql[sizeof(read_operations) + 16];
    sqlite3_stmt *rows;
    int code, rc = 0;
    snprintf(sql, sizeof(sql), "%s%s", read_operations, direction);
    if (sqlite3_prepare_v2(salvage->sqlite, sql, -1, &rows, NULL) != SQLITE_OK)
        return 0; // nothing of it is readable
    while (rc >= 0 && (code = sqlite3_step(rows)) == SQLITE_ROW) {
        int changes = sqlite3_total_changes(salvage->sqlite);
        rc = save_row(salvage, rows);
        if (rc > 0 && sqlite3_total_changes(salvage->sqlite) > changes)
            damage->saved++;
        damage->lost += rc == 0;
    }
    sqlite3_finalize(rows);
    return rc < 0 ? rc : 0;
}

static int prepare(struct salvage *salvage)
{
    const struct {
        const char *sql;
        sqlite3_stmt **statement;
    } list[] = {{read_content, &salvage->read_content},
                {write_operation, &salvage->write_operation},
                {write_content, &salvage->write_content}};
    for (size_t i = 0; i < 3; i++)
        if (sqlite3_prepare_v2(salvage->sqlite, list[i].sql, -1, list[i].statement, NULL) !=
            SQLITE_OK)
            return -EUCLEAN;
    return 0;
}

int outbox_salvage(struct outbox_store *store, const char *from, struct outbox_damage *damage)
{
    struct salvage salvage = {.sqlite = store->db.sqlite};
    char *attach = sqlite3_mprintf("ATTACH %Q AS old", from);
    if (attach == NULL)
        return -ENOMEM;
    int code = sqlite3_exec(salvage.sqlite, attach, NULL, NULL, NULL);
    sqlite3_free(attach);
    if (code != SQLITE_OK || prepare(&salvage) < 0) {
        sqlite3_finalize(salvage.read_content);
        sqlite3_exec(salvage.sqlite, "DETACH old", NULL, NULL, NULL);
        return 0; // no database at all: all of it stays in the file that was set aside
    }
    int rc = outbox_db_begin(&store->db);
    rc = rc < 0 ? rc : walk(&salvage, "ASC", damage);
    rc = rc < 0 ? rc : walk(&salvage, "DESC", damage);
    rc = rc < 0 ? rc : outbox_db_commit(&store->db);
    if (rc < 0)
        outbox_db_rollback(&store->db);
    sqlite3_finalize(salvage.read_content);
    sqlite3_finalize(salvage.write_operation);
    sqlite3_finalize(salvage.write_content);
    sqlite3_exec(salvage.sqlite, "DETACH old", NULL, NULL, NULL);
    return rc;
}
