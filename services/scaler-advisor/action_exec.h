// One run of a program that carries an advice out (ACTION=exec): the advice on its standard input,
// a process group of its own, killed with it at the time limit. Its output goes to our standard
// error, so that no line of it gets between those of the log. Of the environment it gets PATH,
// HOME, LANG and TZ, never our parameters, which may be secrets. Errors: -errno. Thread: the
// loop's.
#ifndef VALVECHAIN_SCALER_ADVISOR_ACTION_EXEC_H
#define VALVECHAIN_SCALER_ADVISOR_ACTION_EXEC_H

#include "action_result.h"

struct action_exec;
struct action_program {
    const char *path;  // absolute; no arguments, no shell
    uint64_t limit_ms; // then SIGKILL to the whole group
    const char *suite; // VALVECHAIN_NAME for the program
    uint32_t desired;  // VALVECHAIN_DESIRED for the program
    const char *body;  // its standard input
    size_t body_bytes;
};
// Texts are not needed after it returns. On failure on_end does not come.
int action_exec_start(uv_loop_t *loop, const struct action_program *program, action_end_fn *on_end,
                      void *arg, struct action_exec **ret_exec);
// Kills the group; on_end does not come; the loop must turn once more.
void action_exec_cancel(struct action_exec **exec);

#endif
