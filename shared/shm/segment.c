#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/segment_internal.h"

int segment_prepare(const struct segment_options *options, uint32_t abi,
                    char ret_reason[SEGMENT_REASON_MAX], struct segment **ret_segment)
{
    ret_reason[0] = 0;
    int r = segment_check_options(options, ret_reason);
    if (r < 0)
        return r;
    struct segment *segment = calloc(1, sizeof(*segment));
    if (!segment) {
        snprintf(ret_reason, SEGMENT_REASON_MAX, "out of memory");
        return -ENOMEM;
    }
    segment->fd = -1;
    segment->read_only = options->read_only;
    segment->abi = abi;
    snprintf(segment->dir, sizeof(segment->dir), "%s", options->dir);
    snprintf(segment->name, sizeof(segment->name), "%s", options->name);
    snprintf(segment->path, sizeof(segment->path), "%s/%s.%u", segment->dir, segment->name, abi);
    *ret_segment = segment;
    return 0;
}

int segment_join(const struct segment_options *options, char ret_reason[SEGMENT_REASON_MAX],
                 struct segment **ret_segment)
{
    struct segment *segment;
    uint64_t deadline_ns = clock_mono_ns() + SEGMENT_WAIT_NS;
    int r = segment_prepare(options, SEGMENT_ABI, ret_reason, &segment);
    if (r < 0)
        return r;
    while ((r = segment_attach(segment, options, ret_reason)) == -EAGAIN &&
           clock_mono_ns() < deadline_ns)
        segment_wait_a_little(); // it is just being removed
    if (r < 0) {
        free(segment);
        return r == -ESTALE ? -ENOENT : r; // of an earlier boot
    }
    ret_reason[0] = 0;
    *ret_segment = segment;
    return 0;
}

void segment_forget(struct segment **segment)
{
    struct segment *old = *segment;
    if (!old)
        return;
    *segment = NULL;
    munmap(old->memory, old->header.total_bytes);
    close(old->fd);
    free(old);
}

void segment_close(struct segment **segment)
{
    struct segment *old = *segment;
    if (!old)
        return;
    *segment = NULL;
    munmap(old->memory, old->header.total_bytes);
    if (!old->is_private && !old->read_only)
        segment_remove_if_superseded(old);
    close(old->fd);
    free(old);
}

void *segment_section(const struct segment *segment, const char *name, uint64_t *ret_bytes)
{
    for (uint32_t i = 0; i < segment->header.n_sections; i++) {
        const struct segment_directory_entry *entry = &segment->header.sections[i];
        if (strcmp(entry->name, name) != 0)
            continue;
        if (ret_bytes)
            *ret_bytes = entry->bytes;
        return segment->memory + entry->offset;
    }
    return NULL;
}

bool segment_section_at(const struct segment *segment, size_t index,
                        struct segment_section_info *ret_info)
{
    if (index >= segment->header.n_sections)
        return false;
    const struct segment_directory_entry *entry = &segment->header.sections[index];
    struct segment_section_info info = {
        .offset = entry->offset, .bytes = entry->bytes, .layout_hash = entry->layout_hash};
    memcpy(info.name, entry->name, sizeof(info.name));
    *ret_info = info;
    return true;
}

const uint8_t *segment_hash_key(const struct segment *segment)
{
    return segment->header.hash_key;
}

bool segment_is_private(const struct segment *segment)
{
    return segment->is_private;
}

bool segment_is_named(const struct segment *segment)
{
    return !segment->is_private && segment_is_linked(segment->fd, segment->path);
}

int segment_fd(const struct segment *segment)
{
    return segment->is_private ? -1 : segment->fd;
}

const char *segment_path(const struct segment *segment)
{
    return segment->path;
}

uint64_t segment_bytes(const struct segment *segment)
{
    return segment->header.total_bytes;
}

uint64_t segment_created_wall_ns(const struct segment *segment)
{
    return segment->header.created_wall_ns;
}

int64_t segment_wall_offset_ns(const struct segment *segment)
{
    return segment->header.wall_offset_ns;
}
