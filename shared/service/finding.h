// What a process has to say about itself ("another limiter holds the commands socket"), shown by
// /api/health and `valvectl status`. One text a slot; written by the slot's holder, read by any.
#ifndef VALVECHAIN_SERVICE_FINDING_H
#define VALVECHAIN_SERVICE_FINDING_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/segment.h"

#define FINDING_SECTION_NAME "findings"
#define FINDING_TEXT_MAX     248 // with its NUL

struct segment_section_spec finding_section_spec(void);
// "" clears it. Longer texts are cut. `generation` is the slot's, so that a successor does not
// inherit it.
void finding_write(struct segment *segment, uint32_t slot_index, uint32_t generation,
                   const char *text);
// False when the holder of that generation has said nothing (or the slot is out of range).
bool finding_read(const struct segment *segment, uint32_t slot_index, uint32_t generation,
                  char ret_text[FINDING_TEXT_MAX]);

#endif
