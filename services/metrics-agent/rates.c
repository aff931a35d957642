#include "rates.h"

#include <math.h>

#include "base/clock.h"

void rates_init(struct rates *rates)
{
    *rates = (struct rates){0};
}

static uint64_t grown(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

static const struct rates_sample *sample_back(const struct rates *rates, uint32_t back)
{
    return &rates->samples[(rates->next + RATES_SAMPLES_MAX - 1 - back) % RATES_SAMPLES_MAX];
}

void rates_add(struct rates *rates, const struct rates_sample *raw)
{
    struct rates_sample sample = *raw;
    if (rates->n > 0) {
        const struct rates_sample *newest = sample_back(rates, 0);
        sample.requests = newest->requests + grown(rates->last_raw.requests, raw->requests);
        sample.durations_ns =
            newest->durations_ns + grown(rates->last_raw.durations_ns, raw->durations_ns);
    }
    rates->last_raw = *raw;
    rates->samples[rates->next] = sample;
    rates->next = (rates->next + 1) % RATES_SAMPLES_MAX;
    if (rates->n < RATES_SAMPLES_MAX)
        rates->n++;
}

void rates_read(const struct rates *rates, uint64_t window_ns, struct rates_result *ret_result)
{
    *ret_result = (struct rates_result){.average_response_ms = NAN};
    if (rates->n < 2)
        return;
    const struct rates_sample *newest = sample_back(rates, 0);
    const struct rates_sample *oldest = sample_back(rates, 1);
    ret_result->requests_last_step = newest->requests - oldest->requests;
    for (uint32_t back = 2; back < rates->n; back++) {
        const struct rates_sample *sample = sample_back(rates, back);
        if (newest->time_ns - sample->time_ns > window_ns)
            break;
        oldest = sample;
    }
    if (newest->time_ns <= oldest->time_ns)
        return;
    uint64_t requests = newest->requests - oldest->requests;
    uint64_t durations_ns = newest->durations_ns - oldest->durations_ns;
    double seconds = (double)(newest->time_ns - oldest->time_ns) / (double)NS_PER_S;
    ret_result->requests_per_second = (double)requests / seconds;
    if (requests > 0)
        ret_result->average_response_ms =
            (double)durations_ns / (double)requests / (double)NS_PER_MS;
    ret_result->known = true;
}
