// Arbitrary bytes as a segment file: what segment_check accepts has a directory within the file, as
// the caller wants it; what it refuses it explains. Each input is tried as it is, and once more
// with magic, ABI and checksum mended, so that mutations get past them.
#include <stdlib.h>
#include <string.h>

#include "shm/segment_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct segment_section_spec specs[] = {
    {.name = "cells", .bytes = 4000, .layout_hash = 7, .parameter = "CELLS"},
    {.name = "advice", .layout_hash = 8},
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_accepted(const struct segment_header *header, uint64_t file_bytes)
{
    struct segment segment = {.header = *header};
    struct segment_section_info info;
    size_t n = 0;
    bool has_cells = false;
    while (segment_section_at(&segment, n, &info)) {
        require(memchr(info.name, 0, sizeof(info.name)) != NULL);
        require(info.offset >= SEGMENT_PAGE_BYTES && info.offset <= file_bytes);
        require(info.bytes > 0 && info.bytes <= file_bytes - info.offset);
        if (strcmp(info.name, "cells") == 0)
            has_cells = info.bytes == 4096 && info.layout_hash == 7;
        n++;
    }
    require(n >= 2 && n <= SEGMENT_MAX_SECTIONS);
    require(has_cells);
}

static void check(const void *page, size_t page_bytes, uint64_t file_bytes)
{
    static const char *const boot_ids[] = {"", "boot"};
    const struct segment_options options = {
        .dir = "/dev/shm", .name = "vc", .sections = specs, .n_sections = 2};
    for (int i = 0; i < 2; i++) {
        char reason[SEGMENT_REASON_MAX] = "";
        struct segment_header header;
        int r = segment_check(page, page_bytes, file_bytes, SEGMENT_ABI, boot_ids[i], &options,
                              "/dev/shm/vc.1", reason, &header);
        require(memchr(reason, 0, sizeof(reason)) != NULL);
        require((r == 0) == (reason[0] == 0));
        if (r == 0)
            check_accepted(&header, file_bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t page_bytes = len < SEGMENT_PAGE_BYTES ? len : SEGMENT_PAGE_BYTES;
    check(data, page_bytes, len);
    if (len < sizeof(struct segment_header))
        return 0;
    struct segment_header mended;
    memcpy(&mended, data, sizeof(mended));
    memcpy(mended.magic, SEGMENT_MAGIC, sizeof(mended.magic));
    mended.abi = SEGMENT_ABI;
    mended.hash = segment_header_hash(&mended);
    check(&mended, sizeof(mended), mended.total_bytes);
    return 0;
}
