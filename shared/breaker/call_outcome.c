#include "breaker/call_outcome.h"

#include "config/rpc_json.h"

static enum breaker_outcome outcome_of(enum config_outcome said, enum breaker_outcome unsaid)
{
    switch (said) {
    case OUTCOME_SUCCESS:
        return BREAKER_SUCCESS;
    case OUTCOME_FAILURE:
        return BREAKER_FAILURE;
    case OUTCOME_TIMEOUT:
        return BREAKER_TIMEOUT;
    case OUTCOME_IGNORED:
        return BREAKER_IGNORED;
    case OUTCOME_UNSAID:
        break;
    }
    return unsaid;
}

enum breaker_outcome call_outcome_of_status(const struct config_outcomes *outcomes, unsigned status)
{
    return outcome_of(config_outcome_of_status(outcomes, status),
                      status >= 500 ? BREAKER_FAILURE : BREAKER_SUCCESS);
}

enum breaker_outcome call_outcome_of_end(const struct config_outcomes *outcomes,
                                         enum config_call_end end)
{
    bool late = end == CALL_END_connect_timeout || end == CALL_END_first_byte_timeout ||
                end == CALL_END_idle_timeout || end == CALL_END_total_timeout;
    return outcome_of((enum config_outcome)outcomes->of_end[end],
                      late ? BREAKER_TIMEOUT : BREAKER_FAILURE);
}

// -32603.0 is the code -32603 (JSON knows one kind of number).
static bool is_whole(const json_t *code)
{
    double value = json_number_value(code);
    return json_is_number(code) && value >= -1e15 && value <= 1e15 &&
           (double)(json_int_t)value == value;
}

enum breaker_outcome call_outcome_of_rpc(const struct config_outcomes *outcomes,
                                         enum breaker_outcome by_status, const char *body,
                                         size_t len)
{
    size_t seen[BREAKER_IGNORED + 1] = {0};
    json_t *root = rpc_parse(body, len);
    size_t n = root != NULL ? rpc_count(root) : 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *code = json_object_get(json_object_get(rpc_at(root, i), "error"), "code");
        enum config_outcome said = OUTCOME_UNSAID;
        if (is_whole(code))
            said = config_outcome_of_rpc(outcomes, (json_int_t)json_number_value(code));
        seen[outcome_of(said, BREAKER_SUCCESS)]++;
    }
    json_decref(root);
    if (seen[BREAKER_FAILURE] > 0)
        return BREAKER_FAILURE;
    if (seen[BREAKER_TIMEOUT] > 0)
        return BREAKER_TIMEOUT;
    return n > 0 && seen[BREAKER_IGNORED] == n ? BREAKER_IGNORED : by_status;
}
