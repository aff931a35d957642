#include "service/lanes.h"

#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

struct lanes_section {
    _Atomic uint32_t waiting[LANES_COUNTERS];
};

struct segment_section_spec lanes_section_spec(void)
{
    const size_t layout[] = {sizeof(struct lanes_section)};

    return (struct segment_section_spec){
        .name = LANES_SECTION_NAME,
        .bytes = sizeof(struct lanes_section),
        .layout_hash = segment_layout_hash(layout, sizeof(layout) / sizeof(layout[0]))};
}

int64_t lanes_hash(const char *upstream, const char *ordering_key)
{
    crypto_generichash_state state;
    unsigned char hash[crypto_generichash_BYTES_MIN];
    int64_t number;

    crypto_generichash_init(&state, NULL, 0, sizeof(hash));
    crypto_generichash_update(&state, (const unsigned char *)upstream, strlen(upstream) + 1);
    crypto_generichash_update(&state, (const unsigned char *)ordering_key, strlen(ordering_key));
    crypto_generichash_final(&state, hash, sizeof(hash));
    memcpy(&number, hash, sizeof(number));
    return number != 0 ? number : 1;
}

void lanes_replace(struct segment *segment, const uint32_t counts[LANES_COUNTERS])
{
    struct lanes_section *section = segment_section(segment, LANES_SECTION_NAME, NULL);

    for (size_t i = 0; section && i < LANES_COUNTERS; i++)
        atomic_store(&section->waiting[i], counts[i]);
}

void lanes_add(struct segment *segment, int64_t lane, int change)
{
    struct lanes_section *section = segment_section(segment, LANES_SECTION_NAME, NULL);

    if (section)
        atomic_fetch_add(&section->waiting[lanes_counter(lane)], (uint32_t)change);
}

bool lanes_is_waiting(const struct segment *segment, int64_t lane)
{
    const struct lanes_section *section = segment_section(segment, LANES_SECTION_NAME, NULL);

    return section && atomic_load(&section->waiting[lanes_counter(lane)]) > 0;
}
