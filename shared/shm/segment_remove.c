#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/segment_internal.h"

// Under the lock file, so that no creator is at work; the lock file goes last.
static int remove_names(const char *path)
{
    char other[sizeof(((struct segment *)NULL)->path) + 8];
    int r = 0;
    if (unlink(path) < 0 && errno != ENOENT)
        r = -errno;
    snprintf(other, sizeof(other), "%s.new", path);
    if (unlink(other) < 0 && errno != ENOENT && r == 0)
        r = -errno;
    snprintf(other, sizeof(other), "%s.lock", path);
    if (r == 0 && unlink(other) < 0 && errno != ENOENT)
        r = -errno;
    return r;
}

// Removes the object if nobody else is attached. `fd` may be -1: there is none.
static int remove_if_alone(int fd, const char *path, uint64_t deadline_ns)
{
    int lock_fd;
    int r = segment_lock_file(path, deadline_ns, &lock_fd);
    if (r < 0)
        return r;
    // Held until the name is gone: who attaches meanwhile fails to take his read lock and tries
    // again, or finds that his object has lost its name.
    if (fd >= 0)
        r = segment_lock_try(fd, F_WRLCK, SEGMENT_LOCK_PRESENCE);
    if (r == 0 && (fd < 0 || segment_is_linked(fd, path)))
        r = remove_names(path);
    close(lock_fd);
    return r == -EAGAIN ? -EBUSY : r;
}

int segment_unlink(const char *dir, const char *name)
{
    char reason[SEGMENT_REASON_MAX];
    const struct segment_options options = {.dir = dir, .name = name};
    int r = segment_check_options(&options, reason);
    if (r < 0)
        return r;
    char path[sizeof(((struct segment *)NULL)->path)];
    snprintf(path, sizeof(path), "%s/%s.%d", dir, name, SEGMENT_ABI);
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno != ENOENT)
        return -errno;
    r = remove_if_alone(fd, path, clock_mono_ns() + SEGMENT_WAIT_NS);
    if (fd >= 0)
        close(fd);
    return r;
}

static bool is_newer_object(const struct segment *segment, const char *file)
{
    size_t len = strlen(segment->name);
    if (strncmp(file, segment->name, len) != 0 || file[len] != '.' ||
        !isdigit((unsigned char)file[len + 1]))
        return false;
    char *end;
    unsigned long abi = strtoul(file + len + 1, &end, 10);
    return *end == 0 && abi > segment->abi;
}

static bool is_newer_alive(const struct segment *segment)
{
    DIR *dir = opendir(segment->dir);
    if (!dir)
        return false;
    bool alive = false;
    for (struct dirent *file; !alive && (file = readdir(dir));) {
        if (!is_newer_object(segment, file->d_name))
            continue;
        int fd = openat(dirfd(dir), file->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
            continue;
        alive = segment_lock_is_held(fd, F_WRLCK, SEGMENT_LOCK_PRESENCE);
        close(fd);
    }
    closedir(dir);
    return alive;
}

void segment_remove_if_superseded(struct segment *segment)
{
    // No wait at an exit: if a creator holds the lock file, the object is wanted anyway.
    if (is_newer_alive(segment))
        (void)remove_if_alone(segment->fd, segment->path, 0);
}
