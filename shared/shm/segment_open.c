#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "shm/segment_internal.h"

// How often the object may vanish again before we attach: somebody removes it as fast as we make
// it.
#define MAX_CREATIONS 16

static int attach_or_create(struct segment *segment, const struct segment_options *options,
                            char ret_reason[SEGMENT_REASON_MAX])
{
    uint64_t deadline_ns = clock_mono_ns() + SEGMENT_WAIT_NS;
    int creations = 0;
    for (;;) {
        ret_reason[0] = 0;
        int r = segment_attach(segment, options, ret_reason);
        if ((r == -ENOENT || r == -ESTALE) && !segment->read_only && creations++ < MAX_CREATIONS) {
            r = segment_create(segment, options, ret_reason);
            if (r == 0 || r == -EEXIST)
                continue; // there is one now, however long it took: attach like everybody else
        }
        if (r != -EAGAIN || clock_mono_ns() >= deadline_ns) {
            if (r == 0)
                ret_reason[0] = 0;
            return r;
        }
        segment_wait_a_little(); // it is just being removed
    }
}

int segment_open_abi(const struct segment_options *options, uint32_t abi,
                     char ret_reason[SEGMENT_REASON_MAX], struct segment **ret_segment)
{
    struct segment *segment;
    int r = segment_prepare(options, abi, ret_reason, &segment);
    if (r < 0)
        return r;
    r = attach_or_create(segment, options, ret_reason);
    if (r < 0 && options->allow_private && !options->read_only) {
        char shared_reason[SEGMENT_REASON_MAX];
        memcpy(shared_reason, ret_reason, sizeof(shared_reason));
        r = segment_create_private(segment, options, ret_reason);
        if (r == 0)
            memcpy(ret_reason, shared_reason, sizeof(shared_reason));
    }
    if (r < 0) {
        free(segment);
        return r;
    }
    *ret_segment = segment;
    return 0;
}

int segment_open(const struct segment_options *options, char ret_reason[SEGMENT_REASON_MAX],
                 struct segment **ret_segment)
{
    return segment_open_abi(options, SEGMENT_ABI, ret_reason, ret_segment);
}
