#include "retry_budget.h"

static struct retry_second *second_at(struct retry_budget *budget, uint64_t now_ms)
{
    uint64_t second = now_ms / 1000;
    struct retry_second *at = &budget->seconds[second % (RETRY_WINDOW_S + 1)];
    if (at->second != second) {
        *at = (struct retry_second){.second = second};
    }
    return at;
}

void retry_budget_call(struct retry_budget *budget, uint64_t now_ms)
{
    second_at(budget, now_ms)->calls++;
}

// Of the window's oldest second, of which only a part is in it, attempts count in full and calls
// not at all: the bound holds at every moment.
bool retry_budget_take(struct retry_budget *budget, const struct config_retry *rules,
                       uint64_t now_ms)
{
    struct retry_second *now = second_at(budget, now_ms);
    uint64_t calls = 0;
    uint64_t retries = 0;
    for (int i = 0; i <= RETRY_WINDOW_S; i++) {
        const struct retry_second *at = &budget->seconds[i];
        uint64_t age_s = now->second - at->second;
        calls += age_s < RETRY_WINDOW_S ? at->calls : 0;
        retries += age_s <= RETRY_WINDOW_S ? at->retries : 0;
    }
    uint64_t floor = (uint64_t)rules->budget_per_s * RETRY_WINDOW_S;
    if ((retries + 1) * 100 > calls * rules->budget_percent + floor * 100) {
        return false;
    }
    now->retries++;
    return true;
}
