// What the files of shared/shm share among themselves; nobody else includes it but their tests.
#ifndef VALVECHAIN_SHM_SEGMENT_INTERNAL_H
#define VALVECHAIN_SHM_SEGMENT_INTERNAL_H

#include <limits.h>

#include "shm/segment.h"

#define SEGMENT_PAGE_BYTES  4096U
#define SEGMENT_MAGIC       "ValveChn"
#define SEGMENT_BOOT_ID_MAX 40
#define SEGMENT_MAX_BYTES   (1ULL << 40)
#define SEGMENT_WAIT_NS     (5ULL * 1000000000ULL) // the longest wait for a lock in segment_open

// Locks lie beyond the end of the file, where no data can ever be: byte SLOT + i for slot i, and
// one that every process attached for writing holds as a read lock.
#define SEGMENT_LOCK_SLOT     (1LL << 41)
#define SEGMENT_LOCK_PRESENCE (1LL << 42)

struct segment_directory_entry {
    char name[16];
    uint64_t offset; // from the start of the segment, page-aligned
    uint64_t bytes;  // a multiple of the page
    uint64_t layout_hash;
};

// The first page of the segment. Written once, before the object has its name.
struct segment_header {
    char magic[8];
    uint32_t abi;
    uint32_t n_sections;
    uint64_t total_bytes;
    uint64_t created_wall_ns;
    int64_t wall_offset_ns;
    uint8_t hash_key[SEGMENT_KEY_BYTES];
    char boot_id[SEGMENT_BOOT_ID_MAX]; // monotonic time means nothing after a reboot
    struct segment_directory_entry sections[SEGMENT_MAX_SECTIONS];
    uint64_t hash; // FNV-1a of everything above
};
_Static_assert(sizeof(struct segment_directory_entry) == 40, "directory entry layout");
_Static_assert(sizeof(struct segment_header) == 744, "header layout");
_Static_assert(sizeof(struct segment_header) <= SEGMENT_PAGE_BYTES, "header fits its page");

struct segment {
    struct segment_header header; // private copy, validated; the mapped one is never read again
    char *memory;
    int fd; // also of a private one (a memfd), for its slot locks
    bool is_private;
    bool read_only;
    uint32_t held_slots; // bit per slot held through `fd`: GETLK does not show one's own locks
    uint32_t abi;
    char dir[PATH_MAX];
    char name[SEGMENT_NAME_MAX + 1];
    char path[PATH_MAX + SEGMENT_NAME_MAX + 16];
};

// segment_open for an object of another ABI number: tests of an upgrade.
int segment_open_abi(const struct segment_options *options, uint32_t abi,
                     char ret_reason[SEGMENT_REASON_MAX], struct segment **ret_segment);

// segment.c: checks the options and fills what they say; nothing is open yet.
int segment_prepare(const struct segment_options *options, uint32_t abi,
                    char ret_reason[SEGMENT_REASON_MAX], struct segment **ret_segment);

// segment_check.c: pure. Is this the first page of a segment of `file_bytes` bytes that fits the
// caller's sections? `page` holds `page_bytes` bytes (as many as the file has, at most a page).
// -EPROTO with a reason, or -ESTALE when it is sound but of another boot than `boot_id` ("" skips).
int segment_check(const void *page, size_t page_bytes, uint64_t file_bytes, uint32_t abi,
                  const char *boot_id, const struct segment_options *options, const char *path,
                  char ret_reason[SEGMENT_REASON_MAX], struct segment_header *ret_header);
int segment_check_options(const struct segment_options *options,
                          char ret_reason[SEGMENT_REASON_MAX]);
uint64_t segment_header_hash(const struct segment_header *header);
void segment_boot_id(char ret_boot_id[SEGMENT_BOOT_ID_MAX]); // "" when the kernel does not tell

// segment_attach.c. -ENOENT: none there; -EAGAIN: it is just being removed, try again; -ESTALE: of
// an earlier boot. On success `segment` has its fd, memory and header.
int segment_attach(struct segment *segment, const struct segment_options *options,
                   char ret_reason[SEGMENT_REASON_MAX]);
// Still the object of that name, not an unlinked one?
bool segment_is_linked(int fd, const char *path);

// segment_create.c. Makes the object under the lock file; -EEXIST when there is one to attach to;
// one of an earlier boot is removed first (-EBUSY when somebody holds it nevertheless).
int segment_create(const struct segment *segment, const struct segment_options *options,
                   char ret_reason[SEGMENT_REASON_MAX]);
int segment_create_private(struct segment *segment, const struct segment_options *options,
                           char ret_reason[SEGMENT_REASON_MAX]);

// segment_remove.c
void segment_remove_if_superseded(struct segment *segment);

// segment_lock.c: OFD locks of one byte. 0, -EAGAIN when held by another, -errno.
int segment_lock_try(int fd, short type, off_t offset);
int segment_lock_within(int fd, short type, off_t offset, uint64_t deadline_ns);
bool segment_lock_is_held(int fd, short type, off_t offset); // would `type` conflict?
// The lock file "<path>.lock", locked for writing and still of that name.
int segment_lock_file(const char *path, uint64_t deadline_ns, int *ret_fd);
void segment_wait_a_little(void); // between two tries for a lock that has no event

#endif
