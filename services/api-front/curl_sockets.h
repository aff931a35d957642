// The sockets that libcurl has open for a pool, by the addresses at their two ends: libcurl names
// them when it is about to send on a kept connection, and whoever would, can look at it before.
// Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_CURL_SOCKETS_H
#define VALVECHAIN_API_FRONT_CURL_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct curl_socket {
    int fd;
    uint64_t name; // 0: not yet connected
    bool is_http2;
};
struct curl_sockets {
    struct curl_socket *items;
    size_t n, cap;
};

void curl_sockets_fini(struct curl_sockets *sockets);
int curl_sockets_add(struct curl_sockets *sockets, int fd); // -ENOMEM
void curl_sockets_remove(struct curl_sockets *sockets, int fd);
struct curl_socket *curl_sockets_find(struct curl_sockets *sockets, int fd);         // NULL: none
struct curl_socket *curl_sockets_named(struct curl_sockets *sockets, uint64_t name); // NULL: none
// Of a connection between two addresses and ports; never 0.
uint64_t curl_socket_name(const char *ip, int port, const char *local_ip, int local_port);
// Nothing has come on it, and it is not closed. Of HTTP/2, where anything may come at any time and
// nothing can be taken for another answer: always.
bool curl_socket_is_quiet(const struct curl_socket *socket);

#endif
