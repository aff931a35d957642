#include "outbox_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAP_MIN 1024

void outbox_index_init(struct outbox_index *index)
{
    *index = (struct outbox_index){.n = 0};
    randombytes_buf(index->secret, sizeof(index->secret));
}

void outbox_index_fini(struct outbox_index *index)
{
    free(index->entries);
    free(index->changes);
    *index = (struct outbox_index){.n = 0};
}

static uint64_t hash_of(const struct outbox_index *index, const void *name, size_t len)
{
    unsigned char bytes[crypto_shorthash_BYTES];
    uint64_t hash;
    crypto_shorthash(bytes, name, len, index->secret);
    memcpy(&hash, bytes, sizeof(hash));
    return hash;
}

// Linear probing; there is always a free entry.
static void put(struct outbox_index *index, struct outbox_entry entry)
{
    size_t at = entry.hash & (index->cap - 1);
    while (index->entries[at].seq != 0)
        at = (at + 1) & (index->cap - 1);
    index->entries[at] = entry;
    index->n++;
}

// What follows moves up, so that a search never ends before its entry (Knuth, TAOCP 3, 6.4, R).
static void take(struct outbox_index *index, struct outbox_entry entry)
{
    size_t mask = index->cap - 1, at = entry.hash & mask;
    if (index->cap == 0)
        return;
    while (index->entries[at].seq != 0 &&
           (index->entries[at].seq != entry.seq || index->entries[at].hash != entry.hash))
        at = (at + 1) & mask;
    if (index->entries[at].seq == 0)
        return;
    index->n--;
    for (size_t next = (at + 1) & mask; index->entries[next].seq != 0; next = (next + 1) & mask) {
        size_t home = index->entries[next].hash & mask;
        if (((next - home) & mask) >= ((next - at) & mask)) {
            index->entries[at] = index->entries[next];
            at = next;
        }
    }
    index->entries[at] = (struct outbox_entry){0};
}

static int grow(struct outbox_index *index)
{
    struct outbox_index grown = {.cap = index->cap == 0 ? CAP_MIN : index->cap * 2};
    if ((index->n + 1) * 4 <= index->cap * 3)
        return 0;
    grown.entries = calloc(grown.cap, sizeof(*grown.entries));
    if (grown.entries == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < index->cap; i++)
        if (index->entries[i].seq != 0)
            put(&grown, index->entries[i]);
    free(index->entries);
    index->entries = grown.entries;
    index->cap = grown.cap;
    return 0;
}

static int note(struct outbox_index *index, struct outbox_entry entry, bool added)
{
    if (index->n_changes == index->cap_changes) {
        size_t cap = index->cap_changes == 0 ? 256 : index->cap_changes * 2;
        void *grown = realloc(index->changes, cap * sizeof(*index->changes));
        if (grown == NULL)
            return -ENOMEM;
        index->changes = grown;
        index->cap_changes = cap;
    }
    index->changes[index->n_changes++] = (struct outbox_index_change){entry, added};
    return 0;
}

int outbox_index_add(struct outbox_index *index, const void *name, size_t len, int64_t seq)
{
    struct outbox_entry entry = {hash_of(index, name, len), seq};
    int rc = grow(index);
    rc = rc < 0 ? rc : note(index, entry, true);
    if (rc == 0)
        put(index, entry);
    return rc;
}

int outbox_index_remove(struct outbox_index *index, const void *name, size_t len, int64_t seq)
{
    return note(index, (struct outbox_entry){hash_of(index, name, len), seq}, false);
}

static void take_changes(struct outbox_index *index, bool added)
{
    for (size_t i = 0; i < index->n_changes; i++)
        if (index->changes[i].added == added)
            take(index, index->changes[i].entry);
    index->n_changes = 0;
}

void outbox_index_commit(struct outbox_index *index)
{
    take_changes(index, false);
}

void outbox_index_rollback(struct outbox_index *index)
{
    take_changes(index, true);
}

int64_t outbox_index_next(const struct outbox_index *index, const void *name, size_t len,
                          size_t *at)
{
    size_t mask = index->cap - 1;
    uint64_t hash = hash_of(index, name, len);
    if (index->cap == 0)
        return 0;
    for (*at = *at == SIZE_MAX ? hash & mask : (*at + 1) & mask; index->entries[*at].seq != 0;
         *at = (*at + 1) & mask)
        if (index->entries[*at].hash == hash)
            return index->entries[*at].seq;
    return 0;
}
