#include "remote.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"

#define CLIENTS_MAX 64

struct clients {
    char keys[CLIENTS_MAX][BUS_KEY_CHARS];
    const char *list[CLIENTS_MAX];
    size_t n;
};

// NULL, or what is wrong.
static const char *read_clients(const char *text, struct clients *ret_clients)
{
    const char *item;
    size_t len;
    ret_clients->n = 0;
    while (parse_list_next(&text, &item, &len)) {
        if (ret_clients->n == CLIENTS_MAX)
            return "there are more than 64";
        char *key = ret_clients->keys[ret_clients->n];
        snprintf(key, BUS_KEY_CHARS, "%.*s", len < BUS_KEY_CHARS ? (int)len : 0, item);
        if (!bus_key_is_valid(key))
            return "one of them is no key of 40 characters";
        ret_clients->list[ret_clients->n++] = key;
    }
    return ret_clients->n == 0 ? "there is none" : NULL;
}

int remote_check(const struct agent_params *params, struct problems *problems)
{
    struct clients clients;
    size_t before = problems->n;
    if (params->snapshot_listen == NULL)
        return 0;
    if (params->snapshot_secret_key == NULL)
        problems_add(problems,
                     "SNAPSHOT_SECRET_KEY: SNAPSHOT_LISTEN needs it, see `valvectl keys`");
    const char *wrong =
        read_clients(params->snapshot_clients != NULL ? params->snapshot_clients : "", &clients);
    if (wrong != NULL)
        problems_add(problems,
                     "SNAPSHOT_CLIENTS: SNAPSHOT_LISTEN needs the public keys of the advisors that "
                     "may connect, separated by commas: %s",
                     wrong);
    return problems->n > before ? -EINVAL : 0;
}

void remote_tick(struct remote *remote, struct service *service, const struct agent_params *params)
{
    struct clients clients;
    char address[128];
    if (params->snapshot_listen == NULL || remote->is_open ||
        read_clients(params->snapshot_clients, &clients) != NULL)
        return;
    const struct bus_keys keys = {.secret = params->snapshot_secret_key};
    snprintf(address, sizeof(address), "tcp://%.110s", params->snapshot_listen);
    int error = bus_listen(service->bus, address, &keys, clients.list, clients.n);
    remote->is_open = error == 0;
    if (error == 0)
        log_info("agent.snapshots", "advisors of other hosts may connect",
                 LSTR("address", params->snapshot_listen), LUINT("clients", clients.n));
    else if (!remote->has_failed)
        log_warn("agent.snapshots_failed", "the address cannot be taken and is tried again",
                 LSTR("address", params->snapshot_listen), LSTR("error", strerror(-error)));
    remote->has_failed = error != 0;
}
