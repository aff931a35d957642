// What the handlers of this process's commands share. Thread: the loop's.
#ifndef VALVECHAIN_BREAKER_REPLY_H
#define VALVECHAIN_BREAKER_REPLY_H

#include <protobuf-c/protobuf-c.h>

#include "base/strbuf.h"

// Appends the message's bytes. -ENOMEM.
int reply_append(const ProtobufCMessage *message, struct strbuf *reply);
// protobuf-c's fields are not const and only read.
static inline char *reply_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

#endif
