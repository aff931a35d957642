#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/segment_internal.h"

static void explain_open(const char *path, int error, bool read_only,
                         char ret_reason[SEGMENT_REASON_MAX])
{
    if (error == ENOENT)
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.200s: no such segment: no suite of that name has run here (VALVECHAIN_NAME, "
                 "SHM_DIR)",
                 path);
    else if (error == ELOOP)
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.200s: is a symbolic link, the segment must be a file of its own", path);
    else if (error == EISDIR)
        snprintf(ret_reason, SEGMENT_REASON_MAX, "%.200s: is a directory, not a ValveChain segment",
                 path);
    else if (error == EACCES || error == EPERM)
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.200s: may not be opened for %s by this user: run as its owner or as a member "
                 "of its group",
                 path, read_only ? "reading" : "writing");
    else
        snprintf(ret_reason, SEGMENT_REASON_MAX, "%.200s: cannot be opened: %s", path,
                 strerror(error));
}

static bool is_own_group(gid_t group)
{
    if (group == getegid())
        return true;
    int n = getgroups(0, NULL);
    gid_t *groups = n > 0 ? calloc((size_t)n, sizeof(*groups)) : NULL;
    if (!groups)
        return false;
    n = getgroups(n, groups);
    bool found = false;
    for (int i = 0; i < n && !found; i++)
        found = groups[i] == group;
    free(groups);
    return found;
}

// In a directory that everybody may write to, anybody could lay a segment of our name there and
// hold our limits in his hands.
static int check_file(const struct stat *st, bool read_only, const char *path,
                      char ret_reason[SEGMENT_REASON_MAX])
{
    bool ours = st->st_uid == geteuid() || st->st_uid == 0 || is_own_group(st->st_gid) ||
                (read_only && geteuid() == 0);
    if (!S_ISREG(st->st_mode))
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.200s: is not a regular file, not a ValveChain segment", path);
    else if (!ours)
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.200s: belongs to user %u and group %u, neither of them this process's: remove "
                 "it or run as them",
                 path, (unsigned)st->st_uid, (unsigned)st->st_gid);
    else if (st->st_mode & S_IWOTH)
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.200s: may be written by everybody (mode %04o), allowed is 0660: remove it",
                 path, (unsigned)(st->st_mode & 07777));
    else
        return 0;
    return S_ISREG(st->st_mode) ? -EACCES : -EPROTO;
}

bool segment_is_linked(int fd, const char *path)
{
    struct stat ours, named;
    return fstat(fd, &ours) == 0 && lstat(path, &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

static int read_header(int fd, const struct segment *segment, const struct segment_options *options,
                       char ret_reason[SEGMENT_REASON_MAX], struct segment_header *ret_header)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    int r = check_file(&st, segment->read_only, segment->path, ret_reason);
    if (r < 0)
        return r;
    // Read, not mapped: a file that somebody shortens right now must not raise SIGBUS.
    char page[SEGMENT_PAGE_BYTES];
    ssize_t n = pread(fd, page, sizeof(page), 0);
    if (n < 0)
        return -errno;
    char boot_id[SEGMENT_BOOT_ID_MAX];
    segment_boot_id(boot_id);
    return segment_check(page, (size_t)n, (uint64_t)st.st_size, segment->abi, boot_id, options,
                         segment->path, ret_reason, ret_header);
}

static int map_object(struct segment *segment, int fd, const struct segment_options *options,
                      char ret_reason[SEGMENT_REASON_MAX])
{
    struct segment_header header;
    int r = read_header(fd, segment, options, ret_reason, &header);
    if (r < 0)
        return r;
    if (!segment->read_only) {
        // The remover holds this byte for writing until the name is gone.
        r = segment_lock_try(fd, F_RDLCK, SEGMENT_LOCK_PRESENCE);
        if (r < 0)
            return r;
        if (!segment_is_linked(fd, segment->path))
            return -EAGAIN;
    }
    int protection = segment->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    void *memory = mmap(NULL, header.total_bytes, protection, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        r = -errno;
        snprintf(ret_reason, SEGMENT_REASON_MAX, "%.200s: cannot be mapped: %s", segment->path,
                 strerror(errno));
        return r;
    }
    segment->header = header;
    segment->memory = memory;
    segment->fd = fd;
    return 0;
}

int segment_attach(struct segment *segment, const struct segment_options *options,
                   char ret_reason[SEGMENT_REASON_MAX])
{
    // O_NONBLOCK: somebody's FIFO of our name must not hold us.
    int access = segment->read_only ? O_RDONLY : O_RDWR;
    int fd = open(segment->path, access | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int error = errno;
        explain_open(segment->path, error, segment->read_only, ret_reason);
        return error == ELOOP || error == EISDIR ? -EPROTO : -error;
    }
    int r = map_object(segment, fd, options, ret_reason);
    if (r < 0) {
        if (ret_reason[0] == 0)
            snprintf(ret_reason, SEGMENT_REASON_MAX, "%.200s: cannot be attached: %s",
                     segment->path, strerror(-r));
        close(fd);
    }
    return r;
}
