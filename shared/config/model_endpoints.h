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

#endif
