#include "valve_outcome.h"

enum breaker_outcome valve_classify(enum exchange_result result, unsigned status)
{
    switch (result) {
    case EXCHANGE_ANSWERED:
        return status >= 500 ? BREAKER_FAILURE : BREAKER_SUCCESS;
    case EXCHANGE_CONNECT_TIMEOUT:
    case EXCHANGE_FIRST_BYTE_TIMEOUT:
    case EXCHANGE_IDLE_TIMEOUT:
    case EXCHANGE_TOTAL_TIMEOUT:
        return BREAKER_TIMEOUT;
    case EXCHANGE_POOL_FULL:
    case EXCHANGE_CLIENT_GONE:
    case EXCHANGE_HEAD_TOO_LARGE:
        return BREAKER_IGNORED;
    case EXCHANGE_CONNECT_FAILED:
    case EXCHANGE_TLS_FAILED:
    case EXCHANGE_RESET:
    case EXCHANGE_BAD_ANSWER:
    case EXCHANGE_NO_ADDRESS:
        break;
    }
    return BREAKER_FAILURE;
}
