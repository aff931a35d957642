// What an attempt's end means for its operation, and when the next one is. Pure. Thread: any.
#ifndef VALVECHAIN_BREAKER_OUTBOX_RULES_H
#define VALVECHAIN_BREAKER_OUTBOX_RULES_H

#include "breaker/breaker.h"
#include "outbox_store.h"

enum outbox_sent {   // how far an attempt came
    OUTBOX_NOT_SENT, // no byte of it left: it surely did nothing
    OUTBOX_UNKNOWN,  // some left and no answer came
    OUTBOX_ANSWERED,
};
struct outbox_attempt {
    enum outbox_sent sent;
    enum config_call_end end; // of one that was not answered, or not to the end of the answer
    bool broken;              // an answer that does not end, see `end`
    bool gateway;             // ended here (shutdown, no memory): says nothing about the upstream
    bool refused; // a mail, for good and by its own fault: says nothing about the server
    unsigned status;
    const char *reply;       // in the words of a mail server, in place of the status; NULL: none
    uint64_t retry_after_ms; // UINT64_MAX: not said
    const char *body;        // of the answer, for JSON-RPC
    size_t body_len;
    const char *error; // what went wrong below HTTP, "" for nothing
};
struct outbox_retry_rules {
    uint64_t backoff_ms, backoff_max_ms, max_attempts;
};

// The state that follows, when the next attempt is due, and one sentence why.
//   2xx, 3xx: done. 408, 425, 429, 5xx (but 501, 505) and, with a key, 409: again later.
//   What `outcomes` calls a failure or a timeout of the upstream: again later; a status from 500 or
//   a code of JSON-RPC that it calls a success is the upstream's last word: dead.
//   Other 4xx, 501, 505: dead at once. Not sent: again. Unknown: again if OUTBOX_RESEND, else
//   parked. JSON-RPC: an error that says the call is known already is done; -32603 and -32005
//   (limits) come again; any other is dead, with its answer kept.
// Again: full jitter, random in [0, min(max, first * 2^(attempt-1))], never before Retry-After;
// dead after max_attempts or when it would be later than expires_ms.
void outbox_judge(const struct outbox_attempt *attempt, const struct outbox_call *call,
                  const struct config_outcomes *outcomes, const struct outbox_retry_rules *rules,
                  uint64_t now_ms, uint32_t random, struct outbox_verdict *ret_verdict);
// As a client's call would count (breaker/call_outcome.h).
enum breaker_outcome outbox_outcome(const struct outbox_attempt *attempt,
                                    const struct outbox_call *call,
                                    const struct config_outcomes *outcomes);

// Seconds, or an HTTP date (RFC 9110 10.2.3), as milliseconds from now; UINT64_MAX: neither.
uint64_t outbox_retry_after_ms(const char *text, size_t len, uint64_t now_ms);

// Attempts a second that replay may make: `share_percent` of the live calls of the last second, at
// least `floor`.
double outbox_replay_rate(double live_per_s, uint64_t share_percent, uint64_t floor_per_s);

#endif
