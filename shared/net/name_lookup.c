#include "net/name_lookup.h"

#include <signal.h>

int name_lookup(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb on_found,
                const char *name, const char *port, const struct addrinfo *hints)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int r = uv_getaddrinfo(loop, request, on_found, name, port, hints);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}
