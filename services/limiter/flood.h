// When new keys flood the limit table, and when that is over. Pure: readings of counters go in, at
// about one a second.
//
// It begins when the readings of the last 5 seconds show as many new keys as the rate makes in 5
// seconds: a strong flood is seen after a second, a weak one after five, and the callers who come
// back after a restart in one burst are none unless they are that many. It ends when every reading
// for `calm_ns` showed less than half the rate, so that one around the rate does not flap.
#ifndef VALVECHAIN_LIMITER_FLOOD_H
#define VALVECHAIN_LIMITER_FLOOD_H

#include <stdbool.h>
#include <stdint.h>

#define FLOOD_READINGS 6 // five seconds

struct flood_reading { // of counters that only grow; if one did not, what was read before is void
    uint64_t at_ns;
    uint64_t new_keys; // that got a cell
    uint64_t shared;   // decisions in shared cells
    uint64_t freed;    // cells
};
struct flood_rules {
    uint64_t keys_per_s; // 0: nothing is a flood
    uint64_t calm_ns;
};
struct flood { // zeroed at first
    struct flood_reading readings[FLOOD_READINGS];
    unsigned n;
    bool is_on;
    struct flood_reading began, last_busy;
    uint64_t keys_per_s, peak_per_s; // keys_per_s: between the last two readings
};
struct flood_evidence { // of what has been of the flood; at its end without the calm behind it
    uint64_t keys_per_s, peak_per_s, new_keys, shared, freed, duration_ns;
};

enum flood_change { FLOOD_GOES_ON, FLOOD_BEGINS, FLOOD_ENDS }; // goes on: as it was, flood or not
// `ret_evidence` is filled when a flood begins or ends.
enum flood_change flood_read(struct flood *flood, const struct flood_rules *rules,
                             const struct flood_reading *reading,
                             struct flood_evidence *ret_evidence);

#endif
