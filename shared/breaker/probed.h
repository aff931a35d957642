// What active probes say of the endpoints of upstreams: a table in the segment, written by the
// breaker process alone, read by gateways (which leave the unhealthy ones out), health, metrics and
// valvectl. Every record tells until when it counts: of a breaker process that is gone, nothing is
// believed after that, and an endpoint of which nothing is known is healthy. Thread: any.
#ifndef VALVECHAIN_BREAKER_PROBED_H
#define VALVECHAIN_BREAKER_PROBED_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/segment.h"

#define PROBED_SECTION_NAME "endpoints"
#define PROBED_MAX          128 // endpoints with probes, of all upstreams
#define PROBED_ENDPOINT_MAX 128 // a longer name is cut, by writer and reader alike

enum probed_state { PROBED_UNKNOWN, PROBED_HEALTHY, PROBED_UNHEALTHY, PROBED_STATES };
extern const char *const probed_state_names[PROBED_STATES];

struct probed {
    char upstream[24];
    char endpoint[PROBED_ENDPOINT_MAX]; // config_endpoint_format()
    char kind[16];                      // "http", ...
    char reason[96];                    // of the last failure; "" after a success
    uint32_t state;                     // as judged by the thresholds
    uint32_t reserved;
    uint64_t probed_ns; // end of the last probe; 0: none yet
    uint64_t since_ns;  // of the state
    uint64_t until_ns;  // the record counts
    uint64_t took_ns;   // the last probe
    uint64_t successes, failures;
};

struct segment_section_spec probed_section_spec(void);
// One writer. NULL: there is none any more.
void probed_write(struct segment *segment, uint32_t index, const struct probed *record);
// False: no record there.
bool probed_read(const struct segment *segment, uint32_t index, struct probed *ret_record);
// The record of that endpoint; *hint is where it was last and may be anything. False: none.
bool probed_find(const struct segment *segment, const char *upstream, const char *endpoint,
                 uint32_t *hint, struct probed *ret_record);
// The state as far as it still counts.
enum probed_state probed_state_at(const struct probed *record, uint64_t now_ns);

#endif
