// A LimitCheck as facts for limit_decide. Thread: the view's.
#ifndef VALVECHAIN_LIMITER_CHECK_FACTS_H
#define VALVECHAIN_LIMITER_CHECK_FACTS_H

#include "check_wire.h"
#include "limit/limit.h"
#include "limit/regions.h"

#define CHECK_COST_MAX 1000000
#define CHECK_TEXT_MAX 4096 // of any text in a check

// NULL, and texts point into the message; else what is wrong and what is allowed.
// `view` knows the tiers; NULL: there are the built-in ones. Names of tiers and regions as gateways
// read them (limit/claims.h); without a region it is that of the client's address, by `regions`.
const char *check_facts_read(const struct limit_view *view, const struct region_map *regions,
                             const struct check_request *check, struct limit_facts *ret_facts);

#endif
