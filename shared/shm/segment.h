// The shared-memory segment: one fixed-size object under SHM_DIR, a header, a directory of
// sections. Offsets, never pointers; no locks; every process maps it read-write (valvectl
// read-only).
//
// Creation: under an OFD lock on "<object>.lock" whoever comes first fills a temporary name
// (posix_fallocate, so that a full /dev/shm is -ENOSPC here and never a SIGBUS later) and link()s
// it into place, so that a creator's death strands nobody. The object is "<dir>/<name>.<abi>", mode
// 0660. One that belongs to neither our user, nor root, nor a group of ours is refused, and so is a
// link, and one that everybody may write to; one left by an earlier boot is replaced. After
// attaching, the mapped header is never read again. What cannot be defended against: somebody with
// write access who shortens the file later (SIGBUS).
//
// Time in the segment is CLOCK_MONOTONIC nanoseconds. Descriptors are close-on-exec; a child that
// forks without exec shares the locks. Thread: the process's one thread.
#ifndef VALVECHAIN_SHM_SEGMENT_H
#define VALVECHAIN_SHM_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/abi.h"

#define SEGMENT_ABI          VALVECHAIN_ABI
#define SEGMENT_MAX_SECTIONS 16
#define SEGMENT_NAME_MAX     48
#define SEGMENT_REASON_MAX   320
#define SEGMENT_KEY_BYTES    16

// What a module wants in the segment. `layout_hash` is made of the sizes and offsets of its structs
// (segment_layout_hash), so that two builds that disagree refuse each other by name.
struct segment_section_spec {
    const char *name; // unique, at most 15 bytes
    uint64_t bytes;   // rounded up to 4096 by the segment; 0 when only attaching: any size will do
    uint64_t layout_hash;
    void (*init)(void *section,
                 uint64_t bytes); // on zeroed memory, by the creator only; may be NULL
    const char *parameter; // which parameter decides `bytes`, for people; NULL when none does
};

struct segment_options {
    const char *dir;  // "/dev/shm" in production
    const char *name; // VALVECHAIN_NAME
    const struct segment_section_spec *sections;
    size_t n_sections;
    bool allow_private; // ALLOW_PRIVATE_SEGMENT: on failure serve from private memory instead
    bool read_only;     // valvectl: never creates, never writes
};

struct segment;

// Attaches to the segment, creating it when absent. On failure returns -errno (-ENOSPC, -EACCES,
// -EPROTO for a foreign, old, short or corrupt object, ...) and writes one sentence for people into
// `ret_reason`, which also is filled when a private segment was taken instead.
int segment_open(const struct segment_options *options, char ret_reason[SEGMENT_REASON_MAX],
                 struct segment **ret_segment);
// The same for one that must be there already: never creates. -ENOENT: no suite of that name runs.
int segment_join(const struct segment_options *options, char ret_reason[SEGMENT_REASON_MAX],
                 struct segment **ret_segment);
// For a child after a fork: unmaps and closes its copies, and touches nothing of the parent's.
void segment_forget(struct segment **segment);
// Unmaps; the last process to leave an object of an older ABI than another live one unlinks it.
// Otherwise the object stays: state survives a restart of the whole suite.
void segment_close(struct segment **segment);
// Removes the object, its lock file and a dead creator's temporary file, if no process is attached
// for writing; -EBUSY else; 0 when there is none. For ./dev, valvectl and tests.
int segment_unlink(const char *dir, const char *name);

// The section's memory; NULL when there is none of that name. `ret_bytes` may be NULL.
void *segment_section(const struct segment *segment, const char *name, uint64_t *ret_bytes);
const uint8_t *
segment_hash_key(const struct segment *segment); // SEGMENT_KEY_BYTES, random per segment
bool segment_is_private(const struct segment *segment);
// Is it still the object of its name, and not one that was removed?
bool segment_is_named(const struct segment *segment);
int segment_fd(const struct segment *segment); // -1 when private
const char *segment_path(const struct segment *segment);
uint64_t segment_bytes(const struct segment *segment);
uint64_t segment_created_wall_ns(const struct segment *segment);
// Wall-clock nanoseconds minus monotonic nanoseconds, written once by the creator.
int64_t segment_wall_offset_ns(const struct segment *segment);

// For valvectl segment: walk the directory. Returns false past the end.
struct segment_section_info {
    char name[16];
    uint64_t offset, bytes, layout_hash;
};
bool segment_section_at(const struct segment *segment, size_t index,
                        struct segment_section_info *ret_info);

uint64_t segment_layout_hash(const size_t *numbers, size_t n); // FNV-1a over the numbers

#endif
