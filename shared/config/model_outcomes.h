// What an upstream of the configuration file says about how its answers count for the breaker.
// Included by config/model.h. Thread: any.
#ifndef VALVECHAIN_CONFIG_MODEL_OUTCOMES_H
#define VALVECHAIN_CONFIG_MODEL_OUTCOMES_H

#include <stddef.h>
#include <stdint.h>

enum config_outcome {
    OUTCOME_UNSAID,
    OUTCOME_SUCCESS,
    OUTCOME_FAILURE,
    OUTCOME_TIMEOUT,
    OUTCOME_IGNORED
};

// How a call may end without a whole answer, as the words in the file.
#define CONFIG_CALL_ENDS(X)                                                                        \
    X(connect_failed)                                                                              \
    X(connect_timeout)                                                                             \
    X(tls_failed)                                                                                  \
    X(first_byte_timeout) X(idle_timeout) X(total_timeout) X(reset) X(bad_answer) X(no_address)
#define CONFIG_CALL_END_ID(name) CALL_END_##name,
enum config_call_end { CONFIG_CALL_ENDS(CONFIG_CALL_END_ID) CALL_ENDS };

#define CONFIG_STATUS_MIN     100
#define CONFIG_STATUS_MAX     599
#define CONFIG_OUTCOME_ITEMS  16 // of one list
#define CONFIG_RPC_RANGES_MAX (3 * CONFIG_OUTCOME_ITEMS)

struct config_rpc_range {
    int64_t from, to;
    enum config_outcome outcome;
};
struct config_outcomes {
    // As they stand in the file; NULL-terminated or NULL.
    char **success, **failure, **timeout, **ignored;
    char **rpc_failure, **rpc_timeout, **rpc_ignored;
    // What they mean; all zero when the file says nothing.
    uint8_t of_status[CONFIG_STATUS_MAX - CONFIG_STATUS_MIN + 1]; // enum config_outcome
    uint8_t of_end[CALL_ENDS];
    struct config_rpc_range rpc[CONFIG_RPC_RANGES_MAX];
    size_t n_rpc;
};

enum config_outcome config_outcome_of_status(const struct config_outcomes *outcomes,
                                             unsigned status);
enum config_outcome config_outcome_of_rpc(const struct config_outcomes *outcomes, int64_t code);

// "500", "500..599" (within min..max), -EINVAL.
int config_range_parse(const char *text, int64_t min, int64_t max, int64_t *ret_from,
                       int64_t *ret_to);
int config_call_end_parse(const char *word, enum config_call_end *ret_end); // -EINVAL

#endif
