#include "outbox_db.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "outbox_vfs.h"

static const char *const statements[OUTBOX_SQL_COUNT] = {
#define SQL(name, text) [SQL_##name] = (text),
#include "outbox_sql.def"
#undef SQL
};

#define SCHEMA 3
#define CREATE_PAUSED                                                                              \
    "CREATE TABLE IF NOT EXISTS paused(upstream TEXT PRIMARY KEY,"                                 \
    " sum INTEGER GENERATED ALWAYS AS (row_sum(upstream)) STORED) WITHOUT ROWID;"

// What changes with each attempt is kept apart from what never does: an attempt must not write the
// body anew.
static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT OR IGNORE INTO meta VALUES('schema', 3), ('commits', 0);" CREATE_PAUSED
    "CREATE TABLE IF NOT EXISTS operation("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL, key BLOB, print BLOB NOT NULL,"
    " scope BLOB, upstream TEXT NOT NULL, route TEXT, lane INTEGER, lane_name TEXT,"
    " state INTEGER NOT NULL, blocked INTEGER NOT NULL, flags INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL, accepted_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL, finished_ms INTEGER, bytes INTEGER NOT NULL,"
    " body_bytes INTEGER NOT NULL, error TEXT, status INTEGER, answer_type TEXT, answer BLOB,"
    " sum INTEGER GENERATED ALWAYS AS (row_sum(id, key, print, scope, upstream, route, lane,"
    " lane_name, state, blocked, flags, attempts, accepted_ms, due_ms, expires_ms, finished_ms,"
    " bytes, body_bytes, error, status, answer_type, answer)) STORED);"
    "CREATE INDEX IF NOT EXISTS operation_due ON operation(upstream, due_ms, seq)"
    " WHERE state = 0 AND blocked = 0;"
    "CREATE INDEX IF NOT EXISTS operation_live ON operation(upstream, seq) WHERE state < 2;"
    "CREATE INDEX IF NOT EXISTS operation_lane ON operation(lane, seq)"
    " WHERE state < 2 AND lane IS NOT NULL;"
    "CREATE INDEX IF NOT EXISTS operation_result ON operation(finished_ms)"
    " WHERE state IN (2, 5);"
    "CREATE TABLE IF NOT EXISTS content(seq INTEGER PRIMARY KEY, head BLOB NOT NULL, body BLOB,"
    " file TEXT, sum INTEGER GENERATED ALWAYS AS (row_sum(seq, head, body, file)) STORED);";

// Schema 2 found operations by indices on the disk (now outbox_index.c), and what is paused had no
// sum.
static const char schema_from_2[] =
    "BEGIN IMMEDIATE;"
    "ALTER TABLE paused RENAME TO paused_2;" CREATE_PAUSED
    "INSERT INTO paused(upstream) SELECT upstream FROM paused_2;"
    "DROP TABLE paused_2; DROP INDEX operation_id; DROP INDEX operation_key;"
    "UPDATE meta SET value = 3 WHERE name = 'schema'; COMMIT;";

// ---- errors, values -------------------------------------------------------------------------

int outbox_db_error(int sqlite_code, int system_error)
{
    switch (sqlite_code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        return system_error > 0 ? -system_error : -EIO;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: // the statements are right: the file's format or schema is none of ours
        return -EUCLEAN;
    default:
        return -EIO;
    }
}

static int error_of(sqlite3 *sqlite)
{
    return outbox_db_error(sqlite3_errcode(sqlite), sqlite3_system_errno(sqlite));
}

static int last_error(const struct outbox_db *db)
{
    return error_of(db->sqlite);
}

void outbox_bind_blob(sqlite3_stmt *statement, int index, const void *bytes, size_t len)
{
    if (len > 0)
        sqlite3_bind_blob64(statement, index, bytes, len, SQLITE_STATIC);
}

void outbox_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    if (text != NULL && text[0] != '\0')
        sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

char *outbox_column_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    return strdup(text != NULL ? (const char *)text : "");
}

// Each step is a bijection of the sum, and of the word for a given sum: damage within one word is
// always seen, any other but once in 2^64. It keeps nobody from forging.
static uint64_t sum_word(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 32;
}

static uint64_t sum_bytes(uint64_t sum, const unsigned char *bytes, size_t len)
{
    uint64_t word;
    for (; len >= sizeof(word); bytes += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        sum = sum_word(sum, word);
    }
    word = 0;
    if (len > 0)
        memcpy(&word, bytes, len);
    return sum_word(sum, word);
}

uint64_t outbox_sum(const void *bytes, size_t len)
{
    return sum_bytes(len, bytes, len);
}

// row_sum(...): 64 bits over the types, lengths and bytes of all arguments.
static void row_sum(sqlite3_context *context, int n, sqlite3_value **values)
{
    uint64_t sum = (uint64_t)n;
    for (int i = 0; i < n; i++) {
        int type = sqlite3_value_type(values[i]);
        int64_t number = type == SQLITE_INTEGER ? sqlite3_value_int64(values[i]) : 0;
        sum = sum_word(sum, (uint64_t)type);
        if (type == SQLITE_BLOB || type == SQLITE_TEXT) {
            const void *bytes = sqlite3_value_blob(values[i]);
            number = sqlite3_value_bytes(values[i]);
            sum = sum_bytes(sum, bytes, bytes != NULL ? (size_t)number : 0);
        }
        sum = sum_word(sum, (uint64_t)number);
    }
    sqlite3_result_int64(context, (int64_t)sum);
}

// ---- opening --------------------------------------------------------------------------------

static int run_sql(struct outbox_db *db, const char *sql)
{
    return sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : last_error(db);
}

// SQLite gives -wal the mode of the file itself.
static int make_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int rc = fchmod(fd, 0600) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int open_mark(struct outbox_db *db)
{
    char path[OUTBOX_PATH_MAX + 8];
    snprintf(path, sizeof(path), "%s.mark", db->path);
    db->mark = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return db->mark < 0 ? -errno : 0;
}

static int connect_to(const char *path, const char *pragmas, sqlite3 **ret_sqlite)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc = outbox_vfs_register();
    if (rc < 0)
        return rc;
    if (sqlite3_open_v2(path, ret_sqlite, flags, OUTBOX_VFS) != SQLITE_OK)
        return *ret_sqlite != NULL ? error_of(*ret_sqlite) : -ENOMEM;
    // What a damaged file holds must stay as it is until it is set aside.
    sqlite3_db_config(*ret_sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    rc = sqlite3_create_function_v2(*ret_sqlite, "row_sum", -1,
                                    SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL,
                                    row_sum, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return -ENOMEM;
    return sqlite3_exec(*ret_sqlite, pragmas, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : error_of(*ret_sqlite);
}

static int note_log(void *arg, sqlite3 *sqlite, const char *name, int pages)
{
    (void)sqlite;
    (void)name;
    ((struct outbox_db *)arg)->log_pages = (unsigned)pages;
    return SQLITE_OK;
}

static int open_sqlite(struct outbox_db *db)
{
    // The page size holds for a file that is made now. In pages of 4 KiB the body of an operation
    // of 4 KiB takes one. The log is written back by the journal, not by commits.
    static const char pragmas[] =
        "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-16384;"
        "PRAGMA journal_size_limit=33554432; PRAGMA cell_size_check=ON; BEGIN IMMEDIATE; COMMIT;";
    int rc = connect_to(db->path, pragmas, &db->sqlite);
    if (rc == 0)
        sqlite3_wal_hook(db->sqlite, note_log, db);
    return rc;
}

// The schema is read at once: later that would take a moment from a commit.
static int open_behind(struct outbox_db *db)
{
    static const char pragmas[] = "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
                                  "SELECT count(*) FROM meta;";
    return connect_to(db->path, pragmas, &db->behind);
}

static int prepare(struct outbox_db *db)
{
    for (int i = 0; i < OUTBOX_SQL_COUNT; i++)
        if (sqlite3_prepare_v3(db->sqlite, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &db->statements[i], NULL) != SQLITE_OK)
            return last_error(db);
    return 0;
}

// One number of a statement without values.
static int ask_number(struct outbox_db *db, enum outbox_sql sql, int64_t *ret_number)
{
    sqlite3_stmt *statement = outbox_db_use(db, sql);
    int rc = outbox_db_next(db, statement);
    if (rc <= 0)
        return rc == 0 ? -EUCLEAN : rc;
    *ret_number = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return 0;
}

static int damaged(char *why, size_t cap, const char *text)
{
    snprintf(why, cap, "%s", text);
    return -EUCLEAN;
}

// One finding is enough, and a file of another kind has thousands.
static int check_structure(struct outbox_db *db, char *why, size_t cap)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db->sqlite, "PRAGMA integrity_check(1)", -1, &statement, NULL) !=
        SQLITE_OK)
        return last_error(db);
    int rc = sqlite3_step(statement) == SQLITE_ROW ? 0 : last_error(db);
    const char *text = rc == 0 ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (text == NULL || strcmp(text, "ok") != 0)
        rc = rc < 0 ? rc : damaged(why, cap, text != NULL ? text : "no answer");
    sqlite3_finalize(statement);
    return rc;
}

static int check_sums(struct outbox_db *db, char *why, size_t cap)
{
    int64_t rows = 0, content = 0, paused = 0;
    int rc = ask_number(db, SQL_bad_rows, &rows);
    rc = rc < 0 ? rc : ask_number(db, SQL_bad_content, &content);
    rc = rc < 0 ? rc : ask_number(db, SQL_bad_paused, &paused);
    if (rc == 0 && rows + content + paused > 0) {
        snprintf(why, cap,
                 "%lld operations, %lld contents and %lld names of paused upstreams do not match "
                 "their checksums",
                 (long long)rows, (long long)content, (long long)paused);
        rc = -EUCLEAN;
    }
    return rc;
}

// Before the statements are prepared, for they are those of this schema.
static int upgrade(struct outbox_db *db)
{
    sqlite3_stmt *statement;
    int number = SCHEMA;
    if (sqlite3_prepare_v2(db->sqlite, "SELECT value FROM meta WHERE name = 'schema'", -1,
                           &statement, NULL) == SQLITE_OK) { // else the file is new
        if (sqlite3_step(statement) == SQLITE_ROW)
            number = sqlite3_column_int(statement, 0);
        sqlite3_finalize(statement);
    }
    int rc = number == 2 ? run_sql(db, schema_from_2) : 0;
    if (rc < 0 && !sqlite3_get_autocommit(db->sqlite))
        (void)run_sql(db, "ROLLBACK");
    return rc;
}

// 1 had other row sums; no release wrote it.
static int check_schema(struct outbox_db *db, char *why, size_t cap)
{
    int64_t number = 0;
    int rc = ask_number(db, SQL_schema, &number);
    if (rc == 0 && number != SCHEMA) {
        snprintf(why, cap, "its schema is %lld, not %d", (long long)number, SCHEMA);
        rc = -EUCLEAN;
    }
    return rc;
}

static int check_mark(struct outbox_db *db, char *why, size_t cap)
{
    uint64_t mark = 0;
    int64_t commits = 0;
    int rc = ask_number(db, SQL_commits, &commits);
    if (rc < 0)
        return rc;
    db->commits = (uint64_t)commits;
    if (pread(db->mark, &mark, sizeof(mark), 0) != (ssize_t)sizeof(mark) || mark <= db->commits)
        return 0; // a mark that did not reach the disk says nothing
    snprintf(why, cap, "%llu commits that were acknowledged are missing",
             (unsigned long long)(mark - db->commits));
    return -EUCLEAN;
}

int outbox_db_open(struct outbox_db *db, const char *path, char *ret_why, size_t why_cap)
{
    *db = (struct outbox_db){.mark = -1};
    if (strlen(path) >= sizeof(db->path) - 32)
        return -ENAMETOOLONG;
    memcpy(db->path, path, strlen(path) + 1);
    snprintf(ret_why, why_cap, "it is no database or its structure is broken");
    int rc = sodium_init() < 0 ? -ENOMEM : make_file(path);
    rc = rc < 0 ? rc : open_mark(db);
    rc = rc < 0 ? rc : open_sqlite(db);
    rc = rc < 0 ? rc : check_structure(db, ret_why, why_cap);
    rc = rc < 0 ? rc : upgrade(db);
    rc = rc < 0 ? rc : run_sql(db, schema);
    rc = rc < 0 ? rc : prepare(db);
    rc = rc < 0 ? rc : check_schema(db, ret_why, why_cap);
    rc = rc < 0 ? rc : check_mark(db, ret_why, why_cap);
    rc = rc < 0 ? rc : check_sums(db, ret_why, why_cap);
    return rc < 0 ? rc : open_behind(db);
}

int outbox_db_open_damaged(struct outbox_db *db, const char *path)
{
    *db = (struct outbox_db){.mark = -1};
    snprintf(db->path, sizeof(db->path), "%s", path);
    return access(path, F_OK) < 0 ? -errno : open_sqlite(db);
}

void outbox_db_distrust(struct outbox_db *db)
{
    static const uint64_t never = UINT64_MAX;
    (void)!pwrite(db->mark, &never, sizeof(never), 0);
}

void outbox_db_close(struct outbox_db *db)
{
    for (int i = 0; i < OUTBOX_SQL_COUNT; i++)
        sqlite3_finalize(db->statements[i]);
    sqlite3_close(db->behind);
    sqlite3_close(db->sqlite);
    if (db->mark >= 0)
        close(db->mark);
    memset(db->statements, 0, sizeof(db->statements));
    db->sqlite = db->behind = NULL;
    db->mark = -1;
}

static const char *const suffixes[] = {"", "-wal", "-journal", ".mark"};
#define N_SUFFIXES (sizeof(suffixes) / sizeof(suffixes[0]))

static int move_files(const char *from, const char *to)
{
    char from_file[OUTBOX_PATH_MAX + 80], to_file[OUTBOX_PATH_MAX + 80];
    for (size_t i = 0; i < N_SUFFIXES; i++) {
        snprintf(from_file, sizeof(from_file), "%s%s", from, suffixes[i]);
        snprintf(to_file, sizeof(to_file), "%s%s", to, suffixes[i]);
        if (rename(from_file, to_file) < 0 && errno != ENOENT)
            return -errno;
    }
    return 0;
}

int outbox_db_set_aside(struct outbox_db *db, uint64_t wall_ms, char *ret_aside, size_t cap)
{
    outbox_db_close(db);
    snprintf(ret_aside, cap, "%s.damaged-%llu", db->path, (unsigned long long)wall_ms);
    return move_files(db->path, ret_aside);
}

void outbox_db_put_back(struct outbox_db *db, const char *aside)
{
    char file[OUTBOX_PATH_MAX + 80];
    outbox_db_close(db);
    for (size_t i = 0; i < N_SUFFIXES; i++) {
        snprintf(file, sizeof(file), "%s%s", db->path, suffixes[i]);
        unlink(file);
    }
    (void)move_files(aside, db->path);
}

// ---- transactions and statements ------------------------------------------------------------

sqlite3_stmt *outbox_db_use(struct outbox_db *db, enum outbox_sql sql)
{
    sqlite3_stmt *statement = db->statements[sql];
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return statement;
}

int outbox_db_next(struct outbox_db *db, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return 1;
    int rc = code == SQLITE_DONE ? 0 : last_error(db);
    db->is_tight |= rc == -ENOSPC || rc == -EDQUOT;
    sqlite3_reset(statement);
    return rc;
}

int outbox_db_run(struct outbox_db *db, sqlite3_stmt *statement)
{
    int rc;
    while ((rc = outbox_db_next(db, statement)) > 0)
        continue;
    return rc;
}

int outbox_db_begin(struct outbox_db *db)
{
    // The log may be what fills the disk. The first room there is goes to writing it back, for what
    // would be appended to it instead might leave none for that.
    if (db->is_tight && sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE,
                                                  NULL, NULL) == SQLITE_OK)
        db->is_tight = false;
    db->changes_before = sqlite3_total_changes64(db->sqlite);
    return outbox_db_run(db, outbox_db_use(db, SQL_begin));
}

void outbox_db_rollback(struct outbox_db *db)
{
    if (!sqlite3_get_autocommit(db->sqlite))
        (void)outbox_db_run(db, outbox_db_use(db, SQL_rollback));
}

int outbox_db_commit(struct outbox_db *db)
{
    // What only read needs no place on the disk.
    bool wrote = sqlite3_total_changes64(db->sqlite) != db->changes_before;
    int rc = wrote ? outbox_db_run(db, outbox_db_use(db, SQL_count_commit)) : 0;
    rc = rc < 0 ? rc : outbox_db_run(db, outbox_db_use(db, SQL_commit));
    if (rc < 0) {
        outbox_db_rollback(db);
        return rc;
    }
    db->commits += wrote;
    // Lost, it only tells less: the commit itself is safe.
    (void)!pwrite(db->mark, &db->commits, sizeof(db->commits), 0);
    return 0;
}

// ---- writing the log back -------------------------------------------------------------------

int outbox_db_write_back(struct outbox_db *db, unsigned *ret_pages)
{
    int log = 0, done = 0;
    int code = sqlite3_wal_checkpoint_v2(db->behind, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &done);
    if (code != SQLITE_OK)
        return outbox_db_error(code, sqlite3_system_errno(db->behind));
    *ret_pages = done > 0 ? (unsigned)done : 0;
    return 0;
}

int outbox_db_write_back_rest(struct outbox_db *db)
{
    int code = sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return outbox_db_error(code, sqlite3_system_errno(db->sqlite));
}
