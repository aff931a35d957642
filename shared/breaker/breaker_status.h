// What a breaker is and was: states, rules, figures, changes. Plain data. Included by breaker.h.
#ifndef VALVECHAIN_BREAKER_STATUS_H
#define VALVECHAIN_BREAKER_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_NAME_MAX   24
#define BREAKER_AUTHOR_MAX 32
#define BREAKER_REASON_MAX 80

enum breaker_state {
    BREAKER_CLOSED,
    BREAKER_OPEN,
    BREAKER_HALF_OPEN,
    // Set by a person (breaker_force), until their end or breaker_reset():
    BREAKER_FORCED_OPEN,   // refuses all, probes nothing
    BREAKER_FORCED_CLOSED, // admits what the capacity admits, counts, never trips
    BREAKER_DISABLED,      // admits all, counts nothing
    BREAKER_OBSERVE,       // admits all, counts, notes once that it would have opened
    BREAKER_STATES
};
// Not one of the three that the breaker enters by itself.
static inline bool breaker_is_forced(enum breaker_state state)
{
    return state > BREAKER_HALF_OPEN;
}

extern const char *const breaker_state_names[BREAKER_STATES]; // "CLOSED", "OPEN", "HALF-OPEN", ...

// Why a breaker changed its state.
enum breaker_rule {
    BREAKER_RULE_NONE, // not known, or its time had come (deadline, end of a forced state)
    BREAKER_RULE_ERROR_RATE,
    BREAKER_RULE_SLOW_RATE,
    BREAKER_RULE_CONSECUTIVE,
    BREAKER_RULE_PROBES,  // the half-open probes, judged together
    BREAKER_RULE_EXPIRED, // probes without a result in their lease
    BREAKER_RULE_COMMAND, // a person: author and reason say who and why
    BREAKER_RULES
};
extern const char *const breaker_rule_names[BREAKER_RULES]; // "error-rate", ...

struct breaker_status {
    char name[BREAKER_NAME_MAX];
    enum breaker_state state;
    uint32_t generation;
    uint32_t reopened;    // failed recoveries that have not decayed yet
    uint64_t since_ns;    // of the state
    uint64_t deadline_ns; // open: when a probe may go; forced: its end, if it has one; else 0
    uint32_t in_flight, capacity, probes_out;
    bool would_open; // observe-only: a rule would have opened it since it observes
    uint32_t consecutive;
    uint64_t window_successes, window_failures, window_timeouts, window_slow;
    uint64_t total_opens; // since the segment was made
    uint64_t total_successes, total_failures, total_timeouts, total_slow, total_ignored;
    uint64_t total_refused_open, total_refused_capacity, total_refused_ramp, total_refused_forced;
    uint64_t total_probes;                                       // granted
    char author[BREAKER_AUTHOR_MAX], reason[BREAKER_REASON_MAX]; // of the last command; "" for none
    bool retired;                                                // configured no more
};

// The last changes of state, for the event stream: none is lost between two looks as long as there
// were at most BREAKER_HISTORY of them.
#define BREAKER_HISTORY 8
struct breaker_transition {
    uint32_t generation; // the one that began
    enum breaker_state from, to;
    uint64_t at_ns;
    // Why, and what was judged.
    enum breaker_rule rule;
    uint64_t successes, failures, timeouts, slow, consecutive;
    // How long it stays: of a forced state what was asked, 0 without an end; of an open one, the
    // newest only, until its deadline.
    uint64_t open_for_ns;
    char author[BREAKER_AUTHOR_MAX], reason[BREAKER_REASON_MAX]; // BREAKER_RULE_COMMAND
};

#endif
