// A bound socket and its path: what a dead process left is replaced, a live one's is waited for,
// and a path that vanished under us is bound anew.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/bus_internal.h"

#define SOCKET_MODE 0660

struct bus_bound {
    struct bus_socket socket;
    char path[BUS_PATH_MAX];
    bool is_up;
    dev_t device;
    ino_t inode;
};

// libzmq unlinks whatever lies at the path before it binds, so we look first who is there.
static int path_check(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    int fd, error = 0;

    if (lstat(path, &status) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(status.st_mode))
        return -EEXIST;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN)
        error = -EADDRINUSE;
    else if (errno != ECONNREFUSED && errno != ENOENT)
        error = -errno;
    close(fd);
    return error;
}

static int bound_bind(struct bus_bound *bound)
{
    char address[BUS_PATH_MAX + 8];
    struct stat status;
    mode_t mask;
    int error = path_check(bound->path);

    if (error < 0)
        return error;
    snprintf(address, sizeof(address), "ipc://%s", bound->path);
    mask = umask(0777 & ~SOCKET_MODE);
    if (zmq_bind(bound->socket.zmq, address) < 0)
        error = -errno;
    umask(mask);
    if (error < 0)
        return error;
    if (lstat(bound->path, &status) == 0) {
        bound->device = status.st_dev;
        bound->inode = status.st_ino;
    }
    bound->is_up = true;
    return 0;
}

static bool path_is_ours(const struct bus_bound *bound)
{
    struct stat status;

    return lstat(bound->path, &status) == 0 && status.st_dev == bound->device &&
           status.st_ino == bound->inode;
}

void bus_bound_tick(struct bus_bound *bound)
{
    char address[BUS_PATH_MAX + 8];

    if (!bound || (bound->is_up && path_is_ours(bound)))
        return;
    if (bound->is_up) { // removed, or taken over by force
        snprintf(address, sizeof(address), "ipc://%s", bound->path);
        zmq_unbind(bound->socket.zmq, address);
        bound->is_up = false;
    }
    bound_bind(bound);
    // Binding and unbinding take what ZeroMQ's threads have told, and with it the descriptor's
    // edge.
    bus_socket_kick(&bound->socket);
}

// libzmq leaves the path behind (it removes only those it invented itself).
void bus_bound_close(struct bus_bound *bound, int linger_ms)
{
    if (bound->is_up && path_is_ours(bound))
        unlink(bound->path);
    bus_socket_close(&bound->socket, linger_ms);
}

bool bus_bound_is_up(const struct bus_bound *bound)
{
    return bound->is_up;
}

const char *bus_bound_path(const struct bus_bound *bound)
{
    return bound->path;
}

int bus_bound_open(struct bus *bus, int type, const struct bus_endpoint *endpoint,
                   void (*on_message)(struct bus_socket *, struct bus_frames *),
                   struct bus_bound **ret_bound)
{
    struct bus_bound *bound;
    char path[BUS_PATH_MAX];
    void *socket;
    int error = bus_endpoint_path(endpoint, bus->socket_dir, bus->instance, path);

    if (error < 0)
        return error;
    error = bus_socket_open(bus, type, sizeof(*bound), on_message, &socket);
    if (error < 0)
        return error;
    bound = socket;
    memcpy(bound->path, path, sizeof(path));
    error = bound_bind(bound);
    if (error < 0 && error != -EADDRINUSE) {
        bus_socket_close(&bound->socket, 0);
        return error;
    }
    *ret_bound = bound;
    return 0;
}
