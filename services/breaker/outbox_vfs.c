#include "outbox_vfs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define GATHER_BYTES (128 * 1024 - 1) // the VFS for Unix keeps the lowest 17 bits of a length

// SQLite allocates it with the file it stands before: `real` follows it in memory.
struct gathered {
    sqlite3_file base;
    sqlite3_file *real;
    unsigned char *bytes; // NULL: not gathered (no memory, or not the log)
    sqlite3_int64 offset; // of what waits
    int len;
};

static struct gathered *gathered_of(sqlite3_file *file)
{
    return (struct gathered *)file;
}

// What could not be written is not tried again: SQLite rolls back, and writes there anew. So only
// those may call this whose result SQLite heeds: not file controls, unlocking, closing.
static int flush(struct gathered *file)
{
    int len = file->len;
    file->len = 0;
    return len == 0 ? SQLITE_OK
                    : file->real->pMethods->xWrite(file->real, file->bytes, len, file->offset);
}

static int gathered_write(sqlite3_file *base, const void *bytes, int len, sqlite3_int64 offset)
{
    struct gathered *file = gathered_of(base);
    bool follows = offset == file->offset + file->len && len <= GATHER_BYTES - file->len;
    int rc = file->len > 0 && !follows ? flush(file) : SQLITE_OK;
    if (rc != SQLITE_OK)
        return rc;
    if (file->bytes == NULL || len > GATHER_BYTES)
        return file->real->pMethods->xWrite(file->real, bytes, len, offset);
    if (file->len == 0)
        file->offset = offset;
    memcpy(file->bytes + file->len, bytes, (size_t)len);
    file->len += len;
    return SQLITE_OK;
}

static int gathered_read(sqlite3_file *base, void *bytes, int len, sqlite3_int64 offset)
{
    struct gathered *file = gathered_of(base);
    bool waits = file->len > 0 && offset < file->offset + file->len && offset + len > file->offset;
    int rc = waits ? flush(file) : SQLITE_OK;
    return rc != SQLITE_OK ? rc : file->real->pMethods->xRead(file->real, bytes, len, offset);
}

static int gathered_close(sqlite3_file *base)
{
    struct gathered *file = gathered_of(base);
    (void)flush(file); // was never synced, so nobody was promised anything
    int rc = file->real->pMethods->xClose(file->real);
    free(file->bytes);
    file->bytes = NULL;
    return rc;
}

static int gathered_truncate(sqlite3_file *base, sqlite3_int64 bytes)
{
    struct gathered *file = gathered_of(base);
    int rc = flush(file);
    return rc != SQLITE_OK ? rc : file->real->pMethods->xTruncate(file->real, bytes);
}

static int gathered_sync(sqlite3_file *base, int flags)
{
    struct gathered *file = gathered_of(base);
    int rc = flush(file);
    return rc != SQLITE_OK ? rc : file->real->pMethods->xSync(file->real, flags);
}

static int gathered_size(sqlite3_file *base, sqlite3_int64 *ret_bytes)
{
    struct gathered *file = gathered_of(base);
    int rc = flush(file);
    return rc != SQLITE_OK ? rc : file->real->pMethods->xFileSize(file->real, ret_bytes);
}

static int gathered_lock(sqlite3_file *base, int lock)
{
    return gathered_of(base)->real->pMethods->xLock(gathered_of(base)->real, lock);
}

static int gathered_unlock(sqlite3_file *base, int lock)
{
    return gathered_of(base)->real->pMethods->xUnlock(gathered_of(base)->real, lock);
}

static int gathered_is_reserved(sqlite3_file *base, int *ret)
{
    return gathered_of(base)->real->pMethods->xCheckReservedLock(gathered_of(base)->real, ret);
}

static int gathered_control(sqlite3_file *base, int op, void *arg)
{
    return gathered_of(base)->real->pMethods->xFileControl(gathered_of(base)->real, op, arg);
}

static int gathered_sector_size(sqlite3_file *base)
{
    return gathered_of(base)->real->pMethods->xSectorSize(gathered_of(base)->real);
}

static int gathered_traits(sqlite3_file *base)
{
    return gathered_of(base)->real->pMethods->xDeviceCharacteristics(gathered_of(base)->real);
}

// The index of the log, which connections of this process share: memory of the real one's.
static int gathered_shm_map(sqlite3_file *base, int region, int bytes, int extend,
                            void volatile **ret)
{
    sqlite3_file *real = gathered_of(base)->real;
    return real->pMethods->xShmMap(real, region, bytes, extend, ret);
}

static int gathered_shm_lock(sqlite3_file *base, int offset, int n, int flags)
{
    return gathered_of(base)->real->pMethods->xShmLock(gathered_of(base)->real, offset, n, flags);
}

static void gathered_shm_barrier(sqlite3_file *base)
{
    gathered_of(base)->real->pMethods->xShmBarrier(gathered_of(base)->real);
}

static int gathered_shm_unmap(sqlite3_file *base, int remove)
{
    return gathered_of(base)->real->pMethods->xShmUnmap(gathered_of(base)->real, remove);
}

// Version 2: no mapping of the file.
static const sqlite3_io_methods methods = {.iVersion = 2,
                                           .xClose = gathered_close,
                                           .xRead = gathered_read,
                                           .xWrite = gathered_write,
                                           .xTruncate = gathered_truncate,
                                           .xSync = gathered_sync,
                                           .xFileSize = gathered_size,
                                           .xLock = gathered_lock,
                                           .xUnlock = gathered_unlock,
                                           .xCheckReservedLock = gathered_is_reserved,
                                           .xFileControl = gathered_control,
                                           .xSectorSize = gathered_sector_size,
                                           .xDeviceCharacteristics = gathered_traits,
                                           .xShmMap = gathered_shm_map,
                                           .xShmLock = gathered_shm_lock,
                                           .xShmBarrier = gathered_shm_barrier,
                                           .xShmUnmap = gathered_shm_unmap};

static sqlite3_vfs *real_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static int gathered_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                         int *ret_flags)
{
    struct gathered *file = gathered_of(base);
    *file = (struct gathered){.real = (sqlite3_file *)(file + 1)};
    int rc = real_of(vfs)->xOpen(real_of(vfs), name, file->real, flags, ret_flags);
    if (file->real->pMethods == NULL)
        return rc;
    // Not the database: two connections write it, and a checkpoint of part of the log ends without
    // a sync. What waited here then would be missing when the other connection begins the log anew.
    if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL) != 0)
        file->bytes = malloc(GATHER_BYTES);
    file->base.pMethods = &methods;
    return rc;
}

// The real one's functions expect the real VFS.
static int gathered_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    return real_of(vfs)->xDelete(real_of(vfs), name, sync_dir);
}

static int gathered_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    return real_of(vfs)->xAccess(real_of(vfs), name, flags, ret);
}

static int gathered_full_path(sqlite3_vfs *vfs, const char *name, int cap, char *ret)
{
    return real_of(vfs)->xFullPathname(real_of(vfs), name, cap, ret);
}

int outbox_vfs_register(void)
{
    static sqlite3_vfs vfs;
    if (vfs.zName != NULL)
        return 0;
    // The one for Unix that shuts all other processes out and keeps the index of the log in memory.
    sqlite3_vfs *real = sqlite3_vfs_find("unix-excl");
    if (real == NULL)
        return -ENOSYS;
    vfs = *real; // version 1 suffices; what is not a file of ours goes straight to the real one
    vfs.iVersion = real->iVersion < 2 ? real->iVersion : 2;
    vfs.zName = OUTBOX_VFS;
    vfs.pAppData = real;
    vfs.pNext = NULL;
    vfs.szOsFile = (int)sizeof(struct gathered) + real->szOsFile;
    vfs.xOpen = gathered_open;
    vfs.xDelete = gathered_delete;
    vfs.xAccess = gathered_access;
    vfs.xFullPathname = gathered_full_path;
    if (sqlite3_vfs_register(&vfs, 0) == SQLITE_OK)
        return 0;
    vfs.zName = NULL;
    return -ENOMEM;
}
