#include "address_count.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static struct address_count **bucket_of(struct address_counts *counts,
                                        const struct address *address)
{
    uint32_t hash = 2166136261u ^ address->family; // FNV-1a; a bucket is a list, so nothing breaks
    for (size_t i = 0; i < sizeof(address->bytes); i++) {
        hash = (hash ^ address->bytes[i]) * 16777619u;
    }
    return &counts->buckets[(hash ^ hash >> 16) % ADDRESS_COUNT_BUCKETS];
}

static bool is_same(const struct address *a, const struct address *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static struct address_count *find(struct address_count *count, const struct address *address)
{
    while (count != NULL && !is_same(&count->address, address)) {
        count = count->next;
    }
    return count;
}

unsigned address_counts_of(struct address_counts *counts, const struct address *address)
{
    const struct address_count *count = find(*bucket_of(counts, address), address);
    return count != NULL ? count->count : 0;
}

struct address_count *address_counts_add(struct address_counts *counts,
                                         const struct address *address)
{
    struct address_count **bucket = bucket_of(counts, address);
    struct address_count *count = find(*bucket, address);
    if (count == NULL) {
        count = calloc(1, sizeof(*count));
        if (count == NULL) {
            return NULL;
        }
        count->address = *address;
        count->next = *bucket;
        *bucket = count;
    }
    count->count++;
    return count;
}

void address_counts_remove(struct address_counts *counts, struct address_count *count)
{
    if (--count->count > 0) {
        return;
    }
    struct address_count **link = bucket_of(counts, &count->address);
    while (*link != count) {
        link = &(*link)->next;
    }
    *link = count->next;
    free(count);
}
