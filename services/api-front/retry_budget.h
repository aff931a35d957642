// How many calls to an upstream may be made once more: when all of them fail, the attempts stay a
// bounded part of the load instead of doubling it. Whoever gets another attempt is within the last
// 10 s one of at most `percent` of the calls of that time and `per_s` a second beyond. Pure, under
// the caller's clock. Thread: any, one at a time. One budget an upstream and process.
#ifndef VALVECHAIN_API_FRONT_RETRY_BUDGET_H
#define VALVECHAIN_API_FRONT_RETRY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "config/model_endpoints.h"

#define RETRY_WINDOW_S 10

struct retry_second {
    uint64_t second;
    uint32_t calls, retries;
};
struct retry_budget { // zeroed: nothing happened
    struct retry_second seconds[RETRY_WINDOW_S + 1];
};

void retry_budget_call(struct retry_budget *budget, uint64_t now_ms); // a call begins
// Takes one further attempt. False: there is none left.
bool retry_budget_take(struct retry_budget *budget, const struct config_retry *rules,
                       uint64_t now_ms);

#endif
