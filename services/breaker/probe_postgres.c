#include "probe_postgres.h"

#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/pool.h"
#include "probe_threads.h"

struct probe_postgres {
    uv_work_t work;
    char host[256], port[8], timeout_s[24];
    PGPing result;
    probe_talk_fn *on_end; // NULL: nobody waits any more
    void *arg;
};

static void ping(uv_work_t *work)
{
    struct probe_postgres *postgres = work->data;
    const char *const names[] = {"host", "port", "connect_timeout", "dbname", "user", NULL};
    const char *const values[] = {postgres->host, postgres->port, postgres->timeout_s,
                                  "postgres",     "valvechain",   NULL};
    postgres->result = PQpingParams(names, values, 0);
}

static void on_pinged(uv_work_t *work, int status)
{
    static const char *const whys[] = {
        [PQPING_OK] = NULL,
        [PQPING_REJECT] = "it takes no connections: it starts, stops or recovers",
        [PQPING_NO_RESPONSE] = "it did not answer",
        [PQPING_NO_ATTEMPT] = "it could not be asked",
    };
    struct probe_postgres *postgres = work->data;
    probe_thread_give(PROBE_THREAD_PING);
    if (postgres->on_end != NULL)
        postgres->on_end(postgres->arg,
                         status < 0 ? "it could not be asked" : whys[postgres->result]);
    free(postgres);
}

int probe_postgres_start(uv_loop_t *loop, const struct probe_place *place, uint64_t timeout_ms,
                         probe_talk_fn *on_end, void *arg, struct probe_postgres **ret_postgres)
{
    if (!probe_thread_take(PROBE_THREAD_PING))
        return -EAGAIN;
    struct probe_postgres *postgres = calloc(1, sizeof(*postgres));
    if (postgres == NULL) {
        probe_thread_give(PROBE_THREAD_PING);
        return -ENOMEM;
    }
    *postgres = (struct probe_postgres){.on_end = on_end, .arg = arg};
    postgres->work.data = postgres;
    snprintf(postgres->host, sizeof(postgres->host), "%s", place->host);
    snprintf(postgres->port, sizeof(postgres->port), "%u", (unsigned)place->port);
    snprintf(postgres->timeout_s, sizeof(postgres->timeout_s), "%llu",
             (unsigned long long)((timeout_ms + 999) / 1000));
    int r = pool_work(loop, &postgres->work, ping, on_pinged);
    if (r < 0) {
        probe_thread_give(PROBE_THREAD_PING);
        free(postgres);
        return r;
    }
    *ret_postgres = postgres;
    return 0;
}

void probe_postgres_cancel(struct probe_postgres **postgres)
{
    if (*postgres != NULL)
        (*postgres)->on_end = NULL;
    *postgres = NULL;
}
