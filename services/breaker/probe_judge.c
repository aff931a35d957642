#include "probe_judge.h"

static bool become(struct probe_judge *judge, enum probed_state state)
{
    bool changed = judge->state != state;
    judge->state = state;
    return changed;
}

bool probe_judge(struct probe_judge *judge, uint32_t healthy_after, uint32_t unhealthy_after,
                 bool is_good)
{
    uint32_t *in_a_row = is_good ? &judge->successes : &judge->failures;
    *(is_good ? &judge->failures : &judge->successes) = 0;
    *in_a_row += *in_a_row < UINT32_MAX ? 1 : 0;
    if (is_good && (judge->state == PROBED_UNKNOWN || judge->successes >= healthy_after))
        return become(judge, PROBED_HEALTHY);
    if (!is_good && judge->failures >= unhealthy_after)
        return become(judge, PROBED_UNHEALTHY);
    return false;
}

uint64_t probe_wait_ms(uint64_t interval_ms, uint32_t random)
{
    uint64_t tenth = interval_ms / 10;
    return interval_ms - tenth + random % (2 * tenth + 1);
}
