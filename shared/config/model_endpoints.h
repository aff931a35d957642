// What an upstream of the configuration file says about the health of its endpoints. Included by
// config/model.h. Thread: any.
#ifndef VALVECHAIN_CONFIG_MODEL_ENDPOINTS_H
#define VALVECHAIN_CONFIG_MODEL_ENDPOINTS_H

#include <stdbool.h>
#include <stdint.h>

struct config_ejection {  // by the calls of one gateway
    uint32_t consecutive; // failures; 0: never
    uint32_t max_percent, panic_percent;
    uint64_t time_ms, time_max_ms;
};

enum config_retry_status {
    CONFIG_RETRY_502 = 1u << 0,
    CONFIG_RETRY_503 = 1u << 1,
    CONFIG_RETRY_504 = 1u << 2
};
struct config_retry {
    uint32_t attempts; // beyond the first; 0: none
    uint32_t statuses; // config_retry_status
    bool keyed, same_endpoint;
    uint32_t backoff_ms, budget_percent, budget_per_s;
};

#endif
