#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/segment_internal.h"

static int lock_call(int fd, int command, short type, off_t offset, struct flock *ret_lock)
{
    // Open-file-description locks: they belong to the descriptor, not to the process, so that
    // closing an unrelated descriptor of the same file does not drop them.
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = offset, .l_len = 1};
    if (fcntl(fd, command, &lock) < 0)
        return errno == EACCES ? -EAGAIN : -errno;
    if (ret_lock)
        *ret_lock = lock;
    return 0;
}

int segment_lock_try(int fd, short type, off_t offset)
{
    return lock_call(fd, F_OFD_SETLK, type, offset, NULL);
}

void segment_wait_a_little(void)
{
    // File locks have no timed wait and no event; whoever holds one of ours holds it for
    // milliseconds.
    const struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
}

int segment_lock_within(int fd, short type, off_t offset, uint64_t deadline_ns)
{
    for (;;) {
        int r = segment_lock_try(fd, type, offset);
        if (r != -EAGAIN)
            return r;
        if (clock_mono_ns() >= deadline_ns)
            return -ETIMEDOUT;
        segment_wait_a_little();
    }
}

bool segment_lock_is_held(int fd, short type, off_t offset)
{
    struct flock lock = {.l_type = F_UNLCK};
    return lock_call(fd, F_OFD_GETLK, type, offset, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int open_lock_file(const char *path)
{
    // Opened without O_CREAT first: fs.protected_regular refuses O_CREAT on another user's file in
    // a sticky directory, though the group may open it.
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 || errno != ENOENT)
        return fd >= 0 ? fd : -errno;
    fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_CREAT | O_EXCL, 0660);
    if (fd < 0)
        return errno == EEXIST ? -EAGAIN : -errno;
    (void)fchmod(fd, 0660); // whatever the umask says: the group must be able to lock
    return fd;
}

int segment_lock_file(const char *path, uint64_t deadline_ns, int *ret_fd)
{
    char lock_path[sizeof(((struct segment *)NULL)->path) + 8];
    snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
    for (;;) {
        int fd = open_lock_file(lock_path);
        if (fd >= 0) {
            int r = segment_lock_within(fd, F_WRLCK, 0, deadline_ns);
            if (r == 0 && segment_is_linked(fd, lock_path)) {
                *ret_fd = fd;
                return 0;
            }
            close(fd);
            if (r < 0)
                return r;
        } else if (fd != -EAGAIN) {
            return fd;
        }
        if (clock_mono_ns() >= deadline_ns)
            return -ETIMEDOUT;
    }
}
