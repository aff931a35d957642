#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/segment_internal.h"

static int plan_directory(const struct segment_options *options, struct segment_header *header,
                          char ret_reason[SEGMENT_REASON_MAX])
{
    uint64_t offset = SEGMENT_PAGE_BYTES;
    for (size_t i = 0; i < options->n_sections; i++) {
        const struct segment_section_spec *spec = &options->sections[i];
        if (spec->bytes == 0 || spec->bytes > SEGMENT_MAX_BYTES - offset - SEGMENT_PAGE_BYTES) {
            snprintf(ret_reason, SEGMENT_REASON_MAX,
                     "section %s cannot have %" PRIu64 " bytes%s%s%s", spec->name, spec->bytes,
                     spec->parameter ? " (" : "", spec->parameter ? spec->parameter : "",
                     spec->parameter ? ")" : "");
            return -EINVAL;
        }
        struct segment_directory_entry *entry = &header->sections[i];
        snprintf(entry->name, sizeof(entry->name), "%s", spec->name);
        entry->offset = offset;
        entry->bytes =
            (spec->bytes + SEGMENT_PAGE_BYTES - 1) / SEGMENT_PAGE_BYTES * SEGMENT_PAGE_BYTES;
        entry->layout_hash = spec->layout_hash;
        offset += entry->bytes;
    }
    header->n_sections = (uint32_t)options->n_sections;
    header->total_bytes = offset;
    return 0;
}

static int plan_header(const struct segment_options *options, uint32_t abi,
                       char ret_reason[SEGMENT_REASON_MAX], struct segment_header *ret_header)
{
    struct segment_header header = {.abi = abi};
    int r = plan_directory(options, &header, ret_reason);
    if (r < 0)
        return r;
    if (sodium_init() < 0) {
        snprintf(ret_reason, SEGMENT_REASON_MAX, "libsodium has no source of random numbers");
        return -EIO;
    }
    randombytes_buf(header.hash_key, sizeof(header.hash_key));
    memcpy(header.magic, SEGMENT_MAGIC, sizeof(header.magic));
    segment_boot_id(header.boot_id);
    header.created_wall_ns = clock_wall_ns();
    header.wall_offset_ns = (int64_t)(header.created_wall_ns - clock_mono_ns());
    header.hash = segment_header_hash(&header);
    *ret_header = header;
    return 0;
}

static int fill(int fd, const struct segment_options *options, const struct segment_header *header,
                char **ret_memory)
{
    // Real pages now: on a full file system this fails here, and not as SIGBUS in a request.
    int error = posix_fallocate(fd, 0, (off_t)header->total_bytes);
    if (error != 0)
        return -error;
    char *memory = mmap(NULL, header->total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    for (size_t i = 0; i < options->n_sections; i++) {
        if (options->sections[i].init)
            options->sections[i].init(memory + header->sections[i].offset,
                                      header->sections[i].bytes);
    }
    memcpy(memory, header, sizeof(*header));
    *ret_memory = memory;
    return 0;
}

static void explain_fill(const struct segment *segment, uint64_t bytes, int error,
                         char ret_reason[SEGMENT_REASON_MAX])
{
    struct statvfs fs = {0};
    (void)statvfs(segment->dir, &fs);
    if (error == ENOSPC)
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.160s: no space for %" PRIu64 " bytes, %" PRIu64
                 " are free in SHM_DIR: enlarge it (docker --shm-size, an emptyDir with medium "
                 "Memory) or lower LIMIT_TABLE_CELLS",
                 segment->path, bytes, (uint64_t)fs.f_bavail * fs.f_frsize);
    else
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.160s: cannot be created with %" PRIu64 " bytes: %s", segment->path, bytes,
                 strerror(error));
}

static int open_temporary(const char *temporary)
{
    // Only the holder of the lock file makes this name: one that is there is a dead creator's.
    if (unlink(temporary) < 0 && errno != ENOENT)
        return -errno;
    int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, 0660) < 0) {
        int r = -errno;
        close(fd);
        unlink(temporary);
        return r;
    }
    return fd;
}

static int make_object(const struct segment *segment, const struct segment_options *options,
                       const struct segment_header *header)
{
    char temporary[sizeof(segment->path) + 8];
    snprintf(temporary, sizeof(temporary), "%s.new", segment->path);
    int fd = open_temporary(temporary);
    if (fd < 0)
        return fd;
    char *memory;
    int r = fill(fd, options, header, &memory);
    if (r == 0) {
        munmap(memory, header->total_bytes);
        // link(), not rename(): never over what somebody else laid there meanwhile. A death before
        // the unlink leaves a second name, which costs nothing and is removed with the object.
        if (link(temporary, segment->path) < 0)
            r = -errno;
    }
    unlink(temporary);
    close(fd);
    return r;
}

static int remove_stale(const struct segment *segment, char ret_reason[SEGMENT_REASON_MAX])
{
    int fd = open(segment->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int r = segment_lock_try(fd, F_WRLCK, SEGMENT_LOCK_PRESENCE);
    if (r == -EAGAIN) {
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.160s: made before this machine's last boot, yet held by a process (of another "
                 "machine that shares SHM_DIR?): use another SHM_DIR",
                 segment->path);
        r = -EBUSY;
    } else if (r == 0 && unlink(segment->path) < 0) {
        r = -errno;
    }
    close(fd);
    return r;
}

// Under the lock file: makes way for a new object. -EEXIST when there is one to attach to.
static int clear_path(const struct segment *segment, const struct segment_options *options,
                      char ret_reason[SEGMENT_REASON_MAX])
{
    struct segment probe = *segment;
    char reason[SEGMENT_REASON_MAX] = "";
    int r = segment_attach(&probe, options, reason);
    if (r == -ENOENT)
        return 0;
    if (r == -ESTALE)
        return remove_stale(segment, ret_reason);
    if (r == 0) {
        munmap(probe.memory, probe.header.total_bytes);
        close(probe.fd);
    }
    return -EEXIST;
}

int segment_create(const struct segment *segment, const struct segment_options *options,
                   char ret_reason[SEGMENT_REASON_MAX])
{
    struct segment_header header;
    int lock_fd;
    int r = plan_header(options, segment->abi, ret_reason, &header);
    if (r < 0)
        return r;
    r = segment_lock_file(segment->path, clock_mono_ns() + SEGMENT_WAIT_NS, &lock_fd);
    if (r < 0) {
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.160s.lock: cannot be taken: %s (SHM_DIR must be a directory this user may "
                 "write to)",
                 segment->path,
                 r == -ETIMEDOUT ? "another process has been creating the segment for 5 s"
                                 : strerror(-r));
        return r;
    }
    r = clear_path(segment, options, ret_reason);
    if (r == 0) {
        r = make_object(segment, options, &header);
        if (r < 0 && r != -EEXIST)
            explain_fill(segment, header.total_bytes, -r, ret_reason);
    }
    close(lock_fd);
    return r;
}

int segment_create_private(struct segment *segment, const struct segment_options *options,
                           char ret_reason[SEGMENT_REASON_MAX])
{
    struct segment_header header;
    int r = plan_header(options, segment->abi, ret_reason, &header);
    if (r < 0)
        return r;
    // A memfd and not bare anonymous memory: slots lock its bytes as they lock a shared one's.
    int fd = memfd_create("valvechain-private", MFD_CLOEXEC);
    r = fd < 0 ? -errno : fill(fd, options, &header, &segment->memory);
    if (r < 0) {
        explain_fill(segment, header.total_bytes, -r, ret_reason);
        if (fd >= 0)
            close(fd);
        return r;
    }
    segment->header = header;
    segment->fd = fd;
    segment->is_private = true;
    return 0;
}
