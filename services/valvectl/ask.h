// Asks a process of the suite over its commands socket and waits for the reply.
#ifndef VALVECHAIN_VALVECTL_ASK_H
#define VALVECHAIN_VALVECTL_ASK_H

#include <protobuf-c/protobuf-c.h>

#include "valvectl.h"

// Returns VALVECTL_OK after on_reply has been called with the reply (during the call only); else
// the reason is said on stderr: VALVECTL_UNREACHABLE (nobody answered in time), VALVECTL_FINDING
// (refused).
typedef void ask_reply_fn(void *arg, const ProtobufCMessage *reply);
int ask(const struct valvectl *ctl, const char *process, const char *topic,
        const ProtobufCMessage *message, ask_reply_fn *on_reply, void *arg);

#endif
