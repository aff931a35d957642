// Leaving without losing a request (SIGTERM):
//   readiness false at once; serve on for DRAIN_DELAY_MS, each answer with Connection: close, so
//   that load balancers and clients turn away; stop accepting and close what is idle; leave
//   DRAIN_TIMEOUT_MS to requests in flight; then service_drained().
// Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_DRAIN_H
#define VALVECHAIN_API_FRONT_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

struct front;

struct drain {
    uint64_t close_ms; // when accepting ends
    uint64_t end_ms;   // when waiting ends
    bool closed, done;
};

int drain_begin(struct front *front);
void drain_tick(struct front *front, uint64_t now_ms);

#endif
