#include "probe_threads.h"

#include "base/assert.h"

static const unsigned limits[] = {[PROBE_THREAD_LOOKUP] = 1, [PROBE_THREAD_PING] = 2};
static unsigned taken[2]; // the process's, as the threads are

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
