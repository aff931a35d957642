// breaker.set: an operator's word about a breaker, done here and nowhere else, recorded with who
// and why as a `security` event. Thread: the loop's.
#ifndef VALVECHAIN_BREAKER_COMMANDS_H
#define VALVECHAIN_BREAKER_COMMANDS_H

#include "breaker/breaker.h"
#include "service/service.h"

struct commands {
    struct service *service;
    struct breaker_view *view;
    void (*on_done)(void *arg); // a breaker was changed: its event may go out now
    void *arg;
};
// Serves it on the service's bus. 0 or -errno. `commands` lives as long as the bus.
int commands_init(struct commands *commands);

#endif
