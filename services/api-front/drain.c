#include "drain.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "client.h"
#include "front.h"
#include "listener.h"

int drain_begin(struct front *front)
{
    struct drain *drain = calloc(1, sizeof(*drain));
    if (drain == NULL) {
        return -ENOMEM;
    }
    uint64_t delay_ms = front->params->drain_delay_ms;
    if (delay_ms == PARAM_UNSET) {
        bool production = front->service->suite->environment == ENVIRONMENT_PRODUCTION;
        delay_ms = production ? 5000 : 0;
    }
    drain->close_ms = front_now_ms(front) + delay_ms;
    drain->end_ms = drain->close_ms + front->params->drain_timeout_ms;
    front->drain = drain;
    service_set_ready(front->service, false);
    log_info("drain.begin", "Draining: not ready any more, serving on for a while",
             LUINT("delay_ms", delay_ms), LUINT("in_flight", front->n_requests));
    return 0;
}

static void close_idle(struct listener *listener)
{
    if (listener == NULL) {
        return;
    }
    listener_quiesce(listener);
    for (struct client *client = listener->clients; client != NULL; client = client->next) {
        client_close_when_idle(client);
    }
}

static size_t clients_left(const struct front *front)
{
    return front->listener->n_clients + (front->admin != NULL ? front->admin->n_clients : 0);
}

void drain_tick(struct front *front, uint64_t now_ms)
{
    struct drain *drain = front->drain;
    if (drain == NULL || drain->done || now_ms < drain->close_ms) {
        return;
    }
    // In each tick: an answer that began before the drain left its connection open.
    close_idle(front->listener);
    close_idle(front->admin);
    if (!drain->closed) {
        drain->closed = true;
        return; // what had just arrived is read in the next turn
    }
    if (clients_left(front) == 0 || (now_ms >= drain->end_ms)) {
        drain->done = true;
        log_info("drain.end", "Drained", LUINT("cut", front->n_requests));
        service_drained(front->service);
    }
}
