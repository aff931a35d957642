#include "breaker/probed.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/sequence.h"

#define PROBED_WORDS (sizeof(struct probed) / sizeof(uint64_t))
struct probed_line {
    _Atomic uint64_t sequence;
    _Atomic uint64_t words[PROBED_WORDS];
};
_Static_assert(sizeof(struct probed) == 320, "copied word by word; the layout of the segment");

const char *const probed_state_names[PROBED_STATES] = {"unknown", "healthy", "unhealthy"};

struct segment_section_spec probed_section_spec(void)
{
    const size_t layout[] = {PROBED_MAX, sizeof(struct probed_line), offsetof(struct probed, state),
                             offsetof(struct probed, successes)};
    return (struct segment_section_spec){
        .name = PROBED_SECTION_NAME,
        .bytes = PROBED_MAX * sizeof(struct probed_line),
        .layout_hash = segment_layout_hash(layout, sizeof(layout) / sizeof(layout[0]))};
}

void probed_write(struct segment *segment, uint32_t index, const struct probed *record)
{
    static const struct probed none;
    struct probed_line *lines = segment_section(segment, PROBED_SECTION_NAME, NULL);
    ASSERT(lines && index < PROBED_MAX);
    sequence_write(&lines[index].sequence, lines[index].words, record ? record : &none,
                   sizeof(none));
}

bool probed_read(const struct segment *segment, uint32_t index, struct probed *ret_record)
{
    const struct probed_line *lines = segment_section(segment, PROBED_SECTION_NAME, NULL);
    struct probed record;
    if (!lines || index >= PROBED_MAX ||
        !sequence_read(&lines[index].sequence, lines[index].words, &record, sizeof(record)) ||
        record.upstream[0] == '\0')
        return false;
    record.upstream[sizeof(record.upstream) - 1] = '\0';
    record.endpoint[sizeof(record.endpoint) - 1] = '\0';
    record.kind[sizeof(record.kind) - 1] = '\0';
    record.reason[sizeof(record.reason) - 1] = '\0';
    if (record.state >= PROBED_STATES)
        record.state = PROBED_UNKNOWN;
    *ret_record = record;
    return true;
}

static bool is_of(const struct probed *record, const char *upstream, const char *endpoint)
{
    return strcmp(record->upstream, upstream) == 0 &&
           strncmp(record->endpoint, endpoint, sizeof(record->endpoint) - 1) == 0;
}

bool probed_find(const struct segment *segment, const char *upstream, const char *endpoint,
                 uint32_t *hint, struct probed *ret_record)
{
    if (probed_read(segment, *hint, ret_record) && is_of(ret_record, upstream, endpoint))
        return true;
    for (uint32_t i = 0; i < PROBED_MAX; i++)
        if (probed_read(segment, i, ret_record) && is_of(ret_record, upstream, endpoint)) {
            *hint = i;
            return true;
        }
    return false;
}

enum probed_state probed_state_at(const struct probed *record, uint64_t now_ns)
{
    return now_ns < record->until_ns ? (enum probed_state)record->state : PROBED_UNKNOWN;
}
