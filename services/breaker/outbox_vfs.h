// SQLite writes its log page by page, two system calls each, and pages back into the database one
// by one. This VFS (sqlite.org/vfs.html) gathers writes that follow one another and hands them on
// in one, at the latest when the file is synced: half of what accepting an operation cost was that.
// What is not yet written is lost with the process, as it would be by rolling the transaction back:
// nothing is acknowledged before the sync.
// For exclusive connections alone: there is no other reader. Thread: a connection's.
#ifndef VALVECHAIN_BREAKER_OUTBOX_VFS_H
#define VALVECHAIN_BREAKER_OUTBOX_VFS_H

#include <sqlite3.h>

#define OUTBOX_VFS "outbox" // to be named in sqlite3_open_v2

int outbox_vfs_register(void); // 0 or -errno; more than once is one. Thread: one at a time.

#endif
