// Permits that applications hold for calls of their own (a database driver, an SMTP library): asked
// for by breaker.acquire, ended by breaker.report. This process holds them in its slot and keeps
// the lease: a permit that is not reported in time goes back without an outcome, for the
// application's death says nothing about the dependency. Thread: the loop's.
#ifndef VALVECHAIN_BREAKER_APP_PERMITS_H
#define VALVECHAIN_BREAKER_APP_PERMITS_H

#include "breaker/breaker.h"
#include "service/service.h"

#define APP_PERMITS_MAX 4096
#define APP_BATCH_MAX   100

enum app_result { APP_GRANTED, APP_REFUSED, APP_REPORTED, APP_UNKNOWN, APP_EXPIRED, APP_RESULTS };
extern const char *const app_result_names[APP_RESULTS];

struct app_permits;
// Serves both topics. `count` (arg, what, how many) is told of everything. 0 or -errno.
typedef void app_count_fn(void *arg, enum app_result result, uint64_t n);
int app_permits_create(struct service *service, struct breaker_view *view, app_count_fn *count,
                       void *arg, struct app_permits **ret_permits);
void app_permits_destroy(struct app_permits **permits); // all go back
// Gives back those whose lease is over. Call every 100 ms.
void app_permits_expire(struct app_permits *permits, uint64_t now_ns);

#endif
