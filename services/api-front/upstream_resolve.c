#include "upstream_resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/log.h"
#include "net/pool.h"

#define RETRY_MS 1000

struct resolve_call {
    uv_getaddrinfo_t request;
    struct upstream_resolve *resolve; // NULL: nobody waits any more
};

static int set_unix(struct upstream_resolve *resolve)
{
    const char *path = resolve->endpoint->unix_path;
    struct sockaddr_un *sun = (struct sockaddr_un *)&resolve->addresses[0].sa;
    if (strlen(path) >= sizeof(sun->sun_path)) {
        return -ENAMETOOLONG;
    }
    *sun = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(sun->sun_path, path, strlen(path) + 1);
    resolve->addresses[0].len = sizeof(*sun);
    resolve->n_addresses = 1;
    return 0;
}

static bool set_literal(struct upstream_resolve *resolve)
{
    struct upstream_address *address = &resolve->addresses[0];
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address->sa;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address->sa;
    uint16_t port = htons(resolve->endpoint->port);
    if (inet_pton(AF_INET, resolve->endpoint->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = port;
        address->len = sizeof(*v4);
    } else if (inet_pton(AF_INET6, resolve->endpoint->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = port;
        address->len = sizeof(*v6);
    } else {
        return false;
    }
    resolve->n_addresses = 1;
    return true;
}

int upstream_resolve_init(struct upstream_resolve *resolve, uv_loop_t *loop,
                          const struct config_endpoint *endpoint, uint64_t interval_ms,
                          uint64_t now_ms)
{
    memset(resolve, 0, sizeof(*resolve));
    resolve->loop = loop;
    resolve->endpoint = endpoint;
    resolve->interval_ms = interval_ms;
    resolve->next_ms = UINT64_MAX;
    if (endpoint->unix_path != NULL) {
        return set_unix(resolve);
    }
    if (!set_literal(resolve)) {
        resolve->next_ms = now_ms;
        upstream_resolve_tick(resolve, now_ms);
    }
    return 0;
}

void upstream_resolve_fini(struct upstream_resolve *resolve)
{
    if (resolve->call != NULL) {
        resolve->call->resolve = NULL;
        uv_cancel((uv_req_t *)&resolve->call->request); // a running one ends by itself
        resolve->call = NULL;
    }
}

static void take_addresses(struct upstream_resolve *resolve, const struct addrinfo *list)
{
    size_t n = 0;
    for (const struct addrinfo *info = list; info != NULL && n < UPSTREAM_ADDRESSES_MAX;
         info = info->ai_next) {
        if (info->ai_addrlen <= sizeof(resolve->addresses[n].sa)) {
            memcpy(&resolve->addresses[n].sa, info->ai_addr, info->ai_addrlen);
            resolve->addresses[n].len = info->ai_addrlen;
            n++;
        }
    }
    resolve->n_addresses = n > 0 ? n : resolve->n_addresses;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct resolve_call *call = request->data;
    struct upstream_resolve *resolve = call->resolve;
    if (resolve != NULL) {
        resolve->call = NULL;
        bool failed = status != 0 || list == NULL;
        if (!failed) {
            take_addresses(resolve, list);
        }
        if (failed != resolve->failed && failed) {
            log_warn("upstream.unresolved", "The name of an upstream endpoint does not resolve",
                     LSTR("host", resolve->endpoint->host), LSTR("reason", uv_strerror(status)),
                     LUINT("addresses_kept", resolve->n_addresses));
        } else if (failed != resolve->failed) {
            log_info("upstream.resolved", "The name of an upstream endpoint resolves again",
                     LSTR("host", resolve->endpoint->host));
        }
        resolve->failed = failed;
        uint64_t wait = failed && RETRY_MS < resolve->interval_ms ? RETRY_MS : resolve->interval_ms;
        resolve->next_ms = uv_now(resolve->loop) + wait;
    }
    uv_freeaddrinfo(list);
    free(call);
}

bool upstream_resolve_has(const struct upstream_resolve *resolve,
                          const struct upstream_address *address)
{
    if (resolve->next_ms == UINT64_MAX) {
        return true; // a literal has its one address for good
    }
    for (size_t i = 0; i < resolve->n_addresses; i++) {
        if (resolve->addresses[i].len == address->len &&
            memcmp(&resolve->addresses[i].sa, &address->sa, address->len) == 0) {
            return true;
        }
    }
    return false;
}

void upstream_resolve_tick(struct upstream_resolve *resolve, uint64_t now_ms)
{
    if (now_ms < resolve->next_ms || resolve->call != NULL) {
        return;
    }
    struct resolve_call *call = calloc(1, sizeof(*call));
    char port[8];
    snprintf(port, sizeof(port), "%u", (unsigned)resolve->endpoint->port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    resolve->next_ms = now_ms + RETRY_MS;
    if (call == NULL) {
        return;
    }
    call->resolve = resolve;
    call->request.data = call;
    if (name_lookup(resolve->loop, &call->request, on_resolved, resolve->endpoint->host, port,
                    &hints) != 0) {
        free(call);
        return;
    }
    resolve->call = call;
}
