#include "service/finding.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/sequence.h"
#include "shm/slot.h"

struct finding {
    uint32_t generation, reserved;
    char text[FINDING_TEXT_MAX];
};
#define FINDING_WORDS (sizeof(struct finding) / sizeof(uint64_t))
struct finding_line {
    _Atomic uint64_t sequence;
    _Atomic uint64_t words[FINDING_WORDS];
};
_Static_assert(sizeof(struct finding) == 256, "copied word by word; the layout of the segment");

struct segment_section_spec finding_section_spec(void)
{
    const size_t layout[] = {SLOT_COUNT, sizeof(struct finding_line),
                             offsetof(struct finding, text)};

    return (struct segment_section_spec){
        .name = FINDING_SECTION_NAME,
        .bytes = SLOT_COUNT * sizeof(struct finding_line),
        .layout_hash = segment_layout_hash(layout, sizeof(layout) / sizeof(layout[0]))};
}

void finding_write(struct segment *segment, uint32_t slot_index, uint32_t generation,
                   const char *text)
{
    struct finding_line *lines = segment_section(segment, FINDING_SECTION_NAME, NULL);
    struct finding finding = {.generation = generation};

    ASSERT(lines && slot_index < SLOT_COUNT);
    snprintf(finding.text, sizeof(finding.text), "%s", text);
    sequence_write(&lines[slot_index].sequence, lines[slot_index].words, &finding, sizeof(finding));
}

bool finding_read(const struct segment *segment, uint32_t slot_index, uint32_t generation,
                  char ret_text[FINDING_TEXT_MAX])
{
    const struct finding_line *lines = segment_section(segment, FINDING_SECTION_NAME, NULL);
    struct finding finding;

    if (!lines || slot_index >= SLOT_COUNT ||
        !sequence_read(&lines[slot_index].sequence, lines[slot_index].words, &finding,
                       sizeof(finding)) ||
        finding.generation != generation || !finding.text[0])
        return false;
    finding.text[sizeof(finding.text) - 1] = '\0';
    memcpy(ret_text, finding.text, sizeof(finding.text));
    return true;
}
