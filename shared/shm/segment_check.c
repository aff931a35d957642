#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shm/segment_internal.h"

#define FNV_OFFSET 14695981039346656037ULL
#define FNV_PRIME  1099511628211ULL

static uint64_t fnv1a(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ byte[i]) * FNV_PRIME;
    return hash;
}

uint64_t segment_layout_hash(const size_t *numbers, size_t n)
{
    uint64_t hash = FNV_OFFSET;
    for (size_t i = 0; i < n; i++) {
        uint64_t number = numbers[i];
        hash = fnv1a(hash, &number, sizeof(number));
    }
    return hash;
}

uint64_t segment_header_hash(const struct segment_header *header)
{
    return fnv1a(FNV_OFFSET, header, offsetof(struct segment_header, hash));
}

void segment_boot_id(char ret_boot_id[SEGMENT_BOOT_ID_MAX])
{
    memset(ret_boot_id, 0, SEGMENT_BOOT_ID_MAX);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, ret_boot_id, SEGMENT_BOOT_ID_MAX - 1);
    close(fd);
    if (n < 0)
        n = 0;
    memset(ret_boot_id + n, 0, (size_t)(SEGMENT_BOOT_ID_MAX - n));
    ret_boot_id[strcspn(ret_boot_id, "\n")] = 0;
}

static bool is_object_name(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > SEGMENT_NAME_MAX || name[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
            return false;
    }
    return true;
}

int segment_check_options(const struct segment_options *options,
                          char ret_reason[SEGMENT_REASON_MAX])
{
    if (!options->name || !is_object_name(options->name)) {
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "VALVECHAIN_NAME: '%.64s' cannot name a segment, allowed are 1 to %d letters, "
                 "digits, '-', '_' and '.', not beginning with '.'",
                 options->name ? options->name : "", SEGMENT_NAME_MAX);
        return -EINVAL;
    }
    if (!options->dir || options->dir[0] != '/' || strlen(options->dir) >= PATH_MAX) {
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "SHM_DIR: '%.64s' is not an absolute path of a directory",
                 options->dir ? options->dir : "");
        return -EINVAL;
    }
    if (options->n_sections > SEGMENT_MAX_SECTIONS) {
        snprintf(ret_reason, SEGMENT_REASON_MAX, "%zu sections wanted, at most %d fit",
                 options->n_sections, SEGMENT_MAX_SECTIONS);
        return -EINVAL;
    }
    return 0;
}

static int check_identity(const struct segment_header *header, uint64_t file_bytes, uint32_t abi,
                          const char *path, char ret_reason[SEGMENT_REASON_MAX])
{
    if (memcmp(header->magic, SEGMENT_MAGIC, sizeof(header->magic)) != 0)
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.160s: not a ValveChain segment (its first bytes are another program's)", path);
    else if (header->abi != abi)
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.160s: has ABI %" PRIu32 ", this process speaks ABI %" PRIu32, path, header->abi,
                 abi);
    else if (header->hash != segment_header_hash(header))
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.160s: its header is corrupt (checksum): stop the suite and remove the file",
                 path);
    else if (header->total_bytes != file_bytes)
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.160s: has %" PRIu64 " bytes, its header says %" PRIu64
                 ": stop the suite and remove the file",
                 path, file_bytes, header->total_bytes);
    else
        return 0;
    return -EPROTO;
}

static bool is_sound_entry(const struct segment_header *header, uint32_t index)
{
    const struct segment_directory_entry *entry = &header->sections[index];
    uint64_t begin = SEGMENT_PAGE_BYTES;
    if (index > 0)
        begin = header->sections[index - 1].offset + header->sections[index - 1].bytes;
    if (entry->name[0] == 0 || !memchr(entry->name, 0, sizeof(entry->name)))
        return false;
    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(entry->name, header->sections[i].name) == 0)
            return false;
    }
    return entry->offset == begin && entry->bytes > 0 && entry->bytes % SEGMENT_PAGE_BYTES == 0 &&
           entry->bytes <= header->total_bytes && entry->offset <= header->total_bytes &&
           entry->bytes <= header->total_bytes - entry->offset;
}

static int check_directory(const struct segment_header *header, const char *path,
                           char ret_reason[SEGMENT_REASON_MAX])
{
    if (header->n_sections > SEGMENT_MAX_SECTIONS) {
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.160s: corrupt: its directory has %" PRIu32 " sections, at most %d fit", path,
                 header->n_sections, SEGMENT_MAX_SECTIONS);
        return -EPROTO;
    }
    for (uint32_t i = 0; i < header->n_sections; i++) {
        if (!is_sound_entry(header, i)) {
            snprintf(ret_reason, SEGMENT_REASON_MAX,
                     "%.160s: corrupt: entry %" PRIu32 " of its directory is out of bounds", path,
                     i);
            return -EPROTO;
        }
    }
    return 0;
}

static uint64_t page_aligned(uint64_t bytes)
{
    return (bytes + SEGMENT_PAGE_BYTES - 1) / SEGMENT_PAGE_BYTES * SEGMENT_PAGE_BYTES;
}

static int check_section(const struct segment_header *header,
                         const struct segment_section_spec *spec, const char *path,
                         char ret_reason[SEGMENT_REASON_MAX])
{
    const struct segment_directory_entry *entry = NULL;
    for (uint32_t i = 0; i < header->n_sections && !entry; i++) {
        if (strcmp(header->sections[i].name, spec->name) == 0)
            entry = &header->sections[i];
    }
    if (!entry)
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.160s: has no section %s: another version of ValveChain made it, stop the suite "
                 "first",
                 path, spec->name);
    else if (spec->bytes != 0 && entry->bytes != page_aligned(spec->bytes))
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.160s: section %s has %" PRIu64 " bytes, this process wants %" PRIu64
                 "%s%s%s: stop the suite or use the same value",
                 path, spec->name, entry->bytes, page_aligned(spec->bytes),
                 spec->parameter ? " (" : "", spec->parameter ? spec->parameter : "",
                 spec->parameter ? ")" : "");
    else if (entry->layout_hash != spec->layout_hash)
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.160s: section %s has another layout than this build's: another version of "
                 "ValveChain made it, stop the suite first",
                 path, spec->name);
    else
        return 0;
    return -EPROTO;
}

int segment_check(const void *page, size_t page_bytes, uint64_t file_bytes, uint32_t abi,
                  const char *boot_id, const struct segment_options *options, const char *path,
                  char ret_reason[SEGMENT_REASON_MAX], struct segment_header *ret_header)
{
    struct segment_header header;
    if (file_bytes < SEGMENT_PAGE_BYTES || page_bytes < sizeof(header)) {
        snprintf(ret_reason, SEGMENT_REASON_MAX,
                 "%.160s: not a ValveChain segment: %" PRIu64 " bytes are too short for its header",
                 path, file_bytes);
        return -EPROTO;
    }
    memcpy(&header, page, sizeof(header));
    int r = check_identity(&header, file_bytes, abi, path, ret_reason);
    if (r == 0)
        r = check_directory(&header, path, ret_reason);
    if (r < 0)
        return r;
    header.boot_id[sizeof(header.boot_id) - 1] = 0;
    // Before the caller's wishes: what an earlier boot left is replaced, whatever its sizes.
    if (boot_id[0] && header.boot_id[0] && strcmp(boot_id, header.boot_id) != 0) {
        snprintf(ret_reason, SEGMENT_REASON_MAX, "%.160s: made before this machine's last boot",
                 path);
        return -ESTALE;
    }
    for (size_t i = 0; i < options->n_sections && r == 0; i++)
        r = check_section(&header, &options->sections[i], path, ret_reason);
    if (r == 0)
        *ret_header = header;
    return r;
}
