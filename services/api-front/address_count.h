// How many connections an address has open. Pure but for the memory. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_ADDRESS_COUNT_H
#define VALVECHAIN_API_FRONT_ADDRESS_COUNT_H

#include <stddef.h>

#include "base/address.h"

#define ADDRESS_COUNT_BUCKETS 1024

struct address_count {
    struct address_count *next;
    struct address address;
    unsigned count;
};
struct address_counts {
    struct address_count *buckets[ADDRESS_COUNT_BUCKETS];
};

unsigned address_counts_of(struct address_counts *counts, const struct address *address);
// One more of this address; NULL when there is no memory.
struct address_count *address_counts_add(struct address_counts *counts,
                                         const struct address *address);
void address_counts_remove(struct address_counts *counts, struct address_count *count);

#endif
