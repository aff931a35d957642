// valvectl segment: the directory of sections with sizes, and how full the parts are that fill up.
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "limit/limit.h"
#include "shm/slot.h"
#include "valvectl.h"

struct fill {
    uint32_t slots_used, slots_alive;
    struct limit_fill table;
    bool table_known;
};

static void read_fill(struct segment *segment, struct fill *ret_fill)
{
    struct slot_info slot;
    struct limit_view *view;
    struct fill fill = {0};
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        if (slot_read(segment, i, &slot)) {
            fill.slots_used++;
            fill.slots_alive += slot.alive;
        }
    }
    if (limit_attach(segment, NULL, &view) == 0) {
        limit_fill(view, &fill.table);
        fill.table_known = true;
        limit_detach(&view);
    }
    *ret_fill = fill;
}

static void print_text(const struct segment *segment, const struct fill *fill)
{
    struct segment_section_info section;
    printf("%s: %" PRIu64 " bytes, ABI %d%s\n\n", segment_path(segment), segment_bytes(segment),
           SEGMENT_ABI, segment_is_private(segment) ? ", private" : "");
    printf("%-16s %12s %12s  %s\n", "SECTION", "OFFSET", "BYTES", "LAYOUT");
    for (size_t i = 0; segment_section_at(segment, i, &section); i++)
        printf("%-16s %12" PRIu64 " %12" PRIu64 "  %016" PRIx64 "\n", section.name, section.offset,
               section.bytes, section.layout_hash);
    printf("\nprocess slots: %u of %d used, %u alive\n", fill->slots_used, SLOT_COUNT,
           fill->slots_alive);
    if (fill->table_known)
        printf("limit table: about %" PRIu64 " of %" PRIu64 " cells live\n", fill->table.live,
               fill->table.cells);
}

static void print_json(const struct segment *segment, const struct fill *fill)
{
    struct segment_section_info section;
    json_t *sections = json_array();
    for (size_t i = 0; segment_section_at(segment, i, &section); i++)
        json_array_append_new(sections, json_pack("{s:s, s:I, s:I}", "name", section.name, "offset",
                                                  (json_int_t)section.offset, "bytes",
                                                  (json_int_t)section.bytes));
    json_t *root = json_pack("{s:s, s:I, s:i, s:o, s:{s:i, s:i, s:i}}", "path",
                             segment_path(segment), "bytes", (json_int_t)segment_bytes(segment),
                             "abi", SEGMENT_ABI, "sections", sections, "slots", "total", SLOT_COUNT,
                             "used", (int)fill->slots_used, "alive", (int)fill->slots_alive);
    if (fill->table_known)
        json_object_set_new(root, "limitTable",
                            json_pack("{s:I, s:I}", "cells", (json_int_t)fill->table.cells, "live",
                                      (json_int_t)fill->table.live));
    json_dumpf(root, stdout, JSON_INDENT(2));
    puts("");
    json_decref(root);
}

int command_segment(struct valvectl *ctl)
{
    struct segment *segment;
    struct fill fill;
    int result = valvectl_open_segment(ctl, &segment);
    if (result != VALVECTL_OK)
        return result;
    read_fill(segment, &fill);
    if (ctl->json)
        print_json(segment, &fill);
    else
        print_text(segment, &fill);
    segment_close(&segment);
    return VALVECTL_OK;
}
