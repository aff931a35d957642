// The outbox: operations that an upstream could not take, kept durably and delivered later.
//
//   api-front --outbox.submit--> journal (group commit) --> acknowledged
//   replay: permit of the breaker -> claim (attempt durable) -> send -> judge -> settle
//
// The files: outbox_db (SQLite), outbox_vfs (its writes gathered),
// outbox_store/accept/move/view/salvage (operations), outbox_journal (group commit), outbox_rules
// (pure), outbox_send (HTTP), outbox_smtp (mail), outbox_replay (when), outbox_serve (the bus),
// outbox_upload (large bodies), outbox (wiring, figures). Thread: the loop's. docs/outbox.md is for
// its users.
#ifndef VALVECHAIN_BREAKER_OUTBOX_H
#define VALVECHAIN_BREAKER_OUTBOX_H

#include "service/service.h"

struct breaker_params;
struct outbox;

// An existing database is opened at once, a new one is made with the first operation. What is wrong
// with it is said in the log and in health and ends nothing.
int outbox_create(struct service *service, struct breaker_view *breakers,
                  const struct breaker_params *params, const struct breakers_params *defaults,
                  struct outbox **ret_outbox);
void outbox_reload(struct outbox *outbox, const struct breaker_params *params,
                   const struct breakers_params *defaults);
// For bus_serve: topics that begin with "outbox.".
ProtobufCMessage *outbox_request(struct outbox *outbox, const char *topic,
                                 const ProtobufCMessage *message);
// Takes no more, lets attempts under way end for some seconds; calls back once.
void outbox_drain(struct outbox *outbox, void (*on_drained)(void *arg), void *arg);
// The loop must turn until its handles have closed.
void outbox_destroy(struct outbox **outbox);

#endif
