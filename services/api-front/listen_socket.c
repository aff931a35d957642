#include "listen_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

int listen_socket_inherit(bool admin, int *ret_fd)
{
    char **names = NULL;
    int n = sd_listen_fds_with_names(0, &names);
    int found = -ENOENT;
    for (int i = 0; i < n; i++) {
        bool is_admin = names != NULL && strcmp(names[i], "admin") == 0;
        int fd = SD_LISTEN_FDS_START + i;
        if (found == -ENOENT && is_admin == admin &&
            sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0) {
            found = fd;
        }
    }
    for (int i = 0; names != NULL && i < n; i++) {
        free(names[i]);
    }
    free(names);
    if (found < 0) {
        return found;
    }
    int flags = fcntl(found, F_GETFL);
    if (flags < 0 || fcntl(found, F_SETFL, flags | O_NONBLOCK) < 0) {
        return -errno;
    }
    *ret_fd = found;
    return 0;
}

static int bind_and_listen(const struct sockaddr *address, socklen_t len, bool dual_stack,
                           int *ret_fd)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int on = 1;
    int only_v6 = dual_stack ? 0 : 1;
    bool failed = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
                  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0;
    if (!failed && address->sa_family == AF_INET6) {
        failed = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6)) < 0;
    }
    failed = failed || bind(fd, address, len) < 0 || listen(fd, SOMAXCONN) < 0;
    if (failed) {
        int r = -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int listen_socket_open(const char *address, uint16_t port, int *ret_fd)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (address[0] == '\0') {
        v6.sin6_addr = in6addr_any;
        int r = bind_and_listen((struct sockaddr *)&v6, sizeof(v6), true, ret_fd);
        if (r != -EAFNOSUPPORT && r != -EADDRNOTAVAIL) {
            return r;
        }
        return bind_and_listen((struct sockaddr *)&v4, sizeof(v4), false, ret_fd);
    }
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        return bind_and_listen((struct sockaddr *)&v4, sizeof(v4), false, ret_fd);
    }
    if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1) {
        return bind_and_listen((struct sockaddr *)&v6, sizeof(v6), false, ret_fd);
    }
    return -EINVAL;
}
