// How one attempt to carry an advice out ended, whatever it was.
#ifndef VALVECHAIN_SCALER_ADVISOR_ACTION_RESULT_H
#define VALVECHAIN_SCALER_ADVISOR_ACTION_RESULT_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

// The values of the label `outcome`: exit code not 0 or a status that is not 2xx; the time limit
// passed; the program could not be run or the receiver not be reached.
enum action_outcome {
    ACTION_OK,
    ACTION_REFUSED,
    ACTION_TIMEOUT,
    ACTION_UNREACHED,
    ACTION_OUTCOMES
};

struct action_result {
    enum action_outcome outcome;
    uint64_t retry_after_ns; // what the receiver asked for; 0: nothing
    char text[200];          // "exit code 3"
};
// Comes once, from the loop, never before the start has returned.
typedef void action_end_fn(void *arg, const struct action_result *result);

#endif
