// Where clients come in: a socket from systemd, or one of our own. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_LISTEN_SOCKET_H
#define VALVECHAIN_API_FRONT_LISTEN_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

// The socket that systemd passed under the name `admin` (FileDescriptorName=), or for `admin` false
// the first other one. -ENOENT: none.
int listen_socket_inherit(bool admin, int *ret_fd);
// Binds and listens; several processes may bind the same port. `address` "": all, IPv6 and IPv4 by
// one socket, or IPv4 alone where the kernel has no IPv6. -errno.
int listen_socket_open(const char *address, uint16_t port, int *ret_fd);

#endif
