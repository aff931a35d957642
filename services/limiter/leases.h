// The limiter's part in distributed limits, all of it: link to Redis, desk, cells, requests of the
// gateways over ZeroMQ, metrics, finding. Only with REDIS_ENABLED; else NULL everywhere.
// Thread: the loop's.
#ifndef VALVECHAIN_LIMITER_LEASES_H
#define VALVECHAIN_LIMITER_LEASES_H

#include "lease_desk.h"
#include "service/service.h"

struct leases;
struct leases_metrics {
    metric_id up, outages, commands, latency, leases, granted, refused, expired, returned,
        forgotten, orders, away;
};

// What the tables cannot check (REDIS_URL and its kin). -EINVAL with problems.
int leases_check(const struct limits_params *params, struct problems *problems);
// `policies` must stay until leases_destroy. -errno (has logged why).
int leases_create(struct service *service, const struct limits_params *params,
                  const struct limit_view *policies, const struct leases_metrics *metrics,
                  struct leases **ret_leases);
void leases_destroy(struct leases **leases);
// The topic lease.request: the call is kept and answered later. False: the message is none.
bool leases_serve(struct leases *leases, const ProtobufCMessage *message);
// For checks that the limiter makes itself; NULL leases: none are to be had.
struct lease_desk *leases_desk(struct leases *leases);
// Returns what is left of all leases; `done` is called when the store has it, or has no time for
// it.
void leases_drain(struct leases *leases, void (*done)(void *arg), void *arg);

#endif
