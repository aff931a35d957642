// How many of the loop's threads probes may hold at a time. Asking for a name and PQping block, for
// seconds when a server or the resolver is away, and what the outbox commits needs a thread, too:
// some are always left to it. Thread: the loop's.
#ifndef VALVECHAIN_BREAKER_PROBE_THREADS_H
#define VALVECHAIN_BREAKER_PROBE_THREADS_H

#include <stdbool.h>

enum probe_thread { PROBE_THREAD_LOOKUP, PROBE_THREAD_PING };

#define PROBE_PINGS_MAX 16 // at a time: of so many hung servers none waits for another

// Before the first of the loop's threads starts: as many as both need. 0 or -ENOMEM.
int probe_threads_reserve(void);
bool probe_thread_take(enum probe_thread what); // false: ask again soon
void probe_thread_give(enum probe_thread what);

#endif
