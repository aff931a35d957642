#include "sampling.h"

static struct advice_usage percent_of(const struct host_share *share, uint32_t current)
{
    struct advice_usage usage = advice_usage_percent(share->percent, share->measured);

    usage.known = share->measured > 0;
    usage.missing = current > share->measured ? current - share->measured : 0;
    usage.missing_capacity = 100.0 * usage.missing;
    return usage;
}

struct advice_sample sampling_of(const struct hosts_sum *sum, uint64_t now_ns, uint64_t step_ns)
{
    uint32_t current = sum->instances + sum->missing;
    struct advice_sample sample = {
        .time_ns = now_ns,
        .step_ns = step_ns,
        .current = current,
        .ready = sum->instances,
        .dependency_open = sum->dependency_open,
        .quota_refusals_per_s = sum->refusals_per_s,
    };
    struct advice_usage *rps = &sample.usage[ADVICE_RPS];

    sample.usage[ADVICE_CPU] = percent_of(&sum->cpu, current);
    sample.usage[ADVICE_MEMORY] = percent_of(&sum->memory, current);
    *rps = advice_usage_total(sum->requests_per_s, sum->rate_measured);
    rps->known = sum->rate_measured > 0;
    rps->missing = current > sum->rate_measured ? current - sum->rate_measured : 0;
    sample.usage[ADVICE_LATENCY] = advice_usage_value(sum->response_ms);
    sample.usage[ADVICE_LATENCY].known = sum->response_known;
    return sample;
}
