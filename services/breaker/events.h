// The stream of the breakers' changes: each gets the next sequence number, is published as
// breaker.event.NAME, and is kept for those who ask for what they missed (breaker.events). A stream
// lives as long as this process: who finds another one has to look at the states themselves.
// Thread: the loop's.
#ifndef VALVECHAIN_BREAKER_EVENTS_H
#define VALVECHAIN_BREAKER_EVENTS_H

#include "breaker/breaker.h"
#include "service/service.h"

#define EVENTS_KEPT      1024
#define EVENTS_REPLY_MAX 256

struct events;
// Serves breaker.events. 0 or -errno.
int events_create(struct service *service, struct events **ret_events);
void events_destroy(struct events **events);
// A change (or, from and to the same, what a rule would have done). True: it left this process.
bool events_publish(struct events *events, const struct breaker_definition *definition,
                    const struct breaker_transition *transition);

#endif
