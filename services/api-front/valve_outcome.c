#include "valve_outcome.h"

#include <errno.h>

#include "base/clock.h"
#include "base/parse.h"
#include "breaker/call_outcome.h"
#include "http_date.h"

#define RETRY_AFTER_MAX_S INT64_C(86400) // no breaker stays open longer by itself

// How the call ended, as the configuration file calls it; CALL_ENDS: it has no word for it.
static enum config_call_end end_of(enum exchange_result result)
{
    switch (result) {
    case EXCHANGE_CONNECT_FAILED:
        return CALL_END_connect_failed;
    case EXCHANGE_CONNECT_TIMEOUT:
        return CALL_END_connect_timeout;
    case EXCHANGE_TLS_FAILED:
        return CALL_END_tls_failed;
    case EXCHANGE_FIRST_BYTE_TIMEOUT:
        return CALL_END_first_byte_timeout;
    case EXCHANGE_IDLE_TIMEOUT:
        return CALL_END_idle_timeout;
    case EXCHANGE_TOTAL_TIMEOUT:
        return CALL_END_total_timeout;
    case EXCHANGE_RESET:
        return CALL_END_reset;
    case EXCHANGE_BAD_ANSWER:
        return CALL_END_bad_answer;
    case EXCHANGE_NO_ADDRESS:
        return CALL_END_no_address;
    case EXCHANGE_ANSWERED:
    case EXCHANGE_POOL_FULL:
    case EXCHANGE_CLIENT_GONE:
    case EXCHANGE_HEAD_TOO_LARGE:
        break;
    }
    return CALL_ENDS;
}

enum breaker_outcome valve_classify(const struct config_outcomes *outcomes,
                                    enum exchange_result result, unsigned status)
{
    enum config_call_end end = end_of(result);
    if (result == EXCHANGE_ANSWERED)
        return call_outcome_of_status(outcomes, status);
    return end == CALL_ENDS ? BREAKER_IGNORED : call_outcome_of_end(outcomes, end);
}

uint64_t valve_retry_after_ns(unsigned status, const struct http_header *headers, size_t n,
                              int64_t wall_s)
{
    for (size_t i = 0; i < n && (status == 429 || status == 503); i++) {
        const struct http_header *h = &headers[i];
        uint64_t seconds;
        int64_t date_s;
        if (!http_name_is(h->name, h->name_len, "retry-after"))
            continue;
        int error = parse_u64_n(h->value, h->value_len, 0, (uint64_t)RETRY_AFTER_MAX_S, &seconds);
        if (error == 0)
            return seconds * NS_PER_S;
        if (http_date_parse(h->value, h->value_len, &date_s) == 0)
            date_s -= wall_s;
        else
            date_s = error == -ERANGE ? RETRY_AFTER_MAX_S : 0;
        date_s = date_s < RETRY_AFTER_MAX_S ? date_s : RETRY_AFTER_MAX_S;
        return date_s > 0 ? (uint64_t)date_s * NS_PER_S : 0;
    }
    return 0;
}
