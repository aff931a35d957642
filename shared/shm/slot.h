// Process slots: who is here, since when, and is it alive. One slot a process; its byte of the
// segment file is write-locked (OFD lock) for the holder's whole life, so liveness outlasts SIGSTOP
// and ends with SIGKILL; pid and heartbeat are information only.
//
// Who gets its predecessor's lock (same name and instance) adopts the slot: counters go on, gauges
// restart, `restarts` grows by one, the generation changes. A predecessor still alive: a fresh
// slot. When no slot is unused, the one whose holder has been dead for longest is taken, and its
// counters vanish with it. All alive: -ENOSPC (names the parameter in the caller's message).
// Two processes that start at once never get the same slot; a death while taking one leaves it
// unused. The holder's own locks go with its segment: release slots before segment_close.
#ifndef VALVECHAIN_SHM_SLOT_H
#define VALVECHAIN_SHM_SLOT_H

#include "shm/segment.h"

#define SLOT_COUNT           32
#define SLOT_NAME_MAX        24
#define SLOT_INSTANCE_MAX    24
#define SLOT_CATALOGUE_BYTES 65536 // self-description of the metrics (shared/metric)
#define SLOT_VALUES          6144  // 8-byte words, one writer
#define SLOT_SECTION_NAME    "slots"
#define SLOT_VALUES_SECTION  "slot-values"

struct slot; // a held slot

// The specs of the two sections above, for the segment's list.
struct segment_section_spec slot_section_spec(void);
struct segment_section_spec slot_values_section_spec(void);

// `name` 1 to SLOT_NAME_MAX - 1 bytes, `instance` at most SLOT_INSTANCE_MAX - 1 (-EINVAL); -EROFS
// on a read-only segment; -ENOENT when it has no slot sections.
int slot_acquire(struct segment *segment, const char *name, const char *instance,
                 struct slot **ret_slot);
void slot_release(struct slot **slot); // marks a clean leave and unlocks
void slot_heartbeat(struct slot *slot, uint64_t now_ns);
void slot_set_ready(struct slot *slot, bool ready);
uint32_t slot_index(const struct slot *slot);
uint32_t slot_generation(const struct slot *slot); // changes with every holder; never 0
bool slot_was_adopted(const struct slot *slot);
char *slot_catalogue(const struct slot *slot);          // SLOT_CATALOGUE_BYTES
_Atomic uint64_t *slot_values(const struct slot *slot); // SLOT_VALUES, 64-byte aligned
// Changes whenever the catalogue and the values begin anew (another holder, a damaged catalogue);
// in between the catalogue only grows. Who copied something and finds the sequence unchanged
// afterwards has a whole copy. Who begins anew empties the catalogue first and adds 2 then.
_Atomic uint32_t *slot_catalogue_sequence(const struct slot *slot);

struct slot_info {
    char name[SLOT_NAME_MAX];
    char instance[SLOT_INSTANCE_MAX];
    uint32_t index, generation, restarts;
    int32_t pid;
    bool in_use; // has ever been held and not been reclaimed
    bool alive;  // its lock is held now
    bool ready;
    bool left_cleanly;
    uint64_t start_ns, heartbeat_ns; // monotonic
    const char *catalogue;
    const _Atomic uint64_t *values;
    const _Atomic uint32_t *catalogue_sequence;
    uint32_t sequence_seen; // what it was when the rest was read
};
// Reads slot 0..SLOT_COUNT-1. False when the index is out of range or the slot was never used.
bool slot_read(const struct segment *segment, uint32_t index, struct slot_info *ret_info);
// One fcntl(F_OFD_GETLK): is this holder, by generation, alive? For reclaiming what a dead one
// held.
bool slot_is_alive(const struct segment *segment, uint32_t index, uint32_t generation);

#endif
