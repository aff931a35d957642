#include "probe_threads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

#define THREADS_OF_OTHERS 4 // libuv's own number

static const unsigned limits[] = {[PROBE_THREAD_LOOKUP] = 1, [PROBE_THREAD_PING] = PROBE_PINGS_MAX};
static unsigned taken[2]; // the process's, as the threads are

int probe_threads_reserve(void)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", PROBE_PINGS_MAX + THREADS_OF_OTHERS);
    return setenv("UV_THREADPOOL_SIZE", number, 1) == 0 ? 0 : -ENOMEM;
}

bool probe_thread_take(enum probe_thread what)
{
    if (taken[what] == limits[what])
        return false;
    taken[what]++;
    return true;
}

void probe_thread_give(enum probe_thread what)
{
    ASSERT(taken[what] > 0);
    taken[what]--;
}
