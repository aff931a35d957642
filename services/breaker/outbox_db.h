// The outbox's database file: one SQLite connection with its prepared statements.
//
// WAL with synchronous=FULL: a commit that has returned is on the disk. One owner at a time (an
// exclusive lock for the connection's life). A second connection writes the log back, from a thread
// of its own if one likes, while the first commits on. Every row carries a checksum that SQLite
// computes anew with each write (a stored generated column), so that a flipped bit is seen; and
// each commit counts up in the file and, without a sync of its own, in a small file beside it
// (PATH.mark): a database that has lost commits which were acknowledged is told from one that has
// not.
//
// Errors: -ENOSPC, -EROFS, -EACCES, -EIO, -EBUSY (another owner), -ENOMEM, -EUCLEAN (damaged).
// Thread: any, one at a time.
#ifndef VALVECHAIN_BREAKER_OUTBOX_DB_H
#define VALVECHAIN_BREAKER_OUTBOX_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum outbox_sql {
#define SQL(name, text) SQL_##name,
#include "outbox_sql.def"
#undef SQL
    OUTBOX_SQL_COUNT
};

#define OUTBOX_PATH_MAX 1024

struct outbox_db {
    sqlite3 *sqlite, *behind; // behind: writes the log back
    sqlite3_stmt *statements[OUTBOX_SQL_COUNT];
    int mark;      // descriptor of PATH.mark
    bool is_tight; // the disk was full
    uint64_t commits;
    unsigned log_pages;     // the log's, as of the last commit
    int64_t changes_before; // this transaction
    char path[OUTBOX_PATH_MAX];
};

// Opens PATH, creates it with mode 0600 when it is not there, and checks all of it (structure, row
// checksums, lost commits). -EUCLEAN: `ret_why` says what is damaged; nothing was changed in the
// file, but for its schema, where that is of before (docs/outbox.md).
int outbox_db_open(struct outbox_db *db, const char *path, char *ret_why, size_t why_cap);
void outbox_db_close(struct outbox_db *db); // also of one that did not open

// For reading what can be read. Not 0: nothing; to be closed all the same.
int outbox_db_open_damaged(struct outbox_db *db, const char *path);
// Until the next commit an opening finds this database damaged: a process that ends meanwhile does
// not leave an empty one behind that looks whole.
void outbox_db_distrust(struct outbox_db *db);

// Closes, and renames what belongs to PATH to PATH.damaged-WHEN (-wal, .mark with it).
// `ret_aside` gets the new name.
int outbox_db_set_aside(struct outbox_db *db, uint64_t wall_ms, char *ret_aside, size_t cap);
// Undoes that: the new database at PATH goes. For one that could not be filled.
void outbox_db_put_back(struct outbox_db *db, const char *aside);

int outbox_db_begin(struct outbox_db *db);
int outbox_db_commit(struct outbox_db *db); // not 0: rolled back
void outbox_db_rollback(struct outbox_db *db);

// Writes what the log holds by now into the database; commits go on meanwhile. What they add stays:
// ret_pages of the log's were written, and only after all of it the log begins anew. Thread: any,
// one at a time, also beside the one that commits.
int outbox_db_write_back(struct outbox_db *db, unsigned *ret_pages);
// The same from the connection that commits, between transactions: nothing is added meanwhile.
int outbox_db_write_back_rest(struct outbox_db *db);

// A statement, reset and without values.
sqlite3_stmt *outbox_db_use(struct outbox_db *db, enum outbox_sql sql);
// Runs it to its end: 0 or -errno.
int outbox_db_run(struct outbox_db *db, sqlite3_stmt *statement);
// The next row: 1; the end: 0 (the statement is reset); -errno.
int outbox_db_next(struct outbox_db *db, sqlite3_stmt *statement);
int outbox_db_error(int sqlite_code, int system_error); // as -errno
uint64_t outbox_sum(const void *bytes, size_t len);     // as row sums are made; keeps nobody out

void outbox_bind_blob(sqlite3_stmt *statement, int index, const void *bytes,
                      size_t len);                                           // NULL for 0
void outbox_bind_text(sqlite3_stmt *statement, int index, const char *text); // NULL for ""
// malloc'd copy, "" for NULL; NULL: no memory.
char *outbox_column_text(sqlite3_stmt *statement, int column);

#endif
