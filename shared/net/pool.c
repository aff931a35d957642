#include "net/pool.h"

#include <signal.h>

static sigset_t signals_block(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    return before;
}

int name_lookup(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb on_found,
                const char *name, const char *port, const struct addrinfo *hints)
{
    sigset_t before = signals_block();
    int r = uv_getaddrinfo(loop, request, on_found, name, port, hints);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

int pool_work(uv_loop_t *loop, uv_work_t *request, uv_work_cb work, uv_after_work_cb after)
{
    sigset_t before = signals_block();
    int r = uv_queue_work(loop, request, work, after);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}
