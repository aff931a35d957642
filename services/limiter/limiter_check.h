// Answers limit.check, limit.check.batch and limit.refund on the commands socket. What cannot be
// understood is refused with the reason and counted. Thread: the loop's.
#ifndef VALVECHAIN_LIMITER_CHECK_H
#define VALVECHAIN_LIMITER_CHECK_H

#include "limit/limit.h"
#include "limit/networks.h"
#include "limit/regions.h"
#include "service/service.h"

#define LIMITER_BATCH_MAX 1000

struct lease_desk; // lease_desk.h
struct limiter_check;
// Who is refused or admitted whatever the limits say; the structs stay the caller's.
void limiter_check_set_networks(struct limiter_check *check, const struct networks *networks,
                                struct operator_view *operators);
// The view stays the caller's and must outlive it.
int limiter_check_create(struct service *service, struct limit_view *view,
                         struct limiter_check **ret_check);
// Where callers are whose check names no region; stays the caller's. NULL: us-east.
void limiter_check_set_regions(struct limiter_check *check, const struct region_map *regions);
// For checks by distributed policies; NULL: there is none.
void limiter_check_set_desk(struct limiter_check *check, struct lease_desk *desk);
void limiter_check_set_refund_time(struct limiter_check *check, uint64_t refund_time_ms);
void limiter_check_destroy(struct limiter_check **check); // its topics are then refused

#endif
