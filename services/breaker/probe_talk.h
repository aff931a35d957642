// One probe by a connection and, where the kind asks for it, a few lines. Each address of the host
// is tried until one takes the connection. Thread: the loop's.
#ifndef VALVECHAIN_BREAKER_PROBE_TALK_H
#define VALVECHAIN_BREAKER_PROBE_TALK_H

#include <uv.h>

#include "probe_script.h"

struct probe_talk;
// `why` NULL: it is well; valid during the call only. Comes once, not before probe_talk_start()
// has returned, and not after a cancel.
typedef void probe_talk_fn(void *arg, const char *why);

struct probe_place {
    const char *host, *unix_path; // one of them is NULL
    uint16_t port;
};

// The texts of place and script must live until the end. 0 or -errno; -EAGAIN: no thread is free
// for it (probe_threads.h), ask again soon.
int probe_talk_start(uv_loop_t *loop, const struct probe_place *place,
                     const struct probe_script *script, probe_talk_fn *on_end, void *arg,
                     struct probe_talk **ret_talk);
// Gives it up without a word; the loop must turn once more. NULL allowed.
void probe_talk_cancel(struct probe_talk **talk);

#endif
