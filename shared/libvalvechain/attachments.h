// The segments that this process is attached to, so that a forked child lets go of them: what it
// inherits would keep its parent's slots locked, and with them the parent's permits, after the
// parent's death. Thread: any.
#ifndef VALVECHAIN_LIBVALVECHAIN_ATTACHMENTS_H
#define VALVECHAIN_LIBVALVECHAIN_ATTACHMENTS_H

#include <stdbool.h>

#include "shm/segment.h"

struct attachment {
    struct segment *segment; // NULL in a child
    bool is_parents;
    struct attachment *next;
};

// -ENOMEM.
int attachment_add(struct attachment *attachment);
void attachment_remove(struct attachment *attachment);
// In a child: then it must neither be used nor freed. It stays in the list, what hangs on it too.
static inline bool attachment_is_parents(const struct attachment *attachment)
{
    return attachment->is_parents;
}

#endif
