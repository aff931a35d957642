// One connection to Redis in the libuv loop, kept up: resolve, (ask a Sentinel for the master,)
// connect, AUTH, SELECT, see that it is a master, load the script; on failure again after a pause
// that grows, with full jitter. Commands are pipelined. Thread: the loop's.
#ifndef VALVECHAIN_LIMITER_REDIS_LINK_H
#define VALVECHAIN_LIMITER_REDIS_LINK_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <uv.h>

#include "redis_place.h"

struct redis_link;
struct redis_link_options {
    struct redis_place place;
    uint64_t timeout_ms; // for each command; connecting may take four of them
    const char *script;  // loaded before the link is up
    // The link came up, or went down (`why`: one sentence; also for each try that failed).
    void (*on_state)(void *arg, bool up, const char *why);
    void (*on_command)(void *arg, uint64_t latency_ns); // a reply came
    void *arg;
};

// Begins to connect. -ENOMEM. Texts of `options` are copied, `script` must stay.
int redis_link_create(uv_loop_t *loop, const struct redis_link_options *options,
                      struct redis_link **ret_link);
// Open commands get their NULL reply. The loop must turn once more afterwards.
void redis_link_destroy(struct redis_link **link);
bool redis_link_is_up(const struct redis_link *link);
// Up, and a reply came within the last timeouts: what fronts are told of.
bool redis_link_is_fresh(const struct redis_link *link);
// Name of the loaded script for EVALSHA.
const char *redis_link_script(const struct redis_link *link);

// The reply, from the loop, exactly once; NULL: the connection went before it, or it took longer
// than the timeout (then the link is down already).
typedef void redis_reply_fn(void *arg, const redisReply *reply);
// -ENOTCONN: not up; -ENOMEM.
int redis_link_send(struct redis_link *link, int argc, const char **argv, redis_reply_fn *on_reply,
                    void *arg);
// The peer is no use any more (a replica now, out of memory, ...): down, and connect anew.
void redis_link_fail(struct redis_link *link, const char *why);

#endif
