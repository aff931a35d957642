// The folder of the ZeroMQ sockets. Who can write into it can command the suite, so it belongs to
// us or to root, and others have no access.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/service.h"

#define DIR_MODE 0770

// Makes the folder unless it is there. -ENOTDIR, -EPERM (a stranger's, or open to others), -EACCES.
static int dir_prepare(const char *path)
{
    struct stat status;

    if (mkdir(path, DIR_MODE) == 0)
        return chmod(path, DIR_MODE) == 0 ? 0 : -errno; // whatever the umask was
    if (errno != EEXIST)
        return -errno;
    if (lstat(path, &status) < 0)
        return -errno;
    if (!S_ISDIR(status.st_mode))
        return -ENOTDIR;
    if ((status.st_uid != geteuid() && status.st_uid != 0) || (status.st_mode & S_IWOTH))
        return -EPERM;
    return access(path, W_OK | X_OK) == 0 ? 0 : -errno;
}

// DIR/NAME, prepared, into `path`.
static int try_dir(const char *dir, const char *name, char *path, size_t cap)
{
    int len = snprintf(path, cap, "%s/%s", dir, name);

    return len > 0 && (size_t)len < cap ? dir_prepare(path) : -ENAMETOOLONG;
}

static int default_dir(const struct suite_params *suite, char *path, size_t cap)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char name[SEGMENT_NAME_MAX + 16];

    if (try_dir("/run", suite->name, path, cap) == 0)
        return 0;
    if (runtime && *runtime == '/' && try_dir(runtime, suite->name, path, cap) == 0)
        return 0;
    snprintf(name, sizeof(name), "%.*s-%u", SEGMENT_NAME_MAX, suite->name, (unsigned)geteuid());
    return try_dir("/tmp", name, path, cap);
}

int service_socket_dir(const struct suite_params *suite, char *ret_path, size_t cap)
{
    char path[256];
    int error;

    if (suite->socket_dir && *suite->socket_dir) {
        snprintf(path, sizeof(path), "%s", suite->socket_dir);
        error = strlen(suite->socket_dir) < sizeof(path) ? dir_prepare(path) : -ENAMETOOLONG;
    } else {
        error = default_dir(suite, path, sizeof(path));
    }
    if (error < 0)
        return error;
    if (strlen(path) >= cap)
        return -ENAMETOOLONG;
    memcpy(ret_path, path, strlen(path) + 1);
    return 0;
}
