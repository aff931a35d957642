#include "shm/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/segment_internal.h"

#define NAME_WORDS (SLOT_NAME_MAX / 8)
#define FLAG_READY 1U
#define FLAG_LEFT  2U
#define READ_TRIES 16

// One slot. `generation` 0 means unused; it is set to 0 before anything else changes hands and to
// the new generation after everything else is in place, so that a death in between leaves an unused
// slot and never a mixture of two processes.
struct slot_record {
    _Atomic uint32_t generation;
    _Atomic uint32_t last_generation; // the highest given out here; survives generation = 0
    _Atomic uint32_t restarts;
    _Atomic uint32_t flags;
    _Atomic int32_t pid;
    _Atomic uint32_t catalogue_sequence;
    _Atomic uint64_t start_ns;
    _Atomic uint64_t heartbeat_ns;
    _Atomic uint64_t name[NAME_WORDS];
    _Atomic uint64_t instance[NAME_WORDS];
    char padding[40];
};
_Static_assert(SLOT_NAME_MAX == SLOT_INSTANCE_MAX && SLOT_NAME_MAX % 8 == 0, "names are words");
_Static_assert(sizeof(struct slot_record) == 128, "slot record layout");

struct slot_section {
    struct slot_record records[SLOT_COUNT];
    char catalogues[SLOT_COUNT][SLOT_CATALOGUE_BYTES];
};
struct slot_values_section {
    _Atomic uint64_t words[SLOT_COUNT][SLOT_VALUES];
};
_Static_assert(SLOT_VALUES * 8 % 64 == 0, "each values block begins a cache line");
_Static_assert(SLOT_COUNT <= 32, "held_slots is a 32-bit set");

struct slot {
    struct segment *segment;
    uint32_t index;
    uint32_t generation;
    bool adopted;
};

struct identity {
    uint64_t name[NAME_WORDS];
    uint64_t instance[NAME_WORDS];
};

struct segment_section_spec slot_section_spec(void)
{
    const size_t layout[] = {SLOT_COUNT,
                             SLOT_NAME_MAX,
                             SLOT_CATALOGUE_BYTES,
                             sizeof(struct slot_record),
                             offsetof(struct slot_record, catalogue_sequence),
                             offsetof(struct slot_record, heartbeat_ns),
                             offsetof(struct slot_record, instance)};
    return (struct segment_section_spec){
        .name = SLOT_SECTION_NAME,
        .bytes = sizeof(struct slot_section),
        .layout_hash = segment_layout_hash(layout, sizeof(layout) / sizeof(layout[0]))};
}

struct segment_section_spec slot_values_section_spec(void)
{
    const size_t layout[] = {SLOT_COUNT, SLOT_VALUES};
    return (struct segment_section_spec){
        .name = SLOT_VALUES_SECTION,
        .bytes = sizeof(struct slot_values_section),
        .layout_hash = segment_layout_hash(layout, sizeof(layout) / sizeof(layout[0]))};
}

static struct slot_section *slots_of(const struct segment *segment)
{
    return segment_section(segment, SLOT_SECTION_NAME, NULL);
}

static _Atomic uint64_t *values_of(const struct segment *segment, uint32_t index)
{
    struct slot_values_section *values = segment_section(segment, SLOT_VALUES_SECTION, NULL);
    return values ? values->words[index] : NULL;
}

static struct slot_record *record_of(const struct slot *slot)
{
    return &slots_of(slot->segment)->records[slot->index];
}

// ---- locks --------------------------------------------------------------------------------------

static bool take_lock(struct segment *segment, uint32_t index)
{
    if (segment->held_slots & (1U << index))
        return false; // our own descriptor would get it again
    if (segment_lock_try(segment->fd, F_WRLCK, SEGMENT_LOCK_SLOT + index) < 0)
        return false;
    segment->held_slots |= 1U << index;
    return true;
}

static void drop_lock(struct segment *segment, uint32_t index)
{
    (void)segment_lock_try(segment->fd, F_UNLCK, SEGMENT_LOCK_SLOT + index);
    segment->held_slots &= ~(1U << index);
}

static bool is_locked(const struct segment *segment, uint32_t index)
{
    return (segment->held_slots & (1U << index)) ||
           segment_lock_is_held(segment->fd, F_RDLCK, SEGMENT_LOCK_SLOT + index);
}

// ---- taking a slot ------------------------------------------------------------------------------

static bool is_of(const struct slot_record *record, const struct identity *identity)
{
    for (size_t i = 0; i < NAME_WORDS; i++) {
        if (atomic_load_explicit(&record->name[i], memory_order_relaxed) != identity->name[i] ||
            atomic_load_explicit(&record->instance[i], memory_order_relaxed) !=
                identity->instance[i])
            return false;
    }
    return true;
}

static uint32_t next_generation(struct slot_record *record)
{
    uint32_t generation = atomic_load(&record->last_generation) + 1;
    if (generation == 0)
        generation = 1;
    atomic_store(&record->last_generation, generation);
    return generation;
}

static uint32_t begin_tenure(struct slot_record *record, uint32_t restarts)
{
    uint32_t generation = next_generation(record);
    uint64_t now_ns = clock_mono_ns();
    atomic_store_explicit(&record->restarts, restarts, memory_order_relaxed);
    atomic_store_explicit(&record->flags, 0, memory_order_relaxed);
    atomic_store_explicit(&record->pid, (int32_t)getpid(), memory_order_relaxed);
    atomic_store_explicit(&record->start_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&record->heartbeat_ns, now_ns, memory_order_relaxed);
    atomic_store(&record->generation, generation);
    return generation;
}

// The lock is held: nobody else writes here.
static uint32_t settle(struct segment *segment, uint32_t index, const struct identity *identity)
{
    struct slot_record *record = &slots_of(segment)->records[index];
    char *catalogue = slots_of(segment)->catalogues[index];
    _Atomic uint64_t *words = values_of(segment, index);
    atomic_store(&record->generation, 0);
    // The catalogue is empty before its sequence changes: see slot_catalogue_sequence.
    atomic_store((_Atomic uint64_t *)(void *)catalogue, 0);
    atomic_fetch_add(&record->catalogue_sequence, 2);
    memset(catalogue, 0, SLOT_CATALOGUE_BYTES);
    for (uint32_t i = 0; i < SLOT_VALUES; i++)
        atomic_store_explicit(&words[i], 0, memory_order_relaxed);
    for (size_t i = 0; i < NAME_WORDS; i++) {
        atomic_store_explicit(&record->name[i], identity->name[i], memory_order_relaxed);
        atomic_store_explicit(&record->instance[i], identity->instance[i], memory_order_relaxed);
    }
    return begin_tenure(record, 0);
}

static bool adopt(struct segment *segment, const struct identity *identity, struct slot *slot)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct slot_record *record = &slots_of(segment)->records[i];
        if (atomic_load(&record->generation) == 0 || !is_of(record, identity) ||
            !take_lock(segment, i))
            continue;
        // Between the look and the lock the slot may have changed hands.
        if (atomic_load(&record->generation) != 0 && is_of(record, identity)) {
            slot->index = i;
            slot->generation = begin_tenure(record, atomic_load(&record->restarts) + 1);
            slot->adopted = true;
            return true;
        }
        drop_lock(segment, i);
    }
    return false;
}

static bool take_unused(struct segment *segment, const struct identity *identity, struct slot *slot)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct slot_record *record = &slots_of(segment)->records[i];
        if (atomic_load(&record->generation) != 0 || !take_lock(segment, i))
            continue;
        if (atomic_load(&record->generation) == 0) {
            slot->index = i;
            slot->generation = settle(segment, i, identity);
            return true;
        }
        drop_lock(segment, i);
    }
    return false;
}

static bool find_longest_dead(const struct segment *segment, uint32_t *ret_index)
{
    uint64_t oldest_ns = UINT64_MAX;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct slot_record *record = &slots_of(segment)->records[i];
        uint64_t heartbeat_ns = atomic_load(&record->heartbeat_ns);
        if (heartbeat_ns < oldest_ns && !is_locked(segment, i)) {
            oldest_ns = heartbeat_ns;
            *ret_index = i;
        }
    }
    return oldest_ns != UINT64_MAX;
}

static bool reclaim(struct segment *segment, const struct identity *identity, struct slot *slot)
{
    uint32_t index;
    // Each failed try means that somebody else got a slot: more than SLOT_COUNT cannot.
    for (int tries = 0; tries < SLOT_COUNT && find_longest_dead(segment, &index); tries++) {
        if (!take_lock(segment, index))
            continue;
        slot->index = index;
        slot->generation = settle(segment, index, identity);
        return true;
    }
    return false;
}

static int make_identity(const char *name, const char *instance, struct identity *ret_identity)
{
    struct identity identity = {0};
    if (!*name || strlen(name) >= SLOT_NAME_MAX || strlen(instance) >= SLOT_INSTANCE_MAX)
        return -EINVAL;
    memcpy(identity.name, name, strlen(name));
    memcpy(identity.instance, instance, strlen(instance));
    *ret_identity = identity;
    return 0;
}

int slot_acquire(struct segment *segment, const char *name, const char *instance,
                 struct slot **ret_slot)
{
    struct identity identity;
    int r = make_identity(name, instance, &identity);
    if (r < 0)
        return r;
    if (segment->read_only)
        return -EROFS;
    if (!slots_of(segment) || !values_of(segment, 0))
        return -ENOENT;
    struct slot *slot = calloc(1, sizeof(*slot));
    if (!slot)
        return -ENOMEM;
    slot->segment = segment;
    if (!adopt(segment, &identity, slot) && !take_unused(segment, &identity, slot) &&
        !reclaim(segment, &identity, slot)) {
        free(slot);
        return -ENOSPC;
    }
    *ret_slot = slot;
    return 0;
}

void slot_release(struct slot **slot)
{
    struct slot *old = *slot;
    if (!old)
        return;
    *slot = NULL;
    struct slot_record *record = record_of(old);
    atomic_store(&record->heartbeat_ns, clock_mono_ns());
    atomic_store(&record->flags, FLAG_LEFT);
    drop_lock(old->segment, old->index);
    free(old);
}

// ---- the holder's side --------------------------------------------------------------------------

void slot_heartbeat(struct slot *slot, uint64_t now_ns)
{
    atomic_store_explicit(&record_of(slot)->heartbeat_ns, now_ns, memory_order_relaxed);
}

void slot_set_ready(struct slot *slot, bool ready)
{
    atomic_store(&record_of(slot)->flags, ready ? FLAG_READY : 0U);
}

uint32_t slot_index(const struct slot *slot)
{
    return slot->index;
}

uint32_t slot_generation(const struct slot *slot)
{
    return slot->generation;
}

bool slot_was_adopted(const struct slot *slot)
{
    return slot->adopted;
}

char *slot_catalogue(const struct slot *slot)
{
    return slots_of(slot->segment)->catalogues[slot->index];
}

_Atomic uint64_t *slot_values(const struct slot *slot)
{
    return values_of(slot->segment, slot->index);
}

_Atomic uint32_t *slot_catalogue_sequence(const struct slot *slot)
{
    return &record_of(slot)->catalogue_sequence;
}

// ---- the reader's side --------------------------------------------------------------------------

// Foreign memory: whatever lies there, people get printable text that ends.
static void copy_text(char *out, const _Atomic uint64_t *words, size_t out_bytes)
{
    for (size_t i = 0; i < out_bytes / 8; i++) {
        uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed);
        memcpy(out + i * 8, &word, sizeof(word));
    }
    out[out_bytes - 1] = 0;
    for (char *c = out; *c; c++) {
        if (*c < ' ' || *c > '~')
            *c = '?';
    }
}

static void copy_record(const struct slot_record *record, struct slot_info *info)
{
    uint32_t flags = atomic_load_explicit(&record->flags, memory_order_relaxed);
    info->restarts = atomic_load_explicit(&record->restarts, memory_order_relaxed);
    info->pid = atomic_load_explicit(&record->pid, memory_order_relaxed);
    info->ready = (flags & FLAG_READY) != 0;
    info->left_cleanly = (flags & FLAG_LEFT) != 0;
    info->start_ns = atomic_load_explicit(&record->start_ns, memory_order_relaxed);
    info->heartbeat_ns = atomic_load_explicit(&record->heartbeat_ns, memory_order_relaxed);
    info->sequence_seen = atomic_load_explicit(&record->catalogue_sequence, memory_order_relaxed);
    copy_text(info->name, record->name, sizeof(info->name));
    copy_text(info->instance, record->instance, sizeof(info->instance));
}

bool slot_read(const struct segment *segment, uint32_t index, struct slot_info *ret_info)
{
    struct slot_section *slots = slots_of(segment);
    if (index >= SLOT_COUNT || !slots || !values_of(segment, index))
        return false;
    const struct slot_record *record = &slots->records[index];
    struct slot_info info = {.index = index};
    // A slot changes hands in microseconds and rarely: a few tries see it whole.
    for (int tries = 0; tries < READ_TRIES; tries++) {
        info.generation = atomic_load_explicit(&record->generation, memory_order_acquire);
        if (info.generation == 0)
            return false;
        copy_record(record, &info);
        info.alive = is_locked(segment, index);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&record->generation, memory_order_relaxed) == info.generation)
            break;
    }
    info.in_use = true;
    info.ready = info.ready && info.alive;
    info.catalogue = slots->catalogues[index];
    info.values = values_of(segment, index);
    info.catalogue_sequence = &record->catalogue_sequence;
    *ret_info = info;
    return true;
}

bool slot_is_alive(const struct segment *segment, uint32_t index, uint32_t generation)
{
    struct slot_section *slots = slots_of(segment);
    if (index >= SLOT_COUNT || !slots || generation == 0)
        return false;
    return atomic_load(&slots->records[index].generation) == generation &&
           is_locked(segment, index);
}
