// One attempt over HTTP, by libcurl in the loop. That over SMTP (outbox_smtp.h) has this shape,
// too: an operation in, how far it came and what was answered out. Thread: the loop's.
#ifndef VALVECHAIN_BREAKER_OUTBOX_SEND_H
#define VALVECHAIN_BREAKER_OUTBOX_SEND_H

#include "config/model.h"
#include "net/curl_loop.h"
#include "outbox_rules.h"

#define OUTBOX_ANSWER_MAX   65536 // of an answer's body is kept
#define OUTBOX_BYTES_PER_MS 64    // an upload may be as slow as this beyond the timeout

struct outbox_send_options {
    const struct config_upstream *upstream;
    unsigned lot;        // which of its endpoints
    const char *dir;     // of bodies in files
    uint64_t timeout_ms; // connecting and the answer; a large body gets more
};
// `attempt`, type and body are the callee's during the call.
typedef void outbox_sent_fn(void *arg, const struct outbox_attempt *attempt, const char *type);
// Calls back once, later. 0 or -errno (then it does not).
int outbox_send(struct curl_loop *loop, const struct outbox_call *call,
                const struct outbox_send_options *options, outbox_sent_fn *on_sent, void *arg);

#endif
