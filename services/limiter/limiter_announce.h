// The message `limit.policies`: what is in force, for whoever listens.
#ifndef VALVECHAIN_LIMITER_ANNOUNCE_H
#define VALVECHAIN_LIMITER_ANNOUNCE_H

#include "limit/limit.h"
#include "net/bus.h"

// What the bus drops, the bus counts.
void limiter_announce(struct bus *bus, const struct limit_policy_set *set, uint64_t generation);

#endif
