#include <errno.h>
#include <string.h>

#include "advice/history.h"
#include "base/clock.h"

// Grows with every change of struct advice_state: an older file is then not read, but set aside.
#define STATE_VERSION 2

struct header {
    char magic[8]; // "vcadvice"
    uint32_t version, reserved;
    uint64_t bytes, checksum;  // of the state behind it
    uint64_t mono_ns, wall_ns; // when it was saved
    uint64_t padding[2];
};
_Static_assert(sizeof(struct header) == 64, "ADVICE_STATE_BYTES");
static const char magic[8] = {'v', 'c', 'a', 'd', 'v', 'i', 'c', 'e'};

// FNV-1a over words: against damage, not against forgery (the file is its owner's).
static uint64_t checksum_of(const struct header *header, const void *bytes, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325ULL ^ header->mono_ns;

    hash = (hash ^ header->wall_ns) * 0x100000001b3ULL;
    for (size_t i = 0; i + sizeof(uint64_t) <= len; i += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, (const char *)bytes + i, sizeof(word));
        hash = (hash ^ word) * 0x100000001b3ULL;
        hash ^= hash >> 29; // so that high bits reach the low ones
    }
    return hash;
}
_Static_assert(sizeof(struct advice_state) % sizeof(uint64_t) == 0, "summed up word by word");

void advice_state_encode(const struct advice_state *state, uint64_t now_mono_ns,
                         uint64_t now_wall_ns, void *ret_bytes)
{
    struct header header = {.version = STATE_VERSION,
                            .bytes = sizeof(*state),
                            .mono_ns = now_mono_ns,
                            .wall_ns = now_wall_ns};

    memcpy(header.magic, magic, sizeof(magic));
    header.checksum = checksum_of(&header, state, sizeof(*state));
    memcpy(ret_bytes, &header, sizeof(header));
    memcpy((char *)ret_bytes + sizeof(header), state, sizeof(*state));
}

// The same moments on another clock. Differences to now are counted modulo 2^64, so that a moment
// before the clock's zero is still so many seconds ago. What is measured begins anew: a reboot is
// longer than a gap that a window bears.
static void move_times(struct advice_state *state, uint64_t shift_ns)
{
    state->changed_ns += state->changed_ns != 0 ? shift_ns : 0;
    state->panic_ns += state->panic_ns != 0 ? shift_ns : 0;
    state->update_ns = 0;
    state->settled_ns = 0;
    state->sample_ns = 0;
    state->n_arrivals = 0;
    for (uint32_t i = 0; i < state->n_flips; i++)
        state->flips[i] += shift_ns;
    for (uint32_t i = 0; i < state->n_runs; i++) {
        state->runs[i].first_ns += shift_ns;
        state->runs[i].last_ns += shift_ns;
    }
    for (uint32_t i = 0; i < state->n_events; i++)
        state->events[i].time_ns += shift_ns;
    state->burst_newest = 0;
    memset(state->burst_sum, 0, sizeof(state->burst_sum));
    memset(state->burst_seconds, 0, sizeof(state->burst_seconds));
    for (int i = 0; i < ADVICE_WINDOWS; i++)
        state->windows[i] = (struct advice_window){.slot_ns = state->windows[i].slot_ns,
                                                   .period_ns = state->windows[i].period_ns};
}

int advice_state_decode(const void *bytes, size_t len, uint64_t now_mono_ns, uint64_t now_wall_ns,
                        struct advice_state *ret_state, const char **ret_why)
{
    struct header header;

    *ret_why = "it is no state of an advisor";
    if (len < sizeof(header))
        return -EBADMSG;
    memcpy(&header, bytes, sizeof(header));
    if (memcmp(header.magic, magic, sizeof(magic)) != 0)
        return -EBADMSG;
    if (header.version != STATE_VERSION || header.bytes != sizeof(*ret_state)) {
        *ret_why = "it is of another version";
        return -EPROTO;
    }
    *ret_why = "it is cut short or damaged";
    const char *body = (const char *)bytes + sizeof(header);

    if (len != ADVICE_STATE_BYTES ||
        checksum_of(&header, body, sizeof(*ret_state)) != header.checksum)
        return -EBADMSG;
    memcpy(ret_state, body, sizeof(*ret_state));
    // How far this clock is from that one; what wall clocks are set by on the way is no reboot.
    int64_t shift_ns = (int64_t)((now_mono_ns - header.mono_ns) - (now_wall_ns - header.wall_ns));
    bool is_other_boot = now_mono_ns < header.mono_ns || shift_ns < -(int64_t)(60 * NS_PER_S) ||
                         shift_ns > (int64_t)(60 * NS_PER_S);

    if (is_other_boot)
        move_times(ret_state, (uint64_t)shift_ns);
    return 0;
}
