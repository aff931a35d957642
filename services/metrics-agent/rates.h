// Rates over a stated window from running totals, one sample a second. Pure: the caller reads
// clocks and counters. A total that went down (its process's slot was given away) starts anew: the
// step counts as nothing rather than as a negative rate. Thread: one.
#ifndef VALVECHAIN_METRICS_AGENT_RATES_H
#define VALVECHAIN_METRICS_AGENT_RATES_H

#include <stdbool.h>
#include <stdint.h>

#define RATES_SAMPLES_MAX 64

struct rates_sample {
    uint64_t time_ns;      // CLOCK_MONOTONIC
    uint64_t requests;     // running total
    uint64_t durations_ns; // running total of the answered requests' durations
};

struct rates {
    struct rates_sample
        samples[RATES_SAMPLES_MAX]; // totals made monotone, oldest overwritten first
    uint32_t n, next;
    struct rates_sample last_raw; // as read, to see a step down
};

struct rates_result {
    double requests_per_second;
    double average_response_ms; // NaN when nothing was answered in the window
    uint64_t requests_last_step;
    bool known; // false until there are two samples
};

void rates_init(struct rates *rates);
void rates_add(struct rates *rates, const struct rates_sample *raw);
// Over the samples of at most `window_ns` before the newest one.
void rates_read(const struct rates *rates, uint64_t window_ns, struct rates_result *ret_result);

#endif
