// One probe by libpq's PQping: would the server take a connection? No name or password is needed,
// and nothing is logged in. PQping blocks: it runs in a thread of the loop's, where it cannot be
// stopped; it ends by libpq's own timeout (whole seconds, at least two). Thread: the loop's.
#ifndef VALVECHAIN_BREAKER_PROBE_POSTGRES_H
#define VALVECHAIN_BREAKER_PROBE_POSTGRES_H

#include "probe_talk.h"

struct probe_postgres;
// As probe_talk_start().
int probe_postgres_start(uv_loop_t *loop, const struct probe_place *place, uint64_t timeout_ms,
                         probe_talk_fn *on_end, void *arg, struct probe_postgres **ret_postgres);
// Nobody waits for it any more. NULL allowed.
void probe_postgres_cancel(struct probe_postgres **postgres);

#endif
