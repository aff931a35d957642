#include "curl_sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

void curl_sockets_fini(struct curl_sockets *sockets)
{
    free(sockets->items);
    *sockets = (struct curl_sockets){0};
}

int curl_sockets_add(struct curl_sockets *sockets, int fd)
{
    if (sockets->n == sockets->cap) {
        size_t cap = sockets->cap > 0 ? 2 * sockets->cap : 16;
        struct curl_socket *items = realloc(sockets->items, cap * sizeof(*items));
        if (items == NULL) {
            return -ENOMEM;
        }
        sockets->items = items;
        sockets->cap = cap;
    }
    sockets->items[sockets->n++] = (struct curl_socket){.fd = fd};
    return 0;
}

struct curl_socket *curl_sockets_find(struct curl_sockets *sockets, int fd)
{
    for (size_t i = 0; i < sockets->n; i++) {
        if (sockets->items[i].fd == fd) {
            return &sockets->items[i];
        }
    }
    return NULL;
}

struct curl_socket *curl_sockets_named(struct curl_sockets *sockets, uint64_t name)
{
    for (size_t i = 0; i < sockets->n; i++) {
        if (sockets->items[i].name == name) {
            return &sockets->items[i];
        }
    }
    return NULL;
}

void curl_sockets_remove(struct curl_sockets *sockets, int fd)
{
    struct curl_socket *found = curl_sockets_find(sockets, fd);
    if (found != NULL) {
        *found = sockets->items[--sockets->n];
    }
}

// FNV-1a
static uint64_t mix(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    }
    return hash;
}

uint64_t curl_socket_name(const char *ip, int port, const char *local_ip, int local_port)
{
    uint64_t hash = mix(mix(0xcbf29ce484222325, ip) ^ ' ', local_ip);
    hash = (hash ^ (uint64_t)(unsigned)port) * 0x100000001b3;
    hash = (hash ^ (uint64_t)(unsigned)local_port) * 0x100000001b3;
    return hash != 0 ? hash : 1;
}

bool curl_socket_is_quiet(const struct curl_socket *socket)
{
    char byte;
    return socket->is_http2 ||
           (recv(socket->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN);
}
