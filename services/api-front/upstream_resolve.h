// The addresses of one endpoint. A literal or a Unix socket has its one address at once and for
// good; a name is asked for in the background, again every `interval_ms`, and after a second while
// there is no answer. The last good addresses stay in use when a later question fails.
// Thread: the loop's (libuv asks the resolver in its own threads).
#ifndef VALVECHAIN_API_FRONT_UPSTREAM_RESOLVE_H
#define VALVECHAIN_API_FRONT_UPSTREAM_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "config/model.h"

#define UPSTREAM_ADDRESSES_MAX 16

struct upstream_address {
    struct sockaddr_storage sa;
    socklen_t len;
};

struct resolve_call; // a question that is out

struct upstream_resolve {
    uv_loop_t *loop;
    const struct config_endpoint *endpoint;
    uint64_t interval_ms, next_ms; // next_ms UINT64_MAX: never again
    struct upstream_address addresses[UPSTREAM_ADDRESSES_MAX];
    size_t n_addresses;
    size_t next; // where the next connection begins: addresses take turns
    struct resolve_call *call;
    bool failed; // the last question; shown once in the log
};

// -ENAMETOOLONG: the path of a Unix socket does not fit.
int upstream_resolve_init(struct upstream_resolve *resolve, uv_loop_t *loop,
                          const struct config_endpoint *endpoint, uint64_t interval_ms,
                          uint64_t now_ms);
void upstream_resolve_fini(struct upstream_resolve *resolve);
void upstream_resolve_tick(struct upstream_resolve *resolve, uint64_t now_ms);
// Is it still one of the endpoint's addresses?
bool upstream_resolve_has(const struct upstream_resolve *resolve,
                          const struct upstream_address *address);

#endif
