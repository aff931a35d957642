// Work and name look-ups on libuv's threads, without these threads ever taking a signal.
//
// libuv starts its threads with the first of either, with the caller's signal mask. Signals belong
// to the loop's thread alone: a SIGTERM that arrives while a process leaves, when the loop has
// given its handlers up, must not find a thread where it still ends the process. Thread: the
// loop's. Errors and callbacks: those of uv_getaddrinfo() and uv_queue_work().
#ifndef VALVECHAIN_NET_POOL_H
#define VALVECHAIN_NET_POOL_H

#include <uv.h>

int name_lookup(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb on_found,
                const char *name, const char *port, const struct addrinfo *hints);
int pool_work(uv_loop_t *loop, uv_work_t *request, uv_work_cb work, uv_after_work_cb after);

#endif
