// The operator's tool: reads the segment (read-only), listens to the bus, owns nothing.
// Every command is one row in commands.def and one function here.
// Exit codes: 0 done and nothing wrong, 1 wrong use or a finding (a dead process, a bad file),
// 2 the suite cannot be reached (no segment, no permission), each said in one line on stderr.
#ifndef VALVECHAIN_VALVECTL_VALVECTL_H
#define VALVECHAIN_VALVECTL_VALVECTL_H

#include <jansson.h>
#include <stdbool.h>

#include "breaker/breaker.h"
#include "config/params.h"
#include "limit/key_state.h"
#include "limit/operator.h"
#include "shm/segment.h"

enum valvectl_exit { VALVECTL_OK = 0, VALVECTL_FINDING = 1, VALVECTL_UNREACHABLE = 2 };

#define VALVECTL_POLICIES_MAX 8

struct valvectl {
    struct suite_params suite;
    bool json, watch;
    const char *limit, *for_text, *reason, *since;            // NULL: not given
    const char *svg, *start_delay, *target, *instances, *url; // the same
    const char *simulate_option; // the last of simulate's options, for who does not take it
    const char *policies[VALVECTL_POLICIES_MAX];
    size_t n_policies;
    int argc; // what stands behind the command
    char **argv;
};

// Opens the suite's segment read-only; says why not on stderr and returns VALVECTL_UNREACHABLE.
int valvectl_open_segment(const struct valvectl *ctl, struct segment **ret_segment);
// arguments.c: the key behind the command, and the policy's name before it ("" for none); and a
// time such as 10m. False: has said what is wrong.
bool valvectl_take_key(const struct valvectl *ctl, char ret_policy[LIMIT_NAME_MAX],
                       char ret_key[KEY_TEXT_MAX]);
bool valvectl_duration(const char *text, uint64_t *ret_ms);
// arguments.c: who sits here, as far as the system knows.
void valvectl_who(char ret_who[OPERATOR_TEXT_MAX]);
// For a field of a message: protobuf-c only reads it.
static inline char *valvectl_text(const char *text)
{
    return (char *)(uintptr_t)text;
}
// command_breakers.c: all breakers, into `list`, or printed as a table when it is NULL.
void valvectl_show_breakers(struct breaker_view *view, uint64_t now_ns, json_t *list);
int valvectl_run(int argc, char **argv);

#define COMMAND(function, words, arguments, help) int function(struct valvectl *ctl);
#include "commands.def"
#undef COMMAND

#endif
