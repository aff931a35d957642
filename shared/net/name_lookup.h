// Looking a name up on libuv's threads, without these threads ever taking a signal.
//
// libuv starts its threads at the first lookup, with the caller's signal mask. Signals belong to
// the loop's thread alone: a SIGTERM that arrives while a process leaves, when the loop has given
// its handlers up, must not find a thread where it still ends the process. Thread: the loop's.
// Errors and callback: those of uv_getaddrinfo().
#ifndef VALVECHAIN_NET_NAME_LOOKUP_H
#define VALVECHAIN_NET_NAME_LOOKUP_H

#include <uv.h>

int name_lookup(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb on_found,
                const char *name, const char *port, const struct addrinfo *hints);

#endif
