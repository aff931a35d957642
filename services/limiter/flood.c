#include "flood.h"

#include <string.h>

#include "base/clock.h"

#define WINDOW_NS ((FLOOD_READINGS - 1) * NS_PER_S)

static uint64_t keys(const struct flood_reading *from, const struct flood_reading *until)
{
    return until->new_keys - from->new_keys + until->shared - from->shared;
}

static uint64_t per_s(uint64_t count, uint64_t ns)
{
    return ns > 0 ? (uint64_t)((double)count * NS_PER_S / (double)ns) : 0;
}

static uint64_t rate(const struct flood_reading *from, const struct flood_reading *until)
{
    return per_s(keys(from, until), until->at_ns - from->at_ns);
}

static bool follows(const struct flood_reading *next, const struct flood_reading *before)
{
    return next->at_ns > before->at_ns && next->new_keys >= before->new_keys &&
           next->shared >= before->shared && next->freed >= before->freed;
}

static void keep(struct flood *flood, const struct flood_reading *reading)
{
    if (flood->n == FLOOD_READINGS) {
        memmove(flood->readings, flood->readings + 1, --flood->n * sizeof(flood->readings[0]));
    }
    flood->readings[flood->n++] = *reading;
}

static void tell(const struct flood *flood, struct flood_evidence *ret_evidence)
{
    const struct flood_reading *from = &flood->began, *until = &flood->last_busy;
    *ret_evidence = (struct flood_evidence){.keys_per_s = rate(from, until),
                                            .peak_per_s = flood->peak_per_s,
                                            .new_keys = until->new_keys - from->new_keys,
                                            .shared = until->shared - from->shared,
                                            .freed = until->freed - from->freed,
                                            .duration_ns = until->at_ns - from->at_ns};
}

static bool begins(const struct flood *flood, const struct flood_rules *rules)
{
    const struct flood_reading *from = &flood->readings[0], *now = &flood->readings[flood->n - 1];
    uint64_t ns = now->at_ns - from->at_ns;
    return rules->keys_per_s > 0 &&
           per_s(keys(from, now), ns > WINDOW_NS ? ns : WINDOW_NS) >= rules->keys_per_s;
}

static void begin(struct flood *flood)
{
    flood->is_on = true;
    flood->began = flood->readings[0];
    flood->last_busy = flood->readings[flood->n - 1];
    flood->peak_per_s = 0;
    for (unsigned i = 1; i < flood->n; i++) {
        uint64_t one = rate(&flood->readings[i - 1], &flood->readings[i]);
        flood->peak_per_s = one > flood->peak_per_s ? one : flood->peak_per_s;
    }
}

// What was counted of the flood by whoever is gone cannot be told any more.
static void begin_anew(struct flood *flood, const struct flood_reading *reading)
{
    flood->n = 0;
    flood->began = flood->last_busy = *reading;
}

enum flood_change flood_read(struct flood *flood, const struct flood_rules *rules,
                             const struct flood_reading *reading,
                             struct flood_evidence *ret_evidence)
{
    if (flood->n > 0 && !follows(reading, &flood->readings[flood->n - 1])) {
        begin_anew(flood, reading);
    }
    keep(flood, reading);
    if (flood->n < 2) {
        flood->keys_per_s = 0;
        return FLOOD_GOES_ON;
    }
    flood->keys_per_s = rate(&flood->readings[flood->n - 2], reading);
    if (!flood->is_on) {
        if (!begins(flood, rules)) {
            return FLOOD_GOES_ON;
        }
        begin(flood);
        tell(flood, ret_evidence);
        return FLOOD_BEGINS;
    }
    if (rules->keys_per_s > 0 && flood->keys_per_s * 2 >= rules->keys_per_s) {
        flood->last_busy = *reading;
        flood->peak_per_s =
            flood->keys_per_s > flood->peak_per_s ? flood->keys_per_s : flood->peak_per_s;
        return FLOOD_GOES_ON;
    }
    if (rules->keys_per_s > 0 && reading->at_ns - flood->last_busy.at_ns < rules->calm_ns) {
        return FLOOD_GOES_ON;
    }
    flood->is_on = false;
    flood->n = 0;
    keep(flood, reading); // what is over does not begin another
    tell(flood, ret_evidence);
    return FLOOD_ENDS;
}
